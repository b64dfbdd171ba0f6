"""Sends what the journal holds to the cloud, at least once, alerts first, and believes only proof.

A broker's acknowledgement promises little: a killed Mosquitto forgets what it acknowledged, and a
full one says "success" and drops. So a record counts as delivered when the ingester says that
InfluxDB has it (`confirmed_by="ingester"`); until then it is sent again. Sending twice is harmless,
because a record's place in InfluxDB was fixed when it entered the journal. Nothing waits in memory:
the journal is the queue.

    Uplink          connects, and connects again        backoff.py
    Session         one connection                      session.py, broker.py, link_bytes.py
    Sending         what it sends, and when             sending.py, under_way.py, packing.py
    Listening       what it hears                       listening.py, ingesters.py, asking_time.py
    Standing        what outlives it                    standing.py, byte_budget.py
"""

from cloud_sync.uplink.standing import Host, Retained, UplinkSettings
from cloud_sync.uplink.uplink import LinkState, Uplink

__all__ = ["Host", "LinkState", "Retained", "Uplink", "UplinkSettings"]
