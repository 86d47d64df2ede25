"""Sentences about why ours contradicts a report."""

from __future__ import annotations

UNEXPLAINED = "Unexplained."


def explained(explanation: str) -> str:
    """An explanation as a sentence, or that there is none."""
    if not explanation.strip():
        return UNEXPLAINED
    return f"Explanation: {explanation.strip().rstrip('.')}."
