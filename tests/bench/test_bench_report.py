"""The page of benchmarks: says what the JSON says, and a target that is missed reads "no"."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]
Json = dict[str, Any]

PHASES = {phase: {"seconds": 0.5, "bytes": 1_000_000} for phase in ("register", "deal", "prime")}
CASE: Json = {
    "net": "resnet18", "link": "loopback", "ring": "auto", "rings": [40], "activations": 1000, "activation_layers": 2,
    "input_bytes": 100, "answer_bytes": 50, "largest_activation_input": 5.0, "busy_before": 0.1,
    "plain_torch_seconds": {"1": 0.02, "2": 0.01}, "offline_link": "loopback", "predicted_seconds": 0.07,
    "offline": {**PHASES, "as_billed": True}, "offline_more": {**PHASES, "as_billed": True},
    "material_bytes": {"client": 50, "server": 133_000},
    "online": {
        "median": 0.08, "least": 0.07, "runs": [0.08] * 5, "bytes_client": 5116, "bytes_server": 5066,
        "as_billed": True, "one_way_steps": 6, "link_seconds": 0.0, "nrmse": 1e-4, "argmax_equal": 5,
    },
}  # fmt: skip
PEER = {
    "system": "CrypTen",
    "net": "resnet18",
    "link": "loopback",
    "activation": "relu",
    "part": "online",
    "seconds": 0.8,
}
MACHINE: Json = {
    "cpu": "a processor", "cores_used": 2, "cores_present": 2, "memory_gib": 24, "tiers": ["avx512"], "system": "Linux",
    "versions": {"python": "3", "numpy": "2", "torch": "2", "openssl": "O"}, "date": "2026-01-01",
}  # fmt: skip


@pytest.fixture
def nets() -> Json:
    settings = {"runs": 5, "input_range": 8.0}
    return copy.deepcopy({"machine": MACHINE, "settings": settings, "nets": [CASE], "peers": [PEER]})


def verdicts(load: Load, nets: Json) -> dict[str, bool | None]:
    targets = load("targets")
    return {t.what: t.met for t in targets.check(targets.Results(nets))}


def test_met(load: Load, nets: Json) -> None:
    found = verdicts(load, nets)
    assert found["resnet18 online, loopback"]
    assert found["resnet18 against CrypTen with ReLU, online, same run"]
    assert found["resnet18 against CrypTen with ReLU, whole, same run"] is None
    assert found["bytes per activation online, each way"]
    assert False not in found.values()


@pytest.mark.parametrize(
    ("what", "field", "value"),
    [
        ("resnet18 online, loopback", "median", 0.2),
        ("resnet18 against CrypTen with ReLU, online, same run", "median", 0.2),
        ("logits against the clear reading, nRMSE", "nrmse", 0.01),
        ("bill against metered bytes, every phase", "as_billed", False),
        ("one-way steps per activation layer, online", "one_way_steps", 8),
        ("bytes per activation online, each way", "bytes_client", 6000),
    ],
)
def test_missed(load: Load, nets: Json, what: str, field: str, value: float) -> None:
    nets["nets"][0]["online"][field] = value
    assert verdicts(load, nets)[what] is False


def test_slow_link_is_seen(load: Load, nets: Json) -> None:
    far = copy.deepcopy(nets["nets"][0])
    far["link"], far["online"]["link_seconds"], far["online"]["median"] = "wan", 1.0, 1.5
    nets["nets"].append(far)
    what = "any net, any link: (online - loopback) / (trips x RTT + bytes / bandwidth)"
    assert verdicts(load, nets)[what] is False
    far["online"]["median"] = 1.3
    assert verdicts(load, nets)[what]


def test_page(load: Load, nets: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = load("report")
    (tmp_path / "nets.json").write_text(json.dumps(nets))
    out = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["report.py", str(tmp_path), str(out)])
    assert report.main() == 0
    text = out.read_text()
    assert "| resnet18 | 40 | loopback | 80.0 | 70.0 | 70.0 | 6 |" in text
    assert "800.0 (10.0)" in text
    assert "## Kernels" not in text


def test_nothing_measured(load: Load) -> None:
    assert load("report").page(load("targets").Results()).startswith("# Benchmarks")
