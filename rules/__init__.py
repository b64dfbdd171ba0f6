"""Readings in, alert events out: pure, in event time, no input or output, no clock."""
