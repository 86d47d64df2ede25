"""Runs the trials of a plan on Ray Tune and records what happens in the journal."""

from cae.sweep.engine.worker_memory import defer_garbage_collection

# Modules are imported next. Nothing is garbage until then, and searching for it would take a sixth
# of the time that a worker needs to start.
defer_garbage_collection()
