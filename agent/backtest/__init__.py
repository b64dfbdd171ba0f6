"""`satomori backtest`: how often would these rules have fired, and what would others have done?"""

from agent.backtest.command import add_arguments, run

__all__ = ["add_arguments", "run"]
