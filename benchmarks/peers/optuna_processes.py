"""Optuna as its documentation runs several processes: one study in a journal file, each process
optimises its share."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import optuna
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.trials import GRID, SLOTS, TRIALS, train


def objective(trial: optuna.Trial) -> float:
    return train(**{name: trial.suggest_categorical(name, values) for name, values in GRID.items()})


def optimise(journal: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(journal))
    study = optuna.create_study(
        study_name="denoise",
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.GridSampler(GRID, seed=0),
    )
    ended = optuna.study.MaxTrialsCallback(len(TRIALS))
    study.optimize(objective, n_trials=len(TRIALS) // SLOTS, callbacks=[ended])


def main() -> None:
    if len(sys.argv) > 1:
        optimise(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.peers.optuna_processes",
            f"{folder}/journal.log",
        ]
        processes = [subprocess.Popen(command) for _ in range(SLOTS)]
        if any([process.wait() for process in processes]):  # noqa: C419  all are waited for
            sys.exit(1)


if __name__ == "__main__":
    main()
