"""The client for code without an event loop: the same names as in `coord.client`, blocking.

    with Client("127.0.0.1:7400") as client:
        client.tasks.submit("emails", b"...")

One background thread runs the async client's event loop; any number of threads may call.
`scripts/gen_sync_client` writes the modules from the async client, all but `loop` and `by_hand`.
"""

from coord.client.sync.client import Client, LockGrant, LostSignal

__all__ = ["Client", "LockGrant", "LostSignal"]
