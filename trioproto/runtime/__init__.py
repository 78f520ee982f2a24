"""The only code that waits: drivers, scopes, servers."""
