"""Data for the scripts of the page."""

from __future__ import annotations

import base64
import gzip
import json
import shlex

from cae.report.data import commands, tables
from cae.report.page import linked_data
from cae.run.records import Record
from tests.report.page.conftest import ReadResults


def test_flags_are_quoted_for_a_shell(evil: str) -> None:
    config = {"seed": 0, "arch.filters": [8, 16], "arch.name": evil}
    record = Record(1, "hash", config, axes={"arch.filters": 0, "arch.name": 0}, sizes={})
    words = shlex.split(commands.set_flags(record, {"seed": 0, "arch.filters": [8, 16]}))
    assert words[::2] == ["--set"] * 5
    settings = ["space=none", "seeds=1", "seed=0", "arch.filters=[8, 16]", f"arch.name={evil}"]
    assert words[1::2] == settings


def test_defaults_that_a_configuration_leaves_out_are_set_if_the_base_trial_has_others() -> None:
    base: dict[str, object] = {"arch": "a", "arch.skips": True, "clip_norm": 1.0, "seed": 0}
    defaults: dict[str, object] = {"arch.skips": False, "clip_norm": None, "precision": "float32"}

    def settings(**config: object) -> set[str]:
        record = Record(1, "hash", {"seed": 0, **config}, axes={}, sizes={})
        words = shlex.split(commands.set_flags(record, base, defaults))
        return set(words[1::2]) - {"space=none", "seeds=1", "seed=0"}

    assert settings(arch="a") == {"arch.skips=false", "clip_norm=null"}
    assert settings(arch="b") == {"arch=b", "clip_norm=null"}
    assert settings(arch="a", **{"arch.skips": True, "clip_norm": 1.0}) == set()


def test_an_axis_with_a_default_that_is_left_out_is_set() -> None:
    axes = {"arch.residual_blocks": 0, "seed": 0}
    record = Record(1, "hash", {"seed": 0, "arch": "a"}, axes=axes, sizes={})
    words = shlex.split(commands.set_flags(record, {"seed": 0, "arch": "a"}))
    assert "arch.residual_blocks=0" in words


def test_records_of_a_csv_may_contain_line_ends() -> None:
    text = 'trial,reason\n1,"two\nlines and a ""quotation"""\n2,none\n'
    assert linked_data.split_csv(text) == [
        "trial,reason\n",
        '1,"two\nlines and a ""quotation"""\n',
        "2,none\n",
    ]


def test_the_packed_csv_is_trials_csv(read_results: ReadResults) -> None:
    results = read_results("thirty")
    packed = base64.b64decode(linked_data.packed_csv(results))
    lines = json.loads(gzip.decompress(packed))
    assert len(lines) == 31
    assert "".join(lines) == tables.csv_text(results, results.trials)


def test_keys_name_the_run_of_joined_trials(read_results: ReadResults) -> None:
    one = read_results("one")
    two = read_results("two")
    joined = tables.read([one.runs[0].folder, two.runs[0].folder])
    assert linked_data.trial_keys(two)["keys"] == ["1", "2"]
    assert linked_data.trial_keys(joined)["keys"] == ["1.1", "2.1", "2.2"]
    assert not linked_data.trial_keys(joined)["ranges"]
