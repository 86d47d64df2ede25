"""Sentences about the best configuration."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.page.sections.best import BestContent, best_section
from cae.report.statistics.best import Distinction, Setting, compare_configurations
from cae.report.statistics.leaders import Leaders
from cae.report.wording.best import (
    certainty_sentence,
    comparison_sentence,
    distinction_texts,
    more_seeds_command,
    more_seeds_label,
    settings_text,
)
from cae.run.selection import Condition
from tests.report.planted_runs import configurations_with_seeds
from tests.report.synthetic_runs import MakeWriter


def sentence_for(writer: MakeWriter, means: list[float], seeds: int, spread: float) -> str:
    results = configurations_with_seeds(writer, means, seeds, spread)
    return comparison_sentence(results, compare_configurations(results))


def test_a_better_configuration_is_compared_with_the_next(writer: MakeWriter) -> None:
    sentence = sentence_for(writer, [0.010, 0.020, 0.021], 5, 0.0005)
    assert "is significantly better than each of the 2 others: " in sentence
    assert " lower than the next (trial " in sentence
    assert "; 95 % interval " in sentence
    assert "It is the best with a probability of over 99\u00a0%." in sentence


def test_the_interval_has_the_sign_of_the_difference_it_belongs_to(writer: MakeWriter) -> None:
    """Regression: "0.104 higher than the next (interval -0.113 to -0.0951)"."""
    run = writer(metric="val_psnr", mode="max", seeds=3, scheduler=None)
    run.session(list(range(1, 7)))
    for number in range(1, 7):
        kernel, seed = divmod(number - 1, 3)
        run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
        run.start(number)
        run.epoch(number, 1, 0.1, val_psnr=20.0 + 2 * kernel + 0.1 * seed * (1 + kernel))
        run.end(number, "finished", best_epoch=1)
    results = tables.read([run.close()])
    comparison = compare_configurations(results)
    sentence = certainty_sentence(results, comparison)
    match = re.search(r"one: (\S+) higher than .* interval (\S+) to (\S+)\)", sentence)
    assert match is not None
    difference, low, high = map(float, match.groups())
    assert difference == pytest.approx(2.1)
    assert low < difference < high
    ends = comparison.compared.iloc[1][["difference_low", "difference_high"]]
    assert (low, high) == pytest.approx((-ends.iloc[1], -ends.iloc[0]), rel=0.01)


def test_tied_configurations_are_named_with_the_smallest_network(writer: MakeWriter) -> None:
    sentence = sentence_for(writer, [0.010, 0.010, 0.030], 4, 0.001)
    assert " is tied with that of trial " in sentence
    assert "with these seeds it is unknown which is better" in sentence
    assert "The smallest of them is trial " in sentence


def test_configurations_that_are_not_compared_are_counted(writer: MakeWriter) -> None:
    """Regression: "each of the 1 others", without the one whose second seed diverged."""
    run = writer(seeds=2, scheduler=None)
    run.session(list(range(1, 7)))
    for number in range(1, 7):
        kernel, seed = divmod(number - 1, 2)
        run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
        run.start(number)
        if number == 6:
            run.end(number, "diverged")
            continue
        run.epoch(number, 1, 0.01 * (3 - kernel) + 1e-5 * seed * kernel)
        run.end(number, "finished", best_epoch=1, metrics={})
    results = tables.read([run.close()])
    sentence = certainty_sentence(results, compare_configurations(results))
    assert "is significantly better than the other one: " in sentence
    assert sentence.endswith("1 configuration of which not all seeds finished is not compared.")


def test_one_seed_per_configuration_suggests_more_seeds(writer: MakeWriter) -> None:
    assert sentence_for(writer, [0.01, 0.02], 1, 0.0).endswith(
        "all ran with one seed, so a difference may be due to chance. To add seeds, run the same "
        "command with --set seeds=3; finished trials are kept."
    )


def test_more_seeds_of_a_learning_search_need_one_configuration(writer: MakeWriter) -> None:
    def with_search(**sweep: Any) -> Any:
        return writer(**sweep, search={"name": "model-based", "learns": True})

    results = configurations_with_seeds(with_search, [0.01, 0.02], 1, 0.0)
    sentence = comparison_sentence(results, compare_configurations(results))
    assert sentence.endswith("--set space=none --set seeds=3; finished trials are kept.")
    content = best_section(results)
    assert isinstance(content, BestContent)
    assert content.seeds_command == ""


def test_one_configuration_has_no_comparison(writer: MakeWriter) -> None:
    assert sentence_for(writer, [0.01], 3, 0.001) == ""


def test_the_command_for_more_seeds_replaces_their_number(writer: MakeWriter) -> None:
    def with_command(**sweep: Any) -> Any:
        return writer(**sweep, command="cae-sweep run a.py --set seeds=2 --budget cpu")

    results = configurations_with_seeds(with_command, [0.01], 2, 0.0)
    assert more_seeds_command(results) == "cae-sweep run a.py --budget cpu --set seeds=4"


def test_more_seeds_of_a_sample_need_more_trials(writer: MakeWriter) -> None:
    def of_a_sample(**sweep: Any) -> Any:
        return writer(
            **sweep, command="cae-sweep run a.py --max-trials 2", space=100, examined=2, trials=2
        )

    results = configurations_with_seeds(of_a_sample, [0.01, 0.02], 1, 0.0)
    expected = "cae-sweep run a.py --max-trials 6 --set seeds=3"
    assert more_seeds_command(results) == expected
    leaders = Leaders([Condition("arch.kernel_size", "3"), Condition("task.loss", "a b")], 2)
    assert more_seeds_command(results, leaders) == (
        f"{expected} --where arch.kernel_size=3 --where 'task.loss=a b'"
    )
    assert "the 2 configurations" in more_seeds_label(results, leaders)
    assert more_seeds_label(results, None).startswith("Add seeds to every configuration;")


def test_more_seeds_of_a_part_are_those_of_the_part(writer: MakeWriter) -> None:
    def of_a_part(**sweep: Any) -> Any:
        where = "--where arch.kernel_size=1 --where 'task.loss=a b' --where 'arch.kernel_size=1 2'"
        return writer(**sweep, command=f"cae-sweep run a.py {where}")

    results = configurations_with_seeds(of_a_part, [0.01, 0.02], 1, 0.0)
    leaders = Leaders([Condition("arch.kernel_size", "0")], 1)
    command = more_seeds_command(results, leaders)
    assert command == (
        "cae-sweep run a.py --where 'task.loss=a b' --set seeds=3 --where arch.kernel_size=0"
    )
    assert " --where arch.kernel_size=1 " in more_seeds_command(results)
    assert more_seeds_label(results, None).startswith(
        "Add seeds to every configuration with arch.kernel_size=1, task.loss=a b and "
        "arch.kernel_size=1 2;"
    )


def test_trials_are_named_by_their_unusual_settings() -> None:
    distinction = Distinction(
        parameters=["arch.kernel_size", "arch.layers", "optimizer.lr", "optimizer"],
        settings=[
            [],
            [Setting("arch.kernel_size", 5)],
            [Setting("optimizer.lr", 0.1), Setting("optimizer", "sgd")],
        ],
    )
    assert distinction_texts(distinction) == [
        "as most are",
        "kernel_size 5",
        "lr 0.1 and optimizer sgd",
    ]


def test_equal_trials_have_no_distinguishing_text() -> None:
    assert distinction_texts(Distinction(parameters=[], settings=[[], []])) == ["", ""]


def test_settings_have_full_names() -> None:
    settings = [Setting("arch.kernel_size", 3), Setting("optimizer.lr", 0.01)]
    assert settings_text(settings, 4) == "arch.kernel_size 3 and optimizer.lr 0.01"
