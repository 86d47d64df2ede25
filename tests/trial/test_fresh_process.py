"""Components and exported models work in a process that has imported nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cae.trial.component import Component
from cae.trial.config import Trial
from cae.trial.model import save_model
from cae.trial.networks.create import build_network
from tests.trial.tasks.test_declared_metrics import TASKS, small_trial

READ_BACK = """
import json, sys
from cae.trial.config import from_flat

for flat in json.load(sys.stdin):
    assert from_flat(flat).flat() == flat, flat
"""

APPLY = """
import sys
import torch
import cae

for folder in sys.argv[1:]:
    model = cae.load_model(folder)
    task = model.trial.task
    channels, rows, columns = task.input_shape(model.trial.dataset.image_shape)
    output = model.network(torch.rand(2, channels, rows, columns))
    assert output.shape[1:] == task.output_shape(model.trial.dataset.image_shape), folder
    print(folder)
"""

REGISTERED = """
import json
from cae.trial.config import Trial

names = {kind: sorted(component.registry) for kind, component in Trial.COMPONENTS.items()}
print(json.dumps(names))
"""


def run_python(code: str, *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_components_are_registered_by_importing_trial() -> None:
    registered = json.loads(run_python(REGISTERED))
    for kind, component in Trial.COMPONENTS.items():
        builtin = [name for name, part in component.registry.items() if part.is_builtin()]
        assert registered[kind] == sorted(builtin)


def test_every_component_is_read_back_from_its_configuration() -> None:
    flats = [small_trial(task).flat() for task in TASKS]
    base = small_trial(TASKS[0])
    for kind, registry in _registries().items():
        if kind in ("task", "dataset", "arch"):
            continue  # they need one another; the trials above have all tasks
        for name in registry:
            changes: dict[str, object] = {kind: name}
            if name == "torch_optimizer":
                changes |= {"optimizer.algorithm": "NAdam", "optimizer.lr": 0.01}
            flats.append(base.override(changes).flat())
    run_python(READ_BACK, stdin=json.dumps(flats))


def _registries() -> dict[str, dict[str, type[Component]]]:
    registries: dict[str, dict[str, type[Component]]] = {}
    for kind, component in Trial.COMPONENTS.items():
        builtin = {name: part for name, part in component.registry.items() if part.is_builtin()}
        registries[kind] = builtin
    return registries


def test_a_model_of_every_task_can_be_loaded_and_applied(tmp_path: Path) -> None:
    """In one process, because importing torch takes two seconds."""
    folders: list[str] = []
    for index, task in enumerate(TASKS):
        trial = small_trial(task)
        weights = dict(build_network(trial).state_dict())
        folder = tmp_path / f"{index} {task.name} {task.loss}"
        save_model(folder, weights, trial, {"metrics": {}})
        folders.append(str(folder))
    applied = run_python(APPLY, *folders)
    assert applied.splitlines() == folders
