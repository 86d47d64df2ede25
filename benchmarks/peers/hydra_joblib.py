"""Hydra's multirun with its joblib launcher: the command line contains the grid."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore

from benchmarks.peers.trials import GRID, SLOTS, train


@dataclass
class Config:
    lr: float = 1e-3
    noise: float = 0.5
    seed: int = 0


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config: Config) -> float:
    return train(config.lr, config.noise, config.seed)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.argv += [
            "--multirun",
            "hydra/launcher=joblib",
            f"hydra.launcher.n_jobs={SLOTS}",
            f"hydra.sweep.dir={folder}",
        ]
        for name, values in GRID.items():
            sys.argv.append(f"{name}={','.join(str(value) for value in values)}")
        main()
