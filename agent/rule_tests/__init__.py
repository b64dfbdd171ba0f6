"""The command `satomori test-rules`: stories of what happens and who is told what, tried on rules.

For those who change a threshold and want to see that the rules still do what they should. Our own
conditions are tested by the same code (tests/rules/test_timelines.py).
"""
