"""What can go wrong when a local cluster is handled; the message is meant for people."""

from __future__ import annotations


class LocalClusterError(Exception):
    """The request was refused or did not succeed; the text says why and what to do."""
