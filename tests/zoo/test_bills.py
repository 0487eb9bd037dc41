"""The expected bills of the zoo's nets: sizes from the papers, and bills that change only on purpose.

After a wanted change of a plan, of a gate's cost or of a net:

    python -m pytest tests/zoo/test_bills.py -m "slow or not slow" --timeout=1800 --update-baselines
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from tacit import zoo
from tacit.front.compile import compile_model
from tacit.net.shaper import LAN, WAN
from tacit.zoo.bills import POLICY, expected, measured, write_expected
from tacit.zoo.net import Size

BILLS = Path(zoo.__file__).parent / "bills.json"
#: Compiled in no time.
QUICK = ("autoencoder", "lenet5")

#: Parameters and multiply-accumulates as published: the papers' tables, or torchvision's for its nets.
PUBLISHED = {
    "alexnet": (61_100_840, 0.714e9),
    "autoencoder": (267_928, 264_192),
    "densenet": (7_978_856, 2.834e9),
    "lenet5": (61_706, 416_520),
    "mobilenet_v1": (4_231_976, 0.569e9),
    "mobilenet_v2": (3_504_872, 0.301e9),
    "resnet18": (11_689_512, 1.814e9),
    "resnet50": (25_557_032, 4.089e9),
    "resnet110": (1.73e6, 0.253e9),
    "resnet32": (0.464e6, 0.069e9),
    "squeezenet": (1_248_424, 0.819e9),
    "unet": (7_763_041, 12.07e9),
    "vgg16": (138_357_544, 15.47e9),
    "yolov4_tiny": (6.06e6, 3.45e9),
}


def cases() -> list[object]:
    slow = [pytest.mark.slow, pytest.mark.timeout(1800)]
    return [pytest.param(name, marks=() if name in QUICK else slow) for name in zoo.names()]


@pytest.mark.parametrize("name", cases())
def test_the_bill_is_the_expected_one(name: str, request: pytest.FixtureRequest) -> None:
    found = measured(name)
    if request.config.getoption("--update-baselines"):
        kept = expected() if BILLS.exists() else {}
        write_expected({**kept, name: found}, BILLS)
    assert found == expected()[name], "this net's bill differs; see this module's first lines if that is wanted"


def test_every_net_has_a_bill() -> None:
    assert sorted(expected()) == zoo.names()


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name: str) -> None:
    parameters, macs = PUBLISHED[name]
    assert expected()[name].parameters == pytest.approx(parameters, rel=0.005)
    assert expected()[name].macs == pytest.approx(macs, rel=0.005)


def test_writing_and_reading_agree(tmp_path: Path) -> None:
    write_expected(expected(), tmp_path / "bills.json")
    assert (tmp_path / "bills.json").read_text("utf-8") == BILLS.read_text("utf-8")


def test_seconds_are_those_of_the_bill() -> None:
    """The kept facts predict what the plan's own bill predicts, to the last digit."""
    size: Size = zoo.load("lenet5").published
    plan = compile_model(size.model(), size.example(), policy=POLICY)
    for link in (LAN, WAN):
        kept, own = expected()["lenet5"].seconds(link), plan.bill(link.name).seconds()
        assert math.isclose(kept, own, rel_tol=1e-9)


def test_the_page_shows_the_bills(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/zoo.md is what `python tools/zoo_page.py` writes."""
    root = Path(__file__).parents[2]
    monkeypatch.syspath_prepend(str(root / "tools"))
    made = importlib.import_module("zoo_page").page()
    assert (root / "docs" / "zoo.md").read_text("utf-8") == made, "run python tools/zoo_page.py"
