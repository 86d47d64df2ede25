"""Syne Tune's local backend: one process per trial, which reports by printing a line."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.peers.trials import GRID, SLOTS, TRIALS, train


def train_one(lr: float, noise: float, seed: int) -> None:
    from syne_tune import Reporter

    reporter = Reporter()

    def report(epoch: int, loss: float) -> None:
        reporter(epoch=epoch, val_loss=loss)

    train(lr, noise, seed, report)


def tune() -> None:
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import choice
    from syne_tune.optimizer.baselines import RandomSearch

    scheduler = RandomSearch(
        {name: choice(values) for name, values in GRID.items()},
        metrics=["val_loss"],
        points_to_evaluate=TRIALS,
    )
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__))),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_completed=len(TRIALS)),
        n_workers=SLOTS,
        sleep_time=0.5,
        print_update_interval=600,
    )
    tuner.run()


def main() -> None:
    """Tune; with the arguments that the backend adds, train one trial."""
    parser = argparse.ArgumentParser()
    for name, values in GRID.items():
        parser.add_argument(f"--{name}", type=type(values[0]))
    options, _ = parser.parse_known_args()
    if options.lr is None:
        tune()
    else:
        train_one(options.lr, options.noise, options.seed)


if __name__ == "__main__":
    main()
