"""Optuna with several processes: one study in a journal file; each process runs its share."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import optuna
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.trials import GRID, SLOTS, TRIALS, train


def objective(trial: optuna.Trial) -> float:
    values = {name: trial.suggest_categorical(name, choices) for name, choices in GRID.items()}
    return train(**values)


def optimize(journal: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(journal))
    study = optuna.create_study(
        study_name="denoise",
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.GridSampler(GRID, seed=0),
    )
    stop_after_all = optuna.study.MaxTrialsCallback(len(TRIALS))
    study.optimize(objective, n_trials=len(TRIALS) // SLOTS, callbacks=[stop_after_all])


def main() -> None:
    if len(sys.argv) > 1:
        optimize(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        journal = f"{folder}/journal.log"
        command = [sys.executable, "-m", "benchmarks.peers.optuna_processes", journal]
        processes = [subprocess.Popen(command) for _ in range(SLOTS)]
        exit_codes = [process.wait() for process in processes]
        if any(exit_codes):
            sys.exit(1)


if __name__ == "__main__":
    main()
