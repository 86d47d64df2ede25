"""Sentences about parameters whose effects cannot be separated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cae.report import formatting


def confounding_sentence(confounded: Mapping[str, Sequence[str]], named: Iterable[str]) -> str:
    """Which parameters change together with those that a sentence names; empty if none does.

    Args:
        confounded: See `confounded_parameters`.
        named: The parameters that the sentence before names.
    """
    sentences: list[str] = []
    groups: list[set[str]] = []
    for name in named:
        others = confounded.get(name, ())
        members = {name, *others}
        if not others or members in groups:
            continue
        groups.append(members)
        parameters = formatting.listed([formatting.short(member) for member in (name, *others)])
        sentences.append(f"{parameters} change together: their effects cannot be separated.")
    return formatting.sentences(sentences)
