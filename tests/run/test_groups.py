"""Comparability groups: which trials may be compared."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cae.run.groups import (
    Group,
    assign_groups,
    differences_text,
    group_labels,
    is_defined_equally,
    split_by_group,
)
from cae.run.records import Record, replay
from tests.run.events import planned, record

DENOISE = {
    "dataset": "digits",
    "dataset.size": 16,
    "task": "denoise",
    "task.loss": "bce",
    "task.noise_factor": 0.5,
    "epochs": 2,
}


def with_config(number: int, **config: Any) -> Record:
    """A trial of a version that did not record groups."""
    trial = record(number, losses=(0.5,))
    trial.config = DENOISE | {name.replace("__", "."): value for name, value in config.items()}
    return trial


def recorded(number: int, key: str = "a", **config: Any) -> Record:
    """A trial with a recorded group of these parameters."""
    trial = with_config(number, **config)
    names = [name for name in trial.config if name.partition(".")[0] in ("dataset", "task")]
    parameters = {name: trial.config[name] for name in names} | {"data": "0123abcd"}
    trial.describe_group({"key": key, "parameters": parameters, "metrics": {"psnr": "p"}})
    return trial


def keys(records: list[Record]) -> list[str | None]:
    return [None if group is None else group.key for group in assign_groups(records)]


def test_trials_that_differ_in_network_and_training_are_in_one_group() -> None:
    trials = [with_config(1), with_config(2, epochs=9, arch__kernel_size=5, optimizer__lr=0.1)]
    assert len(split_by_group(trials)) == 1
    assert split_by_group(trials)[0].label == ""


def test_each_noise_level_is_a_group_with_a_label() -> None:
    trials = [with_config(number, task__noise_factor=0.1 * (number % 3)) for number in range(6)]
    groups = split_by_group(trials)
    labels = [group.label for group in groups]
    assert labels == ["task.noise_factor = 0", "task.noise_factor = 0.1", "task.noise_factor = 0.2"]
    assert [[trial.number for trial in group.records] for group in groups] == [
        [0, 3],
        [1, 4],
        [2, 5],
    ]


def test_parameters_of_the_training_alone_do_not_separate_old_trials() -> None:
    two_stages = {"task": "classify", "task.loss": "mse", "task.classes": 10}
    trials = []
    for number, share in enumerate((0.0, 0.5)):
        trial = with_config(number)
        encoder = {"task.encoder.epochs": number, "task.encoder.task": "reconstruct"}
        trial.config = two_stages | encoder | {"task.frozen_share": share, "epochs": 2}
        trials.append(trial)
    assert len(split_by_group(trials)) == 1
    redrawn = [with_config(1, task__redraw_noise=True), with_config(2, task__redraw_noise=False)]
    assert len(split_by_group(redrawn)) == 1


def test_a_dependency_belongs_to_no_group() -> None:
    judge = with_config(1, task="classify")
    judge.is_dependency = True
    assert keys([judge, with_config(2)])[0] is None
    assert len(split_by_group([judge, with_config(2)])) == 1


def test_an_old_trial_joins_the_recorded_group_with_its_parameters() -> None:
    assert keys([with_config(1), recorded(2)]) == ["a", "a"]
    assert keys([with_config(1, task__noise_factor=0.9), recorded(2)])[0] != "a"


def test_an_old_trial_joins_no_group_if_two_have_its_parameters() -> None:
    """The images or the code changed in between: it is unknown with which it was trained."""
    assert len(set(keys([with_config(1), recorded(2, "a"), recorded(3, "b")]))) == 3


def test_an_old_trial_joins_no_group_of_an_own_task() -> None:
    """Its code may have changed since."""
    own = recorded(2)
    own.group_description["parameters"]["code"] = "1234"
    trials = [with_config(1), own]
    assert len(set(keys(trials))) == 2
    assert [group.label for group in split_by_group(trials)] == [
        "data = not recorded",
        "data = 0123abcd",
    ]


def test_a_trial_keeps_the_group_that_it_was_measured_in() -> None:
    first = planned(1)
    first.group = {"key": "before", "parameters": {"data": "1"}}
    again = planned(1)
    again.group = {"key": "after", "parameters": {"data": "1"}}
    records = replay([first, again], is_running=False)
    assert records[1].group.key == "before"


def test_an_old_trial_gets_its_group_when_it_is_planned_again() -> None:
    again = planned(1)
    again.group = {"key": "now", "parameters": {"data": "1"}}
    assert not replay([planned(1)], is_running=False)[1].group.is_recorded
    assert replay([planned(1), again], is_running=False)[1].group.key == "now"


def test_labels_name_only_what_distinguishes_groups() -> None:
    groups = [
        Group("a", {"dataset": "d", "task": "denoise", "task.loss": "bce", "task.noise_factor": 1}),
        Group("b", {"dataset": "d", "task": "reconstruct", "task.loss": "mse"}),
    ]
    assert list(group_labels(groups).values()) == ["task = denoise", "task = reconstruct"]
    assert differences_text(groups) == "task"


def test_labels_name_fingerprint_and_code_only_where_no_parameter_differs() -> None:
    groups = [Group("a", {"data": "1", "code": "x"}), Group("b", {"data": "2", "code": "x"})]
    assert list(group_labels(groups).values()) == ["data = 1", "data = 2"]
    named = [Group("a", {"data": "1", "dataset.train_images": None})]
    named.append(Group("b", {"data": "2", "dataset.train_images": 10}))
    labels = list(group_labels(named).values())
    assert labels == ["dataset.train_images = 10", "dataset.train_images = all"]


def test_labels_of_values_that_look_equal_when_rounded_are_exact() -> None:
    levels = (0.123451, 0.123452, 0.5)
    trials = [with_config(number, task__noise_factor=level) for number, level in enumerate(levels)]
    labels = [group.label for group in split_by_group(trials)]
    assert labels == [f"task.noise_factor = {level}" for level in levels]


def test_groups_are_in_the_order_of_numbers_and_else_of_their_first_trials() -> None:
    levels = [with_config(number, task__noise_factor=10 - number) for number in range(3)]
    assert [group.records[0].number for group in split_by_group(levels)] == [2, 1, 0]
    losses = [with_config(number, task__loss=loss) for number, loss in enumerate(("mse", "l1"))]
    assert [group.records[0].number for group in split_by_group(losses)] == [0, 1]


def test_a_metric_is_defined_equally_if_its_keys_are_equal_and_known() -> None:
    first = Group("a", {"data": "1"}, {"loss": "mse", "psnr": "p"})
    second = Group("b", {"data": "1"}, {"loss": "l1", "psnr": "p"})
    assert is_defined_equally("val_psnr", [first, second])
    assert is_defined_equally("last_val_psnr", [first, second])
    assert not is_defined_equally("val_loss", [first, second])
    assert not is_defined_equally("val_sharpness", [first, second])


def test_definitions_of_old_runs_follow_from_their_parameters() -> None:
    def groups(*configs: dict[str, Any]) -> list[Group]:
        return [with_config(1, **config).group for config in configs]

    noise = groups({"task__noise_factor": 0.3}, {"task__noise_factor": 0.9})
    assert is_defined_equally("val_loss", noise)
    losses = groups({"task__loss": "mse"}, {"task__loss": "l1"})
    assert is_defined_equally("test_psnr", losses)
    assert not is_defined_equally("val_loss", losses)
    assert not is_defined_equally("test_recognised", losses)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5]), st.sampled_from(["mse", "l1"]))))
def test_a_group_has_one_value_of_each_parameter_of_the_task(
    settings: list[tuple[float, str]],
) -> None:
    trials = []
    for number, (noise, loss) in enumerate(settings):
        trials.append(with_config(number, task__noise_factor=noise, task__loss=loss))
    groups = split_by_group(trials)
    assert sum(len(group.records) for group in groups) == len(trials)
    assert len(groups) == len(set(settings))
    for group in groups:
        values = {
            (trial.config["task.noise_factor"], trial.config["task.loss"])
            for trial in group.records
        }
        assert len(values) == 1
