"""PySyncObj as published, in real processes: its own TCP transport, journal and vote file, and a
small key-value service in front of it, as a user would write one. None of the product's mends is
here. It is there to be caught: `chaos selftest` runs it under faults and expects the checkers to
object. `chaos.sim.stock` does the same on simulated time."""
