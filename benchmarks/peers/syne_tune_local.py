"""Syne Tune's local backend, as its examples have it: a process per trial, which reports by a line
that it prints."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.peers.trials import GRID, SLOTS, TRIALS, train


def one(lr: float, noise: float, seed: int) -> None:
    from syne_tune import Reporter

    report = Reporter()
    train(lr, noise, seed, lambda epoch, loss: report(epoch=epoch, val_loss=loss))


def main() -> None:
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, values in GRID.items():
        parser.add_argument(f"--{name}", type=type(values[0]))
    given, _ = parser.parse_known_args()
    if given.lr is None:
        main()
    else:
        one(given.lr, given.noise, given.seed)
