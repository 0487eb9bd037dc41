"""One door for all models; files that are damaged or would bring code are refused."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tacit.errors import InvalidFile, InvalidInput
from tacit.front.clear import run_clear
from tacit.front.load import load_model


def saved(path: Path) -> tuple[nn.Module, Path]:
    """A model of one input [1, 3, 6, 6] with parameters, buffers and constants, and its .pt2 file."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, 2)).eval()
    program = torch.export.export(model, (torch.ones(1, 3, 6, 6),), strict=False)
    torch.export.save(program, path / "model.pt2")
    return model, path / "model.pt2"


def rewritten(path: Path, changed: dict[str, bytes | None]) -> Path:
    """The archive with some members replaced, added, or (None) left out; names lack the archive's own folder."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        folder = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            if name.partition("/")[2] not in changed:
                new.writestr(name, old.read(name))
        for name, content in changed.items():
            if content is not None:
                new.writestr(f"{folder}/{name}", content)
    return target


def test_modules_and_graphs() -> None:
    graph = load_model(nn.Linear(3, 2), torch.ones(1, 3))
    assert load_model(graph) is graph
    with pytest.raises(InvalidInput, match="example"):
        load_model(nn.Linear(3, 2))
    with pytest.raises(InvalidInput, match="not dict"):
        load_model({})


def test_pt2(tmp_path: Path) -> None:
    model, path = saved(tmp_path)
    x = np.random.default_rng(1).normal(size=(1, 3, 6, 6))
    value = run_clear(load_model(str(path)), x)[0]
    np.testing.assert_allclose(value, model.double()(torch.tensor(x)).detach().numpy(), atol=1e-6)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))  # type: ignore[return-value]


def test_pt2_pickles_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path)[1]
    bomb = pickle.dumps(Bomb())
    load_model(rewritten(path, {"data/sample_inputs/model.pt": bomb}))
    for name in ("data/constants/opaque_obj_0", "data/weights/model.pt", "data/aotinductor/model/a.so", "extra/x.py"):
        with pytest.raises(InvalidFile, match="not read"):
            load_model(rewritten(path, {name: bomb}))
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        weights = archive.read(f"{folder}/data/weights/model_weights_config.json")
        program = archive.read(f"{folder}/models/model.json")
    live = io.BytesIO()
    torch.save(Bomb(), live)
    config = "data/weights/model_weights_config.json"
    marked = weights.replace(b'"use_pickle": false', b'"use_pickle": true')
    with pytest.raises(InvalidFile, match="pickled tensors"):
        load_model(rewritten(path, {config: marked, "data/weights/weight_0": live.getvalue()}))
    for name, content in (
        (config, weights.replace(b'"weight_0"', b'"opaque_obj_0"')),
        ("models/model.json", program.replace(b'"as_int"', b'"as_expr"')),
        ("models/model.json", b"[]"),
        ("models/model.json", b"{}"),
        ("models/model.json", b"{"),
        ("models/model.json", None),
    ):
        with pytest.raises(InvalidFile):
            load_model(rewritten(path, {name: content}))
    assert not (tmp_path / "exploded").exists()


def test_pt2_with_dynamic_shapes(tmp_path: Path) -> None:
    program = torch.export.export(
        nn.Linear(3, 2), (torch.ones(4, 3),), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    torch.export.save(program, tmp_path / "open.pt2")
    with pytest.raises(InvalidFile, match="dynamic shapes"):
        load_model(tmp_path / "open.pt2")


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = saved(tmp_path)[1]
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pt2").write_bytes(whole[:length])
        with pytest.raises(InvalidFile, match=r"cut\.pt2"):
            load_model(tmp_path / "cut.pt2")
    with pytest.raises(InvalidFile, match="no file"):
        load_model(tmp_path / "none.pt2")
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), buffer)
    (tmp_path / "model.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InvalidInput, match="not a model file"):
        load_model(tmp_path / "model.pt")


def test_importing_the_door_imports_neither_torch_nor_onnx() -> None:
    code = "import sys, tacit.front.load, tacit.front.clear, tacit.ops as o; [o.load(n) for n in o.names()]; "
    code += "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    code = "import sys; sys.modules['onnx'] = None\nfrom tacit.front.load import load_model\n"
    code += "from tacit.errors import InvalidInput\ntry: load_model(sys.argv[1])\n"
    code += "except InvalidInput as e: sys.exit('the package onnx' not in str(e))"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.onnx")], check=False)
    assert run.returncode == 0
