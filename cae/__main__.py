"""`python -m cae`: the command line where only Python is known, as on a cluster."""

from cae.cli import app

app()
