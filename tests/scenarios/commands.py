"""Commands in this process, with the exit code that they must have."""

from __future__ import annotations

from typer.testing import CliRunner

from cae.cli.app import app


def call(*arguments: object, code: int = 0) -> str:
    """Run a command in this process; its standard output. Fails if the exit code is another."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """Run a command that has to be refused; its message."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    return result.output
