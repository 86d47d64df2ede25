"""Classes for the style sheet: tables of runs, whose commands need a line of their own."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

COMMAND = "command"
JOURNAL = "journal"


def mark_run_tables(app: Sphinx, document: nodes.document) -> None:
    """Add the class `runs` to tables of runs, and the heading of its column to each cell."""
    del app
    for table in document.findall(nodes.table):
        rows = list(table.findall(nodes.row))
        headings = [cell.astext() for cell in rows[0].findall(nodes.entry)]
        if COMMAND not in headings or JOURNAL not in headings:
            continue
        table["classes"].append("runs")
        for row in rows:
            for cell, heading in zip(row.findall(nodes.entry), headings, strict=True):
                cell["classes"].append(nodes.make_id(heading))
