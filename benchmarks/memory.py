"""The memory of trials: predicted without values, and allocated by PyTorch on the CPU.

    python -m benchmarks.memory        # results/memory.csv; 3 min, needs no data

For each network, with two batch sizes: a few steps, the validation and the final evaluation on
synthetic images. The allocations are those that PyTorch's profiler records; they include the
scratch memory of the operations, which the prediction does not know.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu.workloads import network_trials, other_trials, synthetic_images
from benchmarks.measure import Row, save, show
from cae.trial.batches import Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import conclude, evaluate, evaluation_pairs
from cae.trial.memory import predict_memory
from cae.trial.networks.create import build_network
from cae.trial.steps import Step, build_optimizer

TRAIN_IMAGES = 10_000
EVALUATED_IMAGES = 1000
STEPS = 4
SMALLER_BATCH = 4
"""The second batch size of each network is this many times smaller."""
MIB = 2**20
STAGES = ("images", "training", "validation", "final")


def stage_peaks(run: Callable[[], object]) -> dict[str, int]:
    """Return the most bytes that PyTorch has allocated on the CPU at any time of each stage.

    `run` names its stages by `record_function`.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as prof:
        run()
    assert prof.profiler is not None
    results = prof.profiler.kineto_results
    assert results is not None
    events = [event for event in results.events() if event.name() in ("[memory]", *STAGES)]
    events.sort(key=lambda event: event.start_ns())
    live = 0
    stage = STAGES[0]
    peaks = dict.fromkeys(STAGES, 0)
    for event in events:
        if event.name() == "[memory]":
            live += event.nbytes()
        else:
            stage = event.name()
        peaks[stage] = max(peaks[stage], live)
    return peaks


def train_and_evaluate(trial: Trial) -> None:
    """A few steps, the validation and the final evaluation of a trial, as training does them."""
    device = torch.device("cpu")
    with record_function("images"):
        images = synthetic_images(trial, TRAIN_IMAGES, EVALUATED_IMAGES, device)
        network = build_network(trial)
        optimizer = build_optimizer(trial.optimizer, network)
        train_pairs = Pairs(trial.task, images.train, trial.seed, 0, "train")
        val_pairs = evaluation_pairs(trial.task, images.val, "val")
        network.train()
        trial.task.prepare(network, trial.task.stage(1, trial.epochs))
    with record_function("training"):
        step = Step(network, optimizer, train_pairs, trial.precision)
        for indices in torch.arange(STEPS * trial.batch_size).split(trial.batch_size):
            step(indices)
    with record_function("validation"):
        evaluate(network, val_pairs)
    with record_function("final"):
        conclude(network, trial.task, images, {})


def compare(name: str, trial: Trial, allocated: dict[str, int]) -> Row:
    """Return the predicted and the allocated peaks of each stage."""
    counts = {"train": TRAIN_IMAGES, "val": EVALUATED_IMAGES, "test": EVALUATED_IMAGES}
    predicted = predict_memory(trial, counts)
    stages = {
        "training": predicted.training,
        "validation": predicted.evaluation,
        "final": predicted.final_evaluation,
    }
    row: Row = {"network": name, "batch": trial.batch_size}
    for stage, peak in stages.items():
        row[f"{stage}_allocated_mib"] = allocated[stage] / MIB
        row[f"{stage}_predicted_mib"] = peak / MIB
        row[f"{stage}_ratio"] = peak / allocated[stage]
    row["ratio"] = predicted.peak / max(allocated[stage] for stage in stages)
    row["final_executed_to_its_end"] = predicted.is_complete
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trials: list[tuple[str, Trial]] = []
    for name, trial in {**network_trials(), **other_trials()}.items():
        smaller = max(8, trial.batch_size // SMALLER_BATCH)
        for batch_size in (trial.batch_size, smaller):
            if not arguments.networks or name in arguments.networks:
                trials.append((name, trial.override({"batch_size": batch_size})))
    # The predictions come last: afterwards caches contain tensors without values.
    allocations = [stage_peaks(functools.partial(train_and_evaluate, trial)) for _, trial in trials]
    rows: list[Row] = []
    for (name, trial), allocated in zip(trials, allocations, strict=True):
        rows.append(compare(name, trial, allocated))
    show("Memory of a trial", rows)
    errors = [abs(math.log(row["ratio"])) for row in rows]
    print(f"largest error: a factor of {math.exp(max(errors)):.3f}")
    if not arguments.networks:
        save("memory", rows)


if __name__ == "__main__":
    main()
