"""One TOML file becomes one frozen tree, once; every mistake in it is reported together."""
