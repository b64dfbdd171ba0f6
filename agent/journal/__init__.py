"""The gateway's memory: a folder of files that only grow, read through cursors.

It is at once the local history, the outbox for the cloud and the queue for whoever else has to be
told; each of those is a cursor. Nothing downstream can lose what has been committed.

    append ──► waiting, and in the tail (tail.py: a file in memory that outlives the daemon)
    commit ──► one block (block.py) in the newest file (segment.py), synced
    cursor ──► what is not confirmed yet (cursor.py)
    room   ──► the least precious first, when the budget is full (room.py)

docs/promises.md says what is promised, docs/decisions/0009 why it is no database.
"""

from agent.journal.cursor import Cursor
from agent.journal.files import Loss
from agent.journal.journal import Journal, JournalFull, NotOurJournal

__all__ = ["Cursor", "Journal", "JournalFull", "Loss", "NotOurJournal"]
