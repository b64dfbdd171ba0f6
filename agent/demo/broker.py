"""An MQTT broker in the demonstration's own process: amqtt, in place of Mosquitto.

It speaks MQTT 3.1.1 only and forgets queued messages, so it is for demonstrations.
"""

import contextlib
import logging
from collections.abc import AsyncIterator

from amqtt.broker import Broker


@contextlib.asynccontextmanager
async def broker(port: int) -> AsyncIterator[None]:
    """Run a broker on this loopback port."""
    # It tells at length of every connection that the demonstration cuts.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    running = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await running.start()
    try:
        yield
    finally:
        await running.shutdown()
