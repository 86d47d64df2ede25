"""The section about the latent code: what it shows, its limits, and the images of its maps."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae.report.data import tables
from cae.report.data.latent_samples import read_latent_samples
from cae.report.data.results import Results
from cae.report.page.figures.latent_code import classes_of, draw_maps, main_maps, tsne_maps
from cae.report.page.sections import latent_code
from cae.report.page.sections.latent_code import LatentCodeContent, latent_code_section
from cae.report.wording.latent_code import unit_name
from cae.run.paths import RunDir
from tests.report.page.pages import TIMEOUT_MS, needs_chromium, opened
from tests.report.synthetic_runs import MakeWriter, RunWriter, latent_arrays

SHEET = "latent_code-sheet"


def small_run(writer: MakeWriter, count: int = 2, **arrays: Any) -> RunDir:
    """Trials whose code has two values: its map is the code itself, which takes no time."""
    run = writer(axes={"arch.kernel_size": {"values": [3, 5, 7], "scale": "linear"}})
    run.session(list(range(1, count + 1)))
    for number in range(1, count + 1):
        add_trial(run, number)
        codes = latent_arrays(number, 16, 1)["codes"][:, :2]
        run.latent(number, **{"codes": codes, "latent_shape": np.array([2])} | arrays)
    return run.close()


def add_trial(run: RunWriter, number: int) -> None:
    run.trial(number, {"arch.kernel_size": 2 * number + 1})
    run.start(number)
    run.epoch(number, 1, 0.01 * number)
    run.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.01})


def content_of(results: Results) -> LatentCodeContent:
    content = latent_code_section(results)
    assert isinstance(content, LatentCodeContent)
    return content


def test_the_section_has_maps_strips_and_one_sheet(writer: MakeWriter) -> None:
    content = content_of(tables.read([small_run(writer)]))
    assert set(content.captions) == {"latent_map"}
    assert content.sheet is not None
    assert content.sheet.count == 500
    assert [trial.label for trial in content.trials] == ["trial 1", "trial 2"]
    interpolations, traversals = content.trials[0].strips
    assert interpolations.row_names[0] == "class 0 to class 1"
    assert interpolations.columns == 1 + 8 + 1
    assert traversals.row_names[0] == "value 1: -2 to 2"
    assert traversals.columns == 7
    assert [entry.name for entry in content.legend] == [f"class {n}" for n in range(10)]
    names = [column.name for column in content.tables[0].columns]
    assert names[:3] == ["trial", "val_loss", "latent size"]


def test_the_size_limit_leaves_out_strips_of_later_trials(
    writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tables.read([small_run(writer)])
    whole = content_of(results)
    assert whole.sheet is not None
    first = sum(len(strip.data_uri) for strip in whole.trials[0].strips)
    monkeypatch.setattr(latent_code, "MAX_BYTES", len(whole.sheet.data_uri) + first)
    content = content_of(results)
    assert content.trials[0].strips
    assert not content.trials[1].strips
    assert "size limit" in content.trials[1].reason


def test_a_trial_that_decodes_nothing_has_the_reason(writer: MakeWriter) -> None:
    none = np.zeros((0, 1, 1, 1), np.uint8)
    run = small_run(
        writer,
        1,
        reason=np.array("a network with skips <b>"),
        interpolations=none,
        traversals=none,
        ends=none,
    )
    content = content_of(tables.read([run]))
    assert content.trials[0].reason == "a network with skips <b>"
    assert not content.trials[0].strips


def test_a_run_without_latent_codes_has_no_section(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    add_trial(run, 1)
    content = content_of(tables.read([run.close()]))
    assert content.is_left_out


def test_a_run_with_damaged_files_only_states_it(writer: MakeWriter) -> None:
    run = small_run(writer, 1)
    (run.trial(1) / "latent.npz").write_bytes(b"PK\x03\x04 torn")
    content = content_of(tables.read([run]))
    assert content.is_empty
    assert not content.is_left_out
    assert "1 trial with a damaged latent.npz" in content.verdict


def test_each_point_of_a_map_has_the_position_of_its_image(writer: MakeWriter) -> None:
    results = tables.read([small_run(writer, 1)])
    figure = draw_maps(main_maps(results))
    codes = latent_arrays(1, 16, 1)["codes"]
    labels = latent_arrays(1, 16, 1)["labels"]
    drawn = 0
    for number, trace in enumerate(figure.data):
        first = trace.meta["first"]
        count = len(trace.x)
        assert set(labels[first : first + count]) == {number}
        np.testing.assert_allclose(trace.x, codes[first : first + count, 0], rtol=1e-6)
        drawn += count
    assert drawn == 500
    assert not tsne_maps(results).panels


def test_images_without_classes_are_one_group(tmp_path: Path) -> None:
    path = tmp_path / "latent.npz"
    arrays = latent_arrays(1, 16, 1, labels=np.zeros(500, np.int64), classes=np.zeros(0, str))
    np.savez(path, **arrays)
    (only,) = classes_of(read_latent_samples(path))
    assert (only.name, only.first, only.count) == ("test image", 0, 500)


@pytest.mark.parametrize(
    ("latent_shape", "index", "name"),
    [
        ([16], 2, "value 3"),
        ([16, 1, 1], 2, "value 3"),
        ([4, 3, 5], 2 * 15 + 1 * 5 + 4, "channel 3, row 2, column 5"),
    ],
)
def test_values_of_the_code_are_named_by_their_place(
    tmp_path: Path, latent_shape: list[int], index: int, name: str
) -> None:
    path = tmp_path / "latent.npz"
    np.savez(path, **latent_arrays(1, 16, 1, latent_shape=np.array(latent_shape)))
    assert unit_name(read_latent_samples(path), index) == name


def test_the_static_map_has_the_points_in_the_colors_of_their_classes(
    writer: MakeWriter,
) -> None:
    content = content_of(tables.read([small_run(writer, 1)]))
    (static_map,) = content.static_maps
    encoded = static_map.data_uri.removeprefix("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    pixels = np.unique(np.asarray(image).reshape(-1, 3), axis=0)
    colors = {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in pixels.tolist()}
    assert {entry.color for entry in content.legend} <= colors


@needs_chromium
def test_the_image_of_a_point_is_shown_beside_the_pointer(browser: Any, writer: MakeWriter) -> None:
    """The same tile of the sheet as the number of the point says, with the page's policy."""
    with opened(browser, small_run(writer)) as page:
        plot = page.locator("#latent_map-plot")
        plot.scroll_into_view_if_needed()
        page.wait_for_selector("#latent_map-plot[data-drawn] .main-svg", timeout=TIMEOUT_MS)
        assert page.locator(".map-image:visible").count() == 0
        page.evaluate(
            """() => {
                const plot = document.getElementById("latent_map-plot");
                Plotly.Fx.hover(plot, [{ curveNumber: 3, pointNumber: 2 }], "xy");
                plot.emit("plotly_hover", {
                    points: [{ data: plot.data[3], pointNumber: 2 }],
                    event: { clientX: 300, clientY: 300 },
                });
            }"""
        )
        box = page.locator(".map-image")
        assert box.is_visible()
        assert box.get_attribute("data-number") == str(3 * 50 + 2)
        style = box.evaluate(
            "box => [box.style.backgroundPosition, box.style.backgroundImage.slice(5, 28)]"
        )
        assert style == ["-192px -576px", page.locator(f"#{SHEET}").get_attribute("src")[:23]]
        page.evaluate("document.getElementById('latent_map-plot').emit('plotly_unhover', {})")
        assert not box.is_visible()


@needs_chromium
def test_without_javascript_maps_and_strips_are_images(browser: Any, writer: MakeWriter) -> None:
    run = small_run(writer)
    with opened(browser, run, java_script_enabled=False) as page:
        assert page.locator("#latent_code .static-maps img").count() == 2
        assert page.locator("#latent_code .strip img").count() == 4
        assert page.locator("#latent_code .static-maps img").first.is_visible()
        assert page.locator("#latent_code table tbody tr").count() == 2


@needs_chromium
def test_the_section_fits_a_narrow_window(browser: Any, writer: MakeWriter) -> None:
    with opened(browser, small_run(writer), viewport={"width": 390, "height": 800}) as page:
        page.locator("#latent_map-plot").scroll_into_view_if_needed()
        page.wait_for_selector("#latent_map-plot[data-drawn] .main-svg", timeout=TIMEOUT_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@needs_chromium
def test_names_of_traversals_and_tables_fit_a_narrow_window(
    browser: Any, writer: MakeWriter
) -> None:
    """Names of three lines are below their image, and long text does not make rows high."""
    run = small_run(writer, latent_shape=np.array([2, 2, 4]))
    with opened(browser, run, viewport={"width": 390, "height": 844}) as page:
        strips = page.locator("#latent_code .rows.long-names").all()
        assert len(strips) == 2
        for strip in strips:
            image = strip.locator("img").bounding_box()
            assert image["width"] > 300
            names = strip.locator("li").all()
            assert len(names) == 6
            for name in names:
                box = name.bounding_box()
                assert box["y"] >= image["y"] + image["height"]
                assert box["height"] < 20
                assert box["x"] + box["width"] <= 390
        for row in page.locator("#latent_code tbody tr").all():
            assert row.bounding_box()["height"] < 110
