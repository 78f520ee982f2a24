"""A server's events and numbers, for what others watch with.

Each module here is for one of them, and imports it; ``import trioproto`` imports
none of these.
"""
