"""The version of torshi; the same as the workspace's in Cargo.toml, which a test holds."""

__version__ = "0.1.0"
