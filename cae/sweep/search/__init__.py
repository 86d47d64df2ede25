"""Searches: which point of a search space is tried next. They import neither ray nor torch."""
