"""Bytes <-> values: requests and log entries in, replies out, snapshots both ways."""
