"""`cae-sweep prune`: prints what it deletes, and asks for confirmation."""

from __future__ import annotations

import sys

import typer

from cae.cli.output import echo
from cae.errors import UserError
from cae.run.formatting import count_of
from cae.run.paths import RunDir
from cae.run.storage import is_url

MAX_LISTED = 12
"""Trials of which a line prints the numbers."""


def prune_run(run: RunDir, keep: str, *, dry_run: bool, yes: bool) -> None:
    """Delete checkpoints that are not needed any more, after a confirmation.

    Args:
        run: The run.
        keep: "best", or the number of trials of each group that keep their best weights.
        dry_run: Only print what would be deleted.
        yes: Do not ask for confirmation.

    Raises UserError if `keep` is invalid, or a confirmation is needed and there is no terminal.
    """
    from cae.sweep.prune import plan_pruning, prune

    pruning = plan_pruning(run, _number_to_keep(keep))
    if not pruning.files:
        echo(f"{run}: nothing to delete")
        return
    size = f", {pruning.bytes / 1e6:,.1f} MB"
    if is_url(run.location()):
        size = " in the bucket"
    files = count_of(pruning.file_count, "checkpoint")
    echo(f"{run}: {files} of {count_of(len(pruning.files), 'trial')}{size}")
    echo(f"kept: the best weights of {_listed(pruning.kept)}, and checkpoints of unfinished trials")
    if dry_run:
        return
    if not yes:
        _confirm()
    prune(run, pruning)
    echo("deleted")


def _number_to_keep(keep: str) -> int:
    if keep == "best":
        return 1
    if keep.isdecimal() and int(keep) > 0:
        return int(keep)
    raise UserError(f"--keep {keep}: should be best, or a number of trials from 1")


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise UserError("nothing was deleted: confirm with --yes, or use --dry-run")
    if not typer.confirm("Delete them?"):
        raise UserError("nothing was deleted")


def _listed(numbers: list[int]) -> str:
    if not numbers:
        return "no trial"
    text = ", ".join(map(str, numbers[:MAX_LISTED]))
    if len(numbers) > MAX_LISTED:
        text += f", ... and {len(numbers) - MAX_LISTED} more"
    if len(numbers) == 1:
        return f"trial {text}"
    return f"trials {text}"
