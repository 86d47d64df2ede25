"""The command reference, generated from the typer app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from cae.cli.app import app

COMMAND = "cae-sweep"
ARGUMENTS = "Arguments"
OPTIONS = "Options"


def render() -> str:
    """Return a section of Markdown for each command."""
    return "\n" + "\n".join(section(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with its whole name, `cae-sweep data list`."""
    yield from _commands_of(COMMAND, typer.main.get_command(app))


def _commands_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for subcommand_name, subcommand in subcommands.items():
        yield from _commands_of(f"{name} {subcommand_name}", subcommand)


def section(name: str, command: Any) -> str:
    """Return the Markdown of a command: usage, help, and a table for each group of its options."""
    context = typer.Context(command, info_name=name)
    tables: dict[str, list[str]] = {}
    usage = [name]
    for parameter in command.params:
        names, meaning = parameter.get_help_record(context)
        if parameter.param_type_name == "argument":
            names = _argument_name(parameter)
            meaning = meaning.replace("[required]", "")
            usage.append(names)
            tables.setdefault(ARGUMENTS, []).append(_row(names, meaning))
        else:
            panel = parameter.rich_help_panel or OPTIONS
            tables.setdefault(panel, []).append(_row(names, meaning))
    if len(usage) <= len(command.params):
        usage.append("[OPTIONS]")
    help_text = " ".join(command.help.split())
    parts = [f"## {name}\n", f"```text\n{' '.join(usage)}\n```\n", f"{help_text}\n"]
    for title, rows in tables.items():
        column = "option"
        if title == ARGUMENTS:
            column = "argument"
        header = [f"| {column} | meaning |", "| --- | --- |"]
        parts.append(f"**{title}**\n")
        parts.append("\n".join([*header, *rows]) + "\n")
    return "\n".join(parts)


def _argument_name(parameter: Any) -> str:
    """The name of an argument in the usage: RUN, [RUN], IMAGES..."""
    name = str(parameter.metavar or parameter.name.upper())
    if not parameter.required and not name.startswith("["):
        name = f"[{name}]"
    if parameter.nargs == -1 and not name.endswith("..."):
        name += "..."
    return name


def _row(names: str, meaning: str) -> str:
    meaning = " ".join(meaning.split())
    cells = [f"`{names}`", meaning.replace("<", "&lt;").replace("[", "\\[")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
