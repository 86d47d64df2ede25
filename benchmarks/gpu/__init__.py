"""Acceptance on a GPU: what has to hold there, and what was measured."""
