"""The notebooks of docs/guide: executed in their order, each in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = ["sweep_from_a_notebook", "reading_runs", "using_a_model"]
"""The later ones read the run of the first one."""
KERNEL_SECONDS = 600


def read(name: str) -> Any:
    path = ROOT / "docs" / "guide" / f"{name}.ipynb"
    return nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]


def test_every_notebook_is_executed_and_has_no_stored_outputs() -> None:
    assert {path.stem for path in (ROOT / "docs" / "guide").glob("*.ipynb")} == set(NOTEBOOKS)
    for name in NOTEBOOKS:
        for cell in read(name).cells:
            assert not cell.get("outputs"), name
            assert not cell.get("execution_count"), name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outputs: dict[str, list[str]] = {}
    for name in NOTEBOOKS:
        notebook = read(name)
        client = NotebookClient(
            notebook,
            timeout=KERNEL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        outputs[name] = [text_of(cell) for cell in notebook.cells]
    sweep = "".join(outputs["sweep_from_a_notebook"])
    assert sweep.count("finished  trial") == 2, "progress is shown below the cell"
    assert "torch.Size([256, 8])" in "".join(outputs["using_a_model"])
    assert "torch.Size([6, 1, 8, 8])" in "".join(outputs["using_a_model"])
    assert "test_pca_auroc" in "".join(outputs["using_a_model"])
    assert "My title" in "".join(outputs["reading_runs"])


def text_of(cell: Any) -> str:
    texts: list[str] = []
    for output in cell.get("outputs", []):
        texts.append(str(output.get("text", "")))
        texts.append(str(output.get("data", {}).get("text/plain", "")))
    return "".join(texts)
