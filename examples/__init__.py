"""The servers of Twisted's "Writing Servers", run by `python -m examples.NAME`."""
