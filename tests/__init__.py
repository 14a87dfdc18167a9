"""Tests of diffmem; a package, so that `python -m tests.golden` runs."""
