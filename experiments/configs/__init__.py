"""Configs: one Python file per run, whose docstring states command, hardware, minutes and expected result."""
