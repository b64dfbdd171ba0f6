"""The commands behind `satomori journal`: for the engineer who wants to know what is in there."""

from agent.journal_tool.command import add_arguments, run

__all__ = ["add_arguments", "run"]
