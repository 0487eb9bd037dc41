"""The tutorials run as they are printed, each in a process of its own, and the notebook is its script's."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tacit

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TUTORIALS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
LONG = ("03_read_a_bill", "04_find_a_drift")
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

pytest.importorskip("torch")
pytest.importorskip("matplotlib")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("notebook")


def play(script: Path, scratch: Path) -> str:
    """Run a script with this very package, everything it writes below `scratch`; what it printed."""
    found = [str(Path(tacit.__file__).parents[1]), str(EXAMPLES)]
    variables = {"PYTHONPATH": os.pathsep.join(found), "TMPDIR": str(scratch), "MPLBACKEND": "agg"}
    words = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(words, env=os.environ | variables, cwd=scratch, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script.name} ended with status {done.returncode}:\n{done.stderr[-3000:]}"
    return done.stdout


def scripts() -> list[Path]:
    """Every tutorial but those whose notebook is run."""
    return [script for script in TUTORIALS if script.with_suffix(".ipynb") not in NOTEBOOKS]


def marked() -> list[object]:
    """The scripts, long ones slow: what they show, the tests of plans, commands and drifts run too."""
    slow = {script: (pytest.mark.slow,) for script in scripts() if script.stem in LONG}
    return [pytest.param(script, id=script.stem, marks=slow.get(script, ())) for script in scripts()]


@pytest.mark.parametrize("script", marked())
def test_tutorial_runs(script: Path, tmp_path: Path) -> None:
    assert play(script, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, tool: ModuleType) -> None:
    cells = tool.code_of(json.loads(path.read_text("utf-8")))
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(cell.source for cell in cells if cell.kind == "code"), "utf-8")
    assert "private and clear agree on 20 of 20 patients" in play(script, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_its_script(path: Path, tool: ModuleType) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    cells = tool.cells_of(path.with_suffix(".py").read_text("utf-8"))
    assert tool.code_of(notebook) == cells, "run `python tools/notebook.py`"
    for cell, made in zip(cells, notebook["cells"], strict=True):
        shown = [output["output_type"] for output in made.get("outputs", [])]
        if cell.kind == "markdown":
            continue
        assert ("stream" in shown) == bool(re.search(r"^ *print\(", cell.source, re.MULTILINE))
        assert ("display_data" in shown) == ("savefig" in cell.source)


def test_the_shipped_notebooks_are_those_that_the_tool_makes(tool: ModuleType) -> None:
    assert [script.with_suffix(".ipynb") for script in tool.SHIPPED] == NOTEBOOKS


def test_cells_of_a_script(tool: ModuleType) -> None:
    found = tool.cells_of('"""Left out."""\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n\n# %%\ny = 2\n')
    assert [(cell.kind, cell.source) for cell in found] == [
        ("markdown", "# Title\n\ntext"),
        ("code", "x = 1"),
        ("code", "y = 2"),
    ]
    with pytest.raises(ValueError, match="no cell"):
        tool.cells_of("x = 1\n")


@pytest.mark.parametrize("page", [*TUTORIALS, ROOT / "docs" / "tutorials.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_tutorial_is_in_the_index() -> None:
    index = (ROOT / "docs" / "tutorials.md").read_text("utf-8")
    for script in [*TUTORIALS, *NOTEBOOKS]:
        assert f"(../examples/{script.name})" in index
