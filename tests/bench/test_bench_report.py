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
    "net": "resnet18", "link": "loopback", "activation": "quartic", "policy": "auto", "rings": [40],
    "evaluations": 1000, "activation_layers": 2,
    "relus": 0, "key_bytes": {"client": 0.0, "server": 0.0},
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
    "scheduling": "real-time",
    "seconds": 0.8,
}
RELU_CASE: Json = {**CASE, "activation": "relu", "policy": "ring32", "rings": [32], "relus": 1000}
ENDS: Json = {
    "values": 1 << 20, "policy": "ring32", "ring": 32, "seconds": 0.14, "least_seconds": 0.13, "around_seconds": 0.02,
    "online_bytes_per_relu": 8.25, "key_bytes": {"client": 406.0, "server": 426.125}, "dealt_per_second": 2e6,
}  # fmt: skip
RELU: Json = {
    "ends": [
        ENDS,
        {**ENDS, "policy": "exact32", "key_bytes": {"client": 406.0, "server": 426.125}},
        {**ENDS, "policy": "ring64", "online_bytes_per_relu": 16.25},
    ],
    "kernels": [
        {"work": w, "tier": t, "bits": 31, "keys": n, "rate": r, "median_rate": r}
        for n, factor in ((1 << 10, 2.0), (1 << 19, 1.0))
        for w, t, r in (("sign", "avx512", 26e6 * factor), ("sign", "avx2", 9e6), ("deal", "avx512", 6e6))
    ],
    "peers": [{**PEER, "net": "relu20", "part": "whole", "seconds": 1.2, "megabytes": 488.5}],
}
MACHINE: Json = {
    "cpu": "a processor", "cores_used": 2, "cores_present": 2, "memory_gib": 24, "tiers": ["avx512"], "system": "Linux",
    "versions": {"python": "3", "numpy": "2", "torch": "2", "openssl": "O"}, "date": "2026-01-01",
}  # fmt: skip


@pytest.fixture
def nets() -> Json:
    settings = {"runs": 5, "input_range": 8.0}
    return copy.deepcopy({"machine": MACHINE, "settings": settings, "nets": [CASE], "peers": [PEER]})


def verdicts(load: Load, nets: Json | None, relu: Json | None = None) -> dict[str, bool | None]:
    return {t.what: t.met for t in load("targets").check(load("results").Results(nets, relu=relu))}


def test_met(load: Load, nets: Json) -> None:
    found = verdicts(load, nets)
    assert found["resnet18 with quartics online, loopback"]
    assert found["resnet18 with quartics against CrypTen with ReLU, online"]
    assert found["resnet18 with quartics against CrypTen with ReLU, whole"] is None
    assert found["bytes per quartic online, each way"]
    assert False not in found.values()


@pytest.mark.parametrize(
    ("what", "field", "value"),
    [
        ("resnet18 with quartics online, loopback", "median", 0.2),
        ("resnet18 with quartics against CrypTen with ReLU, online", "median", 0.2),
        ("logits against the clear reading, nRMSE, any policy", "nrmse", 0.01),
        ("bill against metered bytes, every phase", "as_billed", False),
        ("one-way steps per quartic layer, online", "one_way_steps", 8),
        ("bytes per quartic online, each way", "bytes_client", 6000),
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
    assert "| resnet18 | auto | 40 | loopback | 80.0 | 70.0 | - | - | 70.0 | 6 |" in text
    assert "## Kernels" not in text


def test_peers_stand_beside_the_same_activation(load: Load, nets: Json) -> None:
    beside = "| resnet18 | relu | ring32 | loopback | 80.0 | - | 800.0 (10.0) | - |"
    page, results = load("report").page, load("results").Results
    assert beside not in page(results(nets))
    nets["nets"].append(copy.deepcopy(RELU_CASE))
    assert beside in page(results(nets))
    assert "Scheduling: CrypTen real-time; ours ordinary" in page(results(nets))


def test_relu_met(load: Load, nets: Json) -> None:
    nets["nets"].append(copy.deepcopy(RELU_CASE))
    found = verdicts(load, nets, RELU)
    assert found["2^20 ReLUs end to end, k = 32"]
    assert found["sign tests, 31 bits, VAES, one core"]
    assert found["resnet18 with ReLU, k = 32, loopback"]
    assert found["resnet18 with ReLU, k = 32, against CrypTen with ReLU, online"]
    assert found["resnet18 with ReLU, k = 32, against SPU Semi2k with ReLU, whole"] is None
    assert found["key bytes per ReLU and party, windowed, w = 20"] is None
    assert False not in found.values()


@pytest.mark.parametrize(
    ("what", "which", "field", "value"),
    [
        ("2^20 ReLUs end to end, k = 32", 0, "seconds", 0.16),
        ("bytes per ReLU online, both ways, k = 32", 0, "online_bytes_per_relu", 8.6),
        ("key bytes per ReLU and party, k = 32, exact", 1, "key_bytes", {"client": 406.0, "server": 451.0}),
    ],
)
def test_relu_missed(load: Load, what: str, which: int, field: str, value: object) -> None:
    relu = copy.deepcopy(RELU)
    relu["ends"][which][field] = value
    assert verdicts(load, None, relu)[what] is False


def test_speeds_count_with_keys_in_memory(load: Load) -> None:
    relu = copy.deepcopy(RELU)
    for row in relu["kernels"]:
        row["rate"] *= 0.5 if row["keys"] > 1 << 10 else 1
    found = verdicts(load, None, relu)
    assert found["sign tests, 31 bits, VAES, one core"] is False
    assert found["sign tests, 31 bits, AES-NI, one core"] is False
    assert found["keys that a dealer makes, one core"] is False


def test_relu_page(load: Load) -> None:
    text = load("report").page(load("results").Results(relu=RELU))
    assert "| 1,048,576 | ring32 | 32 | 140.0 | 130.0 | 20.0 | 8.25 | 406.00 | 426.12 | 2.00 |" in text
    assert "| 2^20 | CrypTen | whole | 1,200 | 488.5 |" in text
    assert "| avx2 | sign | 31 | 524,288 | 9.00 | 9.00 |" in text


def test_nothing_measured(load: Load) -> None:
    assert load("report").page(load("results").Results()).startswith("# Benchmarks")
