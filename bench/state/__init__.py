"""A node with a million tasks: what snapshots, restarts, memory and mass expiry cost it."""
