"""Slow loop-style NumPy versions of the memories, written from the papers' equations without sight of the library."""
