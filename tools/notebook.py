"""Make notebooks of scripts in the percent format: `python tools/notebook.py [script]` writes an .ipynb beside it.

A cell starts at a line `# %%`, a cell of text at `# %% [markdown]`. The cells are run here, in order and in one
process, and what they print and draw is kept as their output; Jupyter is not needed. Without an argument: the notebooks
that the repository ships. The tests hold every notebook's cells to its script's.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["SHIPPED", "Cell", "build", "cells_of", "code_of", "main", "run"]

ROOT = Path(__file__).resolve().parent.parent
#: Scripts whose notebooks are in the repository.
SHIPPED = (ROOT / "examples" / "02_private_diagnosis.py",)


@dataclass(frozen=True)
class Cell:
    """One cell: Python, or text in Markdown."""

    kind: Literal["code", "markdown"]
    source: str


def cells_of(script: str) -> list[Cell]:
    """The cells of a script; whatever stands before the first mark is left out. Raises ValueError if there is none."""
    _, *parts = re.split(r"^# %%", script, flags=re.MULTILINE)
    if not parts:
        raise ValueError("the script has no cell: a cell starts with a line `# %%`")
    found = []
    for part in parts:
        mark, _, body = part.partition("\n")
        text = mark.strip() == "[markdown]"
        source = re.sub(r"^# ?", "", body, flags=re.MULTILINE) if text else body
        found.append(Cell("markdown" if text else "code", source.strip("\n")))
    return found


def code_of(notebook: dict[str, Any]) -> list[Cell]:
    """The cells of a notebook as read from its JSON."""
    return [Cell(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def run(cells: list[Cell], folder: Path) -> list[list[dict[str, Any]]]:
    """Execute the code cells with `folder` as working and import folder; the outputs of every cell, by nbformat 4."""
    import matplotlib as mpl

    mpl.use("agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    outputs = []
    for number, cell in enumerate(cells):
        printed = io.StringIO()
        if cell.kind == "code":
            with contextlib.redirect_stdout(printed):
                exec(compile(cell.source, f"<cell {number}>", "exec"), namespace)
        text = printed.getvalue()
        stream = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}] if text else []
        outputs.append([*stream, *_figures()])
    return outputs


def _figures() -> list[dict[str, Any]]:
    """What was drawn since the last call, as images."""
    from matplotlib import pyplot

    made = []
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png", dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(image.getvalue()).decode() + "\n", "text/plain": ["<Figure>"]}
        made.append({"output_type": "display_data", "data": data, "metadata": {}})
    pyplot.close("all")
    return made


def build(cells: list[Cell], outputs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """A notebook of nbformat 4.5."""
    made = []
    for number, (cell, output) in enumerate(zip(cells, outputs, strict=True)):
        source = cell.source.splitlines(keepends=True)
        entry: dict[str, Any] = {"cell_type": cell.kind, "id": f"cell-{number:02}", "metadata": {}, "source": source}
        if cell.kind == "code":
            count = sum(c.kind == "code" for c in cells[: number + 1])
            entry |= {"execution_count": count, "outputs": output}
        made.append(entry)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Run the scripts and write their notebooks."""
    for script in [Path(name).resolve() for name in sys.argv[1:2]] or SHIPPED:
        cells = cells_of(script.read_text("utf-8"))
        notebook = build(cells, run(cells, script.parent))
        target = script.with_suffix(".ipynb")
        target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
        print(f"{target}: {len(cells)} cells")


if __name__ == "__main__":
    main()
