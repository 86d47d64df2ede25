"""The version: the only place that states it. pyproject.toml and `--version` read it here."""

__version__ = "0.2.0"
