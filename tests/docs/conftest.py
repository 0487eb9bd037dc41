"""Three homes that know each other, and the models: what the parties written from the document are tried on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tacit
from tacit.front.clear import run_clear
from tacit.ir.graph import Graph
from tacit.ir.positions import write_positions
from tacit.ir.weighted import adaptive_means, write_taps
from tacit.net.keys import enrol, make_identity
from tacit.plan.measure import Reading, noise
from tacit.testing.graphs import Sketch, nrmse, residual_net

sys.path.insert(0, str(Path(__file__).parent))  # the reference parties are modules of this folder, not a package

Floats = NDArray[np.float64]
PARTIES = ("server", "dealer", "client")


@dataclass
class Model:
    """A graph, an input of it, the plan, and the right answers: in floats, and in the plan's own integers."""

    graph: Graph
    xs: list[Floats]
    plan: tacit.Plan
    answers: list[Floats] = field(init=False)
    integers: list[Floats] = field(init=False)
    noise: list[float | None] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = list(run_clear(self.graph, *self.xs))
        self.integers = Reading.of(self.plan).outputs(self.xs)
        self.noise = noise(self.plan, [self.xs])

    def right(self, outputs: Sequence[Floats]) -> bool:
        """Whether outputs are the plan's integers but for the noise of roundings that the plan has.

        Bits and labels must be equal; where no bound is known, outputs must be near the floats.
        """
        certain = [wire.scale <= 1 for wire in (self.plan.wires[step.site] for step in self.plan.outputs)]
        cases = zip(outputs, self.integers, self.answers, self.noise, certain, strict=True)
        return all(
            np.array_equal(got, whole)
            if exact
            else nrmse([got], [real]) < 1e-3
            if bound is None
            else float(np.abs(got - whole).max()) <= bound
            for got, whole, real, bound, exact in cases
        )

    def floats(self) -> dict[tuple[str, str], Floats]:
        """The tensors by (node, name in the plan)."""
        renamed = {"gain": "weight", "offset": "bias"}
        return {
            (n.id, renamed.get(name, name)): np.asarray(self.graph.weights[key], np.float64)
            for n in self.graph.nodes
            for name, key in n.weights.items()
        }


def compiled(graph: Graph, xs: list[Floats], **policy: Any) -> Model:
    """The model of a graph of any number of inputs."""
    batch = xs[0] if len(xs) == 1 else tuple(xs)
    policy = {"input_bits": 16, "smooth_bits": 14, **policy}  # finer than what is compared
    return Model(graph, xs, tacit.compile(graph, batch, calibration=[batch], policy=tacit.Policy(**policy)))


def broad_net() -> tuple[Graph, list[Floats]]:
    """Every op of a plan that `residual_net` has not: two inputs, two outputs, and what moves and sums values."""
    s = Sketch(7)
    x, y = s.input(1, 4, 5, 5), s.input(1, 2, 5, 5)
    z = s.op("sub", s.conv(s.conv(x, 4, groups=2, stride=2), 2, 1), s.conv(y, 2, 3, stride=2))
    z = s.op("concat", s.affine(z), s.op("scale", z, attrs={"num": "-1", "den": "2"}), attrs={"axis": 1})
    z = s.op("pad", z, attrs={"before": [0, 0, 1, 0], "after": [0, 0, 0, 2]})
    z = s.op("bias", s.op("permute", z, attrs={"order": [0, 2, 3, 1]}), value=s.rng.normal(0, 0.3, (5, 4)))
    z = s.poly(z, ("1/5", "1", "1/3"))
    mean = s.op("mean", z, attrs={"axes": [1, 2], "keepdims": False})
    lifted = s.op("lift", s.linear(z, 2), attrs={"by": "4"})
    each = s.op("mul", z, s.op("reshape", mean, attrs={"shape": [1, 1, 1, 4]}))
    turned = s.op("permute", z, attrs={"order": [0, 1, 3, 2]})
    gram = s.op("matmul", turned, z, attrs={"inner": s.shape(z)[2]})
    each = s.op("keep", each, attrs=write_positions(np.arange(20).reshape(5, 4) % 3 > 0))
    each = s.op("resample", each, attrs=write_taps(adaptive_means(s.shape(each)[2], 2), 2))
    wide = s.op("expand", s.op("reshape", mean, attrs={"shape": [1, 1, 4]}), attrs={"shape": [1, 3, 4]})
    return s.graph(s.linear(mean, 3), lifted, each, gram, wide), s.values()


def gated_net() -> tuple[Graph, list[Floats]]:
    """Every gate and what surrounds it: values cut, maxima of windows, a bit of each, and the labels of the largest."""
    s = Sketch(3)
    x = s.input(2, 2, 5, 5)
    window: dict[str, Any] = {"kernel": 3, "stride": 2, "padding": 1, "dilation": 1, "windows": 3}
    y = s.op("relu", s.conv(x, 3))
    y = s.op("max", s.op("max", y, attrs={**window, "axis": 2}), attrs={**window, "axis": 3})
    y = s.op("leaky", s.conv(y, 2), attrs={"slope": "-1/8"})
    y = s.op("clip", s.conv(y, 2), attrs={"low": "-1/3", "high": "3/4"})
    y = s.op("add", y, s.poly(s.op("clip", y, attrs={"high": "1/5"}), ("0", "1/2", "1/2")))
    y = s.op("smooth", y, attrs={"function": "gelu"})
    logits = s.linear(s.flat(y), 5)
    return s.graph(logits, s.op("step", s.linear(s.flat(y), 4)), s.op("topk", logits, attrs={"k": 2})), s.values()


@pytest.fixture(scope="session")
def residual() -> Model:
    """conv, quartic, conv, add, quartic, pool, linear; a batch of two."""
    return compiled(*residual_net())


@pytest.fixture(scope="session")
def broad() -> Model:
    """The other ops."""
    return compiled(*broad_net())


@pytest.fixture(scope="session")
def gated() -> Model:
    """Every gate, as the planner has it by default."""
    return compiled(*gated_net())


@pytest.fixture(scope="session")
def tournament() -> Model:
    """The largest of so many values that a tree finds it."""
    s = Sketch(4)
    return compiled(s.graph(s.op("topk", s.input(1, 451), attrs={"k": 1})), s.values())


@pytest.fixture(scope="session")
def exact() -> Model:
    """The same, where every sign and every rounding is exact."""
    return compiled(*gated_net(), window="exact", rounding="exact")


@pytest.fixture(scope="session")
def windowed() -> Model:
    """The same, with narrow sign tests, and positive values taken for negative."""
    return compiled(*gated_net(), window=20, tie="poszero", rounding="exact")


@pytest.fixture(scope="session")
def unmasked() -> Model:
    """The first model with no secrecy at all."""
    return compiled(*residual_net(), trust="clear")


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """A folder with the homes of server, dealer and client, each enrolled with the others."""
    for name in PARTIES:
        make_identity(tmp_path / name, name)
    for one in PARTIES:
        for other in PARTIES:
            if one != other:
                enrol(tmp_path / one, tmp_path / other / "certificate.pem", other)
    return tmp_path


@pytest.fixture
def running() -> Iterator[Callable[[Any], Any]]:
    """Ends whatever it is given, services and connections, the last first."""
    with ExitStack() as stack:

        def keep(made: Any) -> Any:
            stack.callback(made.stop if hasattr(made, "stop") else made.close)
            return made

        yield keep
