"""Servers that show how it is done, each run by `python -m examples.NAME`."""
