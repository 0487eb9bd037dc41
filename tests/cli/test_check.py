"""`tacit check`: findings with advice, an exit status for CI, JSON with stable keys, and repairs of ONNX models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from .conftest import Files, Tiny, one_sentence, save_onnx

Cli = Callable[..., Any]

KEYS = {"runs", "counts", "findings", "made_inputs", "layers", "bill", "fixed"}
LAYER = {
    "layer", "op", "ring", "range", "online_bytes", "stored_bytes", "predicted_seconds", "own_nrmse", "saturated",
}  # fmt: skip


def report(result: Any, status: int = 0) -> dict[str, Any]:
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    data: dict[str, Any] = json.loads(result.stdout)
    assert set(data) == KEYS
    assert all(set(layer) == LAYER for layer in data["layers"])
    assert all(set(f) == {"severity", "kind", "where", "what", "advice"} for f in data["findings"])
    return data


def test_a_model_that_runs(cli: Cli, tiny: Tiny, files: Files) -> None:
    found = report(cli("check", tiny.path, "--data", tiny.calibration, "--strict", "--json"))
    assert (found["runs"], found["counts"]["stops"], found["counts"]["hurts"]) == (True, 0, 0)
    assert not found["made_inputs"]
    assert found["layers"][-1]["own_nrmse"] < 1e-3
    made = report(cli("check", tiny.path, "--json"))
    assert made["made_inputs"]
    assert [f["kind"] for f in made["findings"] if f["where"] == "input"] == ["data"]
    for file in (files.owner, files.public):
        assert report(cli("check", file, "--json"))["bill"]["online_steps"] == made["bill"]["online_steps"]
    text = cli("check", tiny.path)
    assert "runs privately" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 100


def test_everything_that_stops_at_once(cli: Cli, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sin", ["x"], ["e"], name="first"), helper.make_node("Cos", ["e"], ["r"], name="second"),
        helper.make_node("Det", ["r"], ["y"], name="third"),
    ]  # fmt: skip
    path = save_onnx(tmp_path / "m.onnx", nodes, {}, [1, 2, 2], [1])
    found = report(cli("check", path, "--json"), 1)
    assert (found["runs"], found["counts"]["stops"], found["bill"]) == (False, 3, None)
    assert [f["where"].split(" ")[0] for f in found["findings"]] == ["first", "second", "third"]
    assert all(f["advice"] for f in found["findings"])
    text = cli("check", path)
    assert text.exit_code == 1
    assert "would not run" in text.stdout


def test_ranges_that_stop(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    np.save(tmp_path / "huge.npy", 1e12 * np.load(tiny.calibration))
    found = report(cli("check", tiny.path, "--data", tmp_path / "huge.npy", "--json"), 1)
    assert {f["kind"] for f in found["findings"] if f["severity"] == "stops"} == {"range"}


def test_what_hurts(cli: Cli, files: Files, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", 60 * np.load(files.tiny.calibration))
    line = ["check", files.owner, "--data", tmp_path / "large.npy", "--json"]
    found = report(cli(*line))
    assert "saturation" in {f["kind"] for f in found["findings"]}
    assert report(cli(*line, "--strict"), 1)["runs"]
    first, second = np.ones((4, 64)) / 2, np.ones((64, 64)) * 4
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"]), helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w3"], ["y"]),
    ]  # fmt: skip
    tensors = {"w1": first, "w2": second, "w3": np.ones((64, 2)) / 8192}
    path = save_onnx(tmp_path / "m.onnx", nodes, tensors, [1, 4], [1, 2])
    (tmp_path / "policy.toml").write_text("input_bits = 16\n")
    line = ["check", path, "--data", files.tiny.calibration, "--policy", tmp_path / "policy.toml", "--json"]
    found = report(cli(*line))
    rings = [f["where"] for f in found["findings"] if f["kind"] == "ring" and f["severity"] == "hurts"]
    assert rings == ["c"]
    assert any(f["kind"] == "bill" for f in found["findings"])


def old_model(path: Path) -> Path:
    """Opset 11, a max-pool whose indices nobody reads, and a dead node."""
    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["h"], auto_pad="SAME_UPPER", strides=[2, 2], name="conv"),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MaxPool", ["r"], ["p", "indices"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
            helper.make_node("Sin", ["p"], ["dead"], name="unused"),
            helper.make_node("Elu", ["p"], ["y"], alpha=1.0, name="last"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 2, 2])],
        [numpy_helper.from_array(rng.normal(size=(3, 2, 3, 3)).astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path)
    return path


def test_fix_keeps_the_function(cli: Cli, tmp_path: Path) -> None:
    path, out = old_model(tmp_path / "old.onnx"), tmp_path / "new.onnx"
    one_sentence(cli("check", path), "opset 11")
    found = report(cli("check", path, "--fix", out, "--json"))
    told = " ".join(found["fixed"])
    for word in ("opset 11", "indices", "unused"):
        assert word in told
    x = np.random.default_rng(1).normal(size=(1, 2, 8, 8)).astype(np.float32)
    before, after = (ReferenceEvaluator(onnx.load(p)).run(None, {"x": x})[0] for p in (path, out))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_replacements_that_the_owner_asks_for(cli: Cli, tmp_path: Path) -> None:
    path, out = old_model(tmp_path / "old.onnx"), tmp_path / "new.onnx"
    found = report(cli("check", path, "--fix", out, "--replace", "Elu=Relu", "--json"))
    assert "Elu was replaced by Relu" in found["fixed"][-1]
    assert [node.op_type for node in onnx.load(out).graph.node] == ["Conv", "Relu", "MaxPool", "Relu"]


def test_wrong_use(cli: Cli, tiny: Tiny, files: Files, tmp_path: Path) -> None:
    one_sentence(cli("check", tmp_path / "no.onnx"), "no file")
    one_sentence(cli("check", tiny.path, "--replace", "Elu=Relu"), "--fix")
    out = ["--fix", tmp_path / "o.onnx"]
    one_sentence(cli("check", tiny.path, *out, "--replace", "Elu"), "OLD=NEW")
    one_sentence(cli("check", tiny.path, *out, "--replace", "Elu=Relu"), "no operation Elu")
    one_sentence(cli("check", tiny.path, *out, "--replace", "Gemm=Gelu"), "not by Gelu")
    one_sentence(cli("check", files.owner, *out), "only ONNX models")
    assert cli("check").exit_code == 2
