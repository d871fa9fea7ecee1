"""The fixtures of the chaos harness, for the tests in this folder."""

pytest_plugins = ["chaos.testing"]
