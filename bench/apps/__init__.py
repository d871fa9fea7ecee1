"""The no-op task, as an application of each framework."""
