"""The process in which `cae.run_sweep` runs a sweep: `python -m cae.cli.child FD local|cluster`.

It receives a pickled RunRequest from its parent as its standard input, and writes the outcome as
JSON to the file descriptor FD. A process of its own, because Ray, its token and the signals that
end a sweep in an orderly way need a main program of ours: a notebook or a script is none.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import time
from typing import Any

from cae.cli import running
from cae.cli.errors import INTERRUPTED, USAGE_ERROR, exit_immediately_on_signals
from cae.errors import ENVIRONMENT_ERROR, SweepAborted, UserError
from cae.sweep.run_request import RunRequest

PARENT_SECONDS = 1.0
"""How often the process looks whether its parent is alive."""


def main() -> None:
    """Run the sweep that the parent asks for."""
    outcome_file = int(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with exit_immediately_on_signals():
        if sys.argv[2] == "local":
            from cae.sweep.places.auth_token import use_private_token

            use_private_token()  # before the request imports Ray
        request: RunRequest = pickle.load(sys.stdin.buffer)
    outcome = _run(request)
    with os.fdopen(outcome_file, "w", encoding="utf-8") as file:
        json.dump(outcome, file)
    sys.exit(outcome["exit_code"])


def _end_with_parent(parent: int) -> None:
    """End the sweep in an orderly way when the parent is gone: everything is saved."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _run(request: RunRequest) -> dict[str, Any]:
    """The outcome: exit_code, and errors or run and reason."""
    errors: list[str] = []
    exit_code = USAGE_ERROR
    try:
        ended = running.run_trials(
            lambda: _select(request), request.options, declared=request.sweep
        )
        exit_code = ENVIRONMENT_ERROR
        exit_code = running.conclude(ended)
        run = ended.prepared.run
        return {"exit_code": exit_code, "run": run.location(), "reason": ended.reason}
    except UserError as error:
        errors = error.messages
        if isinstance(error, SweepAborted):
            exit_code = ENVIRONMENT_ERROR
    except OSError as error:
        errors = [str(error)]
    except (KeyboardInterrupt, SystemExit):
        exit_code = INTERRUPTED
    return {"exit_code": exit_code, "errors": errors}


def _select(request: RunRequest) -> Any:
    from dataclasses import replace

    from cae.sweep.engine import session

    selection = session.select(**request.selection)
    return replace(selection, settings=request.settings)


if __name__ == "__main__":
    main()
