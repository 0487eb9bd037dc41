"""ReLU by itself: three processes for one layer, and the figures that its row gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("policy", "ring", "compared"),
    [
        pytest.param("exact32", 32, 31, marks=pytest.mark.slow),
        ("windowed", 32, 19),
        pytest.param("ring64", 64, 49, marks=pytest.mark.slow),
    ],
)
def test_one_layer(load: Load, tmp_path: Path, policy: str, ring: int, compared: int) -> None:
    row = load("relu").ends(10, policy, 2, tmp_path)
    assert (row["values"], row["ring"], len(row["runs"])) == (1024, ring, 2)
    assert row["as_billed"]
    assert row["largest_error"] <= 2  # the input's rounding, and one unit of the truncation
    # one opening and one mask of the ring's bits, a bit of the sign each way, four frames' headers
    assert 1024 * row["online_bytes_per_relu"] == pytest.approx(1024 * (2 * ring + 2) / 8, abs=64)
    levels = compared - 7  # a seed and two bits each; then a leaf
    assert row["key_bytes"]["client"] == 16 * levels + 16 + levels / 4
    assert row["key_bytes"]["server"] == row["key_bytes"]["client"] + 1 / 8 + 5 * ring / 8
    assert not list(tmp_path.iterdir())


def test_speeds_of_every_tier(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("relu")
    monkeypatch.setattr(script, "KEYS", (256,))
    rows = list(script.speeds(1))
    tiers = script.native.tiers()
    assert {(row["work"], row["tier"]) for row in rows} == {(w, t) for w in ("sign", "deal") for t in tiers}
    assert all(row["rate"] >= row["median_rate"] > 0 for row in rows)
