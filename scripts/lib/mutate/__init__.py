"""Mutation tests: hand-chosen one-line bugs, each with the tests that must catch it."""
