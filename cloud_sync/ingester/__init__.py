"""The cloud side: takes batches from MQTT, writes them to a store, and says so to their gateways.

Ingester        opens and answers                   ingester.py, held.py, known_tables.py
Connection      to the broker                       connection.py
WriterThread    writes one round after the other    rounds.py, writer.py
"""

from cloud_sync.ingester.ingester import Ingester

__all__ = ["Ingester"]
