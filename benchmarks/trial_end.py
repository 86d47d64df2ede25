"""Processor time of the end of a trial on one thread: the final evaluation of the test split.

    CAE_DATA=DIR python -m benchmarks.trial_end        # results/trial_end.csv

`forward` is the network alone on the test split; what is above it are metrics, tables and images.
The first trial of a worker also computes the baselines, which the others reuse. The networks have
random weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks.measure import Row, interleaved, save, show, spread
from benchmarks.networks import NETWORKS, trial_of
from cae.sweep.engine.worker_memory import keep_freed_memory
from cae.trial.batches import DeviceImages
from cae.trial.datasets import data_folders
from cae.trial.evaluation import conclude, evaluation_pairs
from cae.trial.networks.create import build_network


def seconds_of(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def measure(name: str, rounds: int) -> Row:
    trial = trial_of(name)
    images = DeviceImages.load(trial.dataset.load(data_folders(None)), torch.device("cpu"))
    network = build_network(trial).eval()
    batches = [inputs for inputs, _, _ in evaluation_pairs(trial.task, images.test, "").batches()]

    def end() -> float:
        return seconds_of(lambda: conclude(network, trial.task, images, {}))

    def forward() -> float:
        with torch.inference_mode():
            return seconds_of(lambda: [network(batch) for batch in batches])

    first = end()
    times = interleaved({"end": end, "forward": forward}, rounds)
    return {
        "network": name,
        "test_images": len(images.test.pixels),
        "first_s": first,
        "end_s": spread(times["end"]),
        "forward_s": spread(times["forward"]),
        "end_over_forward": min(times["end"]) / min(times["forward"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a worker does
    rows = [measure(name, arguments.rounds) for name in NETWORKS]
    show("The end of a trial", rows)
    save("trial_end", rows)


if __name__ == "__main__":
    main()
