"""Launchers, configs, results and the benchmark; nothing here is imported by the library."""
