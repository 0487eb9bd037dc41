"""`tacit compile`: both files, the summary, and every refusal as sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tacit.plan.save import load_plan

from .conftest import Files, Tiny, one_sentence, save_onnx

Cli = Callable[..., Any]

KEYS = {
    "plan", "commitment", "trust", "batch", "inputs", "outputs", "steps", "rings", "ranges", "failure_bound", "files",
    "warnings",
}  # fmt: skip


def test_json_has_its_keys_and_speaks_of_the_files(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "net.tacit"
    result = cli("compile", tiny.path, "--calibration", tiny.calibration, "--ring", 64, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert set(report) == KEYS
    assert set(report["ranges"]) == {"grade", "margin", "examples", "data", "bounds"}
    assert report["files"] == {"owner": str(out), "public": str(tmp_path / "net.public.tacit")}
    assert (report["rings"], report["outputs"], report["ranges"]["examples"]) == ([64], [[1, 3]], 120)
    owner, public = load_plan(out), load_plan(tmp_path / "net.public.tacit")
    assert owner.digest == public.digest == report["plan"]
    assert owner.graph is not None
    assert public.graph is None
    assert out.stat().st_mode & 0o777 == 0o600


def test_public_file_holds_no_weight(files: Files) -> None:
    needle = files.tiny.first.astype(np.float32)[0].tobytes()[:12]
    transposed = files.tiny.first.T.astype(np.float32)[0].tobytes()[:12]
    owner = files.owner.read_bytes()
    assert needle in owner or transposed in owner
    public = files.public.read_bytes()
    assert needle not in public
    assert transposed not in public


def test_the_summary_and_its_warnings(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((3, 4)))
    line = ["compile", tiny.path, "--calibration", tmp_path / "few.npy", "--margin", 2, "-o", tmp_path / "n.tacit"]
    result = cli(*line)
    assert result.exit_code == 0, result.stderr
    for word in ("input 1", "calibrated", "commitment", str(tmp_path / "n.public.tacit")[:20]):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "3 examples are few" in result.stderr
    assert "a margin of 2 is small" in result.stderr


def test_clear_trust_is_called_what_it_is(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    line = ["compile", tiny.path, "--calibration", tiny.calibration, "-o", tmp_path / "n.tacit", "--trust", "clear"]
    assert "hides nothing" in cli(*line).stderr


def test_policy_file_and_options_that_win_over_it(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("ring = 64\nmargin = 8.0\n")
    line = ["compile", tiny.path, "--calibration", tiny.calibration, "-o", tmp_path / "n.tacit", "--json"]
    report = json.loads(cli(*line, "--policy", tmp_path / "policy.toml", "--margin", 4).stdout)
    assert (report["rings"], report["ranges"]["margin"]) == ([64], 4.0)


def test_example_shapes_set_the_batch(cli: Cli, tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save_onnx(tmp_path / "m.onnx", nodes, {"w": np.eye(4)[:, :2]}, [None, 4], [None, 2])
    np.save(tmp_path / "c.npy", np.ones((11, 4)))
    line = ["compile", path, "--calibration", tmp_path / "c.npy", "-o", tmp_path / "n.tacit", "--json"]
    for example in ("5,4", "5x4"):
        report = json.loads(cli(*line, "--example", example).stdout)
        assert (report["batch"], report["ranges"]["examples"]) == (5, 10)


def test_two_inputs_come_as_one_npz(cli: Cli, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "z"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", x=np.ones((4, 4)), z=np.full((4, 3), 0.5))
    line = ["compile", tmp_path / "m.onnx", "--calibration", tmp_path / "c.npz", "-o", tmp_path / "n.tacit", "--json"]
    for examples in (["2,4", "2,3"], [tmp_path / "c2.npz"]):
        np.savez(tmp_path / "c2.npz", x=np.ones((2, 4)), z=np.ones((2, 3)))
        result = cli(*line, *(word for example in examples for word in ("--example", example)))
        assert result.exit_code == 0, result.stderr
        assert [given["shape"] for given in json.loads(result.stdout)["inputs"]] == [[2, 4], [2, 3]]
    one_sentence(cli(*line, "--example", "2,4"), "the example has 1 inputs, the calibration data 2")
    np.savez(tmp_path / "c.npz", x=np.ones((4, 4)), z=np.ones((3, 3)))
    one_sentence(cli(*line, "--example", "2,4", "--example", "2,3"), "the same number of examples")


def test_a_python_file_gives_a_torch_model(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text("WIDTH = 3\n")
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom sizes import WIDTH\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.l = torch.nn.Linear(4, WIDTH)\n"
        "    def forward(self, x):\n        return self.l(x) ** 2\n"
        "def build():\n    return Net()\n"
        "net = Net()\n"
        "def number():\n    return 7\n"
        "def broken():\n    return 1 / 0\n"
    )
    np.savez(tmp_path / "c.npz", x=np.ones((2, 4)))
    common = ["--example", "2,4", "--calibration", tmp_path / "c.npz", "-o", tmp_path / "n.tacit", "--json"]
    for name in ("build", "net"):
        result = cli("compile", f"{tmp_path}/mine.py:{name}", *common)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["outputs"] == [[2, 3]]
    one_sentence(cli("compile", f"{tmp_path}/mine.py:number", *common), "gives a int, not a torch.nn.Module")
    one_sentence(cli("compile", f"{tmp_path}/mine.py:broken", *common), "failed with ZeroDivisionError")
    one_sentence(cli("compile", f"{tmp_path}/mine.py:absent", *common), "has no 'absent'")
    one_sentence(cli("compile", f"{tmp_path}/mine.py", *common), "say what makes the model")
    one_sentence(cli("compile", f"{tmp_path}/none.py:f", *common), "there is no file")


def test_all_refusals_at_once(cli: Cli, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sin", ["x"], ["e"], name="first"),
        helper.make_node("Cos", ["e"], ["r"], name="second"),
        helper.make_node("Det", ["r"], ["y"], name="third"),
    ]
    path = save_onnx(tmp_path / "m.onnx", nodes, {}, [1, 2, 2], [1])
    np.save(tmp_path / "c.npy", np.ones((2, 2, 2)))
    result = cli("compile", path, "--calibration", tmp_path / "c.npy", "-o", tmp_path / "n.tacit")
    assert result.exit_code == 1
    assert "3 problems" in result.stderr
    for word in ("Sin", "Cos", "Det"):
        assert word in result.stderr
    assert not (tmp_path / "n.tacit").exists()
    assert not (tmp_path / "n.public.tacit").exists()


def bad_calibrations(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.npy" for name in ("nan", "shape", "text", "scalar", "cut", "noise")}
    values = np.ones((3, 4))
    np.save(paths["cut"], values)
    paths["cut"].write_bytes(paths["cut"].read_bytes()[:-8])
    values[1, 2] = np.nan
    np.save(paths["nan"], values)
    np.save(paths["shape"], np.ones((3, 5)))
    np.save(paths["text"], np.array(["a", "b"]))
    np.save(paths["scalar"], np.float64(3))
    paths["noise"].write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + bytes(range(200)))
    return paths | {"absent": folder / "absent.npy", "folder": folder}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("nan", ["nan.npy", "NaN"]), ("shape", ["(3, 5)", "(1, 4)"]), ("text", ["text.npy", "numbers"]),
        ("scalar", ["scalar.npy"]), ("cut", ["cut.npy", "not a complete"]), ("noise", ["noise.npy"]),
        ("absent", ["absent.npy", "No such file"]), ("folder", ["cannot read"]),
    ],
)  # fmt: skip
def test_bad_calibration(cli: Cli, tiny: Tiny, tmp_path: Path, kind: str, parts: list[str]) -> None:
    file = bad_calibrations(tmp_path)[kind]
    one_sentence(cli("compile", tiny.path, "--calibration", file, "-o", tmp_path / "n.tacit"), *parts)
    assert not (tmp_path / "n.tacit").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["ranges need data", "--calibration"]), (["--example", "1,4"], ["ranges need data"]),
        (["--example", "0,4"], ["positive sizes"]), (["--example", "nowhere.npy"], ["nowhere.npy"]),
        (["--example", "1,4", "--example", "1,5"], ["ranges need data"]),
    ],
)  # fmt: skip
def test_bad_examples(cli: Cli, tiny: Tiny, tmp_path: Path, words: list[str], parts: list[str]) -> None:
    one_sentence(cli("compile", tiny.path, *words, "-o", tmp_path / "n.tacit"), *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--ring", "15"], ["ring", "15"]), (["--trust", "me"], ["trust", "'me'"]), (["--margin", "0.5"], ["margin"]),
        (["--ranges", "guessed"], ["ranges"]), (["--policy", "none.toml"], ["none.toml"]),
        (["--public", "OUT"], ["different names"]), (["-o", "/nowhere/n.tacit"], ["cannot write /nowhere/n.tacit"]),
    ],
)  # fmt: skip
def test_bad_options(cli: Cli, tiny: Tiny, tmp_path: Path, words: list[str], parts: list[str]) -> None:
    out = tmp_path / "n.tacit"
    given = [str(out) if word == "OUT" else word for word in words]
    one_sentence(cli("compile", tiny.path, "--calibration", tiny.calibration, "-o", out, *given), *parts)


def test_bad_models(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(tiny.path.read_bytes()[:-40])
    (tmp_path / "model.bin").write_bytes(b"x")
    for model, part in ((cut, "ONNX"), (tmp_path / "model.bin", "not a model file"), (tmp_path / "no.onnx", "no file")):
        line = ["compile", model, "--calibration", tiny.calibration, "-o", tmp_path / "n.tacit"]
        one_sentence(cli(*line), part)
