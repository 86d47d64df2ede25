"""Sections of the page and their registration.

A section is one module of `cae.report.page.sections`. It registers a function that computes its
content from the results:

    @section("failures", title="Failures", order=170)
    def failures_section(results: Results) -> SectionContent: ...

It is called once for each comparability group (see `Scope`). Figures are passed to the decorator. A
template `templates/ID.html` prints the content if the section needs markup of its own; otherwise
its tables are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.table import Table

PROPER_NAMES = ("Pareto",)
"""Titles that begin with one keep their capital letter within a sentence."""


class Scope(StrEnum):
    """Which trials a section is built from.

    Trials of different comparability groups are not comparable, so a section that compares trials
    is built once for each group.
    """

    GROUP = "group"
    """Once for each comparability group, without dependencies."""
    GROUP_AND_DEPENDENCIES = "group and dependencies"
    """For each group, and for the dependencies; together if there is one group."""
    ALL = "all"
    """Once for all trials: the section compares none, or takes the groups into account itself."""


@dataclass(frozen=True, kw_only=True)
class SectionContent:
    """What a section shows for some results. A section with its own template adds fields."""

    verdict: str
    """One short paragraph of plain text: the answer. All there is if `is_empty`."""
    is_empty: bool = False
    """Whether there is nothing to show but the verdict. The page then names the section in one line
    at its end, together with other empty ones."""
    is_left_out: bool = False
    """Whether the section is empty because it is about something that the sweep does not have."""
    method: str = ""
    """How the section was computed: what it includes, what it leaves out and why."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """The figures to show, by name, with the caption of each (also read by screen readers)."""
    tables: Sequence[Table] = ()
    open_tables: int | None = None
    """How many of the tables are shown unfolded. None: all."""

    @property
    def answer(self) -> str:
        """The answer as verdicts.json contains it."""
        return self.verdict


BuildContent = Callable[[Results], SectionContent]


@dataclass(frozen=True)
class Section:
    """A registered section."""

    id: str
    """Name of the module, of the HTML element, of the template, and key in verdicts.json."""
    title: str
    order: int
    """Position on the page: sections are sorted by this number."""
    build: BuildContent
    figures: Sequence[Figure[Any]] = ()
    scope: Scope = Scope.GROUP

    @property
    def label(self) -> str:
        """Short title for the table of contents."""
        return self.id.replace("_", " ").capitalize()

    @property
    def name(self) -> str:
        """The title in an enumeration: "published numbers", "Pareto front"."""
        name = self.title.partition(":")[0]
        if name.startswith(PROPER_NAMES):
            return name
        return name[0].lower() + name[1:]

    def figure(self, name: str) -> Figure[Any]:
        """Return the figure of this name. Raises KeyError if the section has no such figure."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


REGISTERED_SECTIONS: dict[str, Section] = {}
"""All sections of imported modules by id. `sections.all_sections` imports every module first."""


def section(
    id: str,
    *,
    title: str,
    order: int,
    figures: Sequence[Figure[Any]] = (),
    scope: Scope = Scope.GROUP,
) -> Callable[[BuildContent], BuildContent]:
    """Register the decorated function as the section `id`.

    Raises ValueError if another section has the same id or order.
    """

    def register(build: BuildContent) -> BuildContent:
        for other in REGISTERED_SECTIONS.values():
            if other.id == id or other.order == order:
                raise ValueError(f"section {id} (order {order}): conflicts with {other}")
        REGISTERED_SECTIONS[id] = Section(id, title, order, build, figures, scope)
        return build

    return register
