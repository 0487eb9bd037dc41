"""Answers one bundle at a time: a row for every input, and those of a file are not measured again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.slow
def test_every_input_is_answered_and_kept(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, out = load("answers"), tmp_path / "answers.json"
    asked = [
        "answers.py",
        "--nets",
        "lenet5",
        "--policies",
        "ring40",
        "--activation",
        "quartic",
        "--folder",
        str(tmp_path),
    ]
    monkeypatch.setattr("sys.argv", [*asked, "--out", str(out), "--inputs", "1"])
    assert answers.main() == 0
    (first,) = json.loads(out.read_text())["answers"]
    assert (first["net"], first["input"], first["rings"], first["argmax_equal"]) == ("lenet5", 0, [40], 1)
    assert first["nrmse"] < 1e-3
    assert set(first["peak_bytes"]) == {"client", "server", "dealer"}
    assert all(30e6 < peak < 4e9 for peak in first["peak_bytes"].values())
    out.write_text(json.dumps({**json.loads(out.read_text()), "answers": [{**first, "seconds": 0.5}]}))
    monkeypatch.setattr("sys.argv", [*asked, "--out", str(out), "--inputs", "1", "--resume"])
    assert answers.main() == 0
    assert json.loads(out.read_text())["answers"] == [{**first, "seconds": 0.5}]
    page = load("lib.report").page(load("lib.results").Results(answers={"answers": [first]}))
    assert "| lenet5 | quartic | ring40 | 40 | 1 | 1 |" in page
