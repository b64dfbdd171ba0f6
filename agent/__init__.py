"""The daemon: puts the pieces together."""
