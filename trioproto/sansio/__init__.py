"""The pure core: decides everything that can be decided without waiting.

Nothing here imports trio or touches a socket, so all of it runs, and is
tested, with no event loop at all.
"""
