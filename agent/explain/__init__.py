"""`satomori explain`: why an alert fired, in words, from the figures that it carries."""

from agent.explain.command import add_arguments, run

__all__ = ["add_arguments", "run"]
