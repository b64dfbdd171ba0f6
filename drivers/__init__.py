"""Hears the world and speaks Readings: transports bring frames, devices decode them."""
