"""Deterministic simulation: a cluster in one process, on simulated time, network and disks."""
