"""`satomori demo`: the real daemon and the real ingester on recordings: no hardware, no server.

The recordings (home.jsonl, paddy.jsonl, greenhouse.jsonl) are our own: `recordings.py` makes them.
"""
