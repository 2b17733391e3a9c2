"""Persistence: objects by key, in a file or behind a server, each value sealed."""
