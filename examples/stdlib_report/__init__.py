"""Figures about the Python standard library, computed by a fleet of agents.

One task per module parses it and computes figures; one task per package adds them up; one task
writes the report. `single_process` computes the same report without a cluster, so that the two
can be compared byte by byte."""
