"""The client for code without an event loop: `from coord.client.sync import Client`."""

from coord.client.sync.client import Client
from coord.client.sync.locks import LockGrant, LostSignal

__all__ = ["Client", "LockGrant", "LostSignal"]
