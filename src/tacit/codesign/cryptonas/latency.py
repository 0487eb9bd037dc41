"""What a cell costs privately: seconds of its plan, and an additive model of them for the search.

The plans are those of nets with made weights: bytes, steps and products of a plan depend on the architecture and on the
ranges of its values, which batch norms keep alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from tacit.codesign.cryptonas.graph import as_graph
from tacit.codesign.cryptonas.net import CellNet
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.codesign.precision import draft_bills, precise
from tacit.codesign.seeding import derive, generator
from tacit.errors import InvalidInput
from tacit.front.clear import ranges
from tacit.net.shaper import parse_link
from tacit.plan.bill import Bill
from tacit.plan.cost import Rates
from tacit.plan.policy import Policy

__all__ = ["Bills", "LatencyModel", "Part", "fit_latency", "made", "parts", "probes", "width_within"]

#: Made images that ranges are observed on, and that the batch norms of a made net learn from.
_IMAGES = 8

#: What a cell is made of. A place is where a layer is: its third of the net ("0", "1", "2"), "0 halved" and "1 halved"
#: before a reduction, "last". Parts are ("operation", place, name); ("kept", third) for each source that is skipped
#: from; ("skip", third of the source, place) for each skip.
Part = tuple[str, ...]


def made(space: Space, cell: Cell, *, seed: int = 0) -> CellNet:
    """The net of `cell` with made weights, in evaluation mode; the same for the same seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derive(seed, "made weights"))
        net = CellNet(space, cell)
    norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over batches, of which there is one
    with torch.no_grad():
        net.train()(_images(space, seed))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net.eval()


def _images(space: Space, seed: int) -> torch.Tensor:
    shape = (_IMAGES, space.channels, space.size, space.size)
    return torch.randn(shape, generator=generator(seed, "made images"))


class Bills:
    """Bills of the cells of one space, each drafted once: a compiled plan's without its whole-numbered weights.

    policy   the owner's; where it leaves precision open, those that are precise enough for the first cell, as fixed for
             all others: of these each cell has the one that is fastest on the link
    rates    the machines' measured speed; None: the cost model's defaults

    Raises Refused for a space whose nets cannot be compiled.
    """

    def __init__(
        self, space: Space, *, policy: Policy | None = None, rates: Rates | None = None, seed: int = 0
    ) -> None:
        self.space, self._rates, self._seed = space, rates, seed
        self._data = [image[None] for image in _images(space, seed).double().numpy()]
        self._policy = policy or Policy()
        self._policies: tuple[Policy, ...] = ()
        self._bills: dict[Cell, tuple[Bill, ...]] = {}

    @property
    def drafted(self) -> int:
        """How many cells have been drafted."""
        return len(self._bills)

    def bill(self, cell: Cell, link: str = "lan") -> Bill:
        """The bill of one private inference with `cell` on `link`. Raises Refused, InvalidInput."""
        line = parse_link(link)
        if cell not in self._bills:
            graph = as_graph(made(self.space, cell, seed=self._seed))
            seen = ranges(graph, self._data)
            self._policies = self._policies or precise(graph, self._policy, seen, self._data)
            self._bills[cell] = draft_bills(graph, self._policies, seen, line, self._rates)
        return min((replace(bill, link=line) for bill in self._bills[cell]), key=Bill.seconds)

    def seconds(self, cell: Cell, link: str = "lan") -> float:
        """Predicted online seconds of one private inference. Raises Refused, InvalidInput."""
        return self.bill(cell, link).seconds()


def parts(space: Space, cell: Cell) -> Counter[Part]:
    """How often `cell` has each part. Raises InvalidInput if it has another number of layers than the space."""
    space.check(cell)
    found: Counter[Part] = Counter()
    for layer, (operation, skips) in enumerate(zip(cell.operations, cell.skips, strict=True)):
        found["operation", _place(space, layer), operation] += 1
        for source in skips:
            found["skip", str(space.block(source)), _place(space, layer)] += 1
    for source in {source for skips in cell.skips for source in skips}:
        found["kept", str(space.block(source))] += 1
    return found


def _place(space: Space, layer: int) -> str:
    if layer == space.layers - 1:
        return "last"
    return f"{space.block(layer)} halved" if layer in space.reductions else str(space.block(layer))


def probes(space: Space) -> Iterator[Cell]:
    """Cells whose parts span those of every cell, each with a part that the ones before do not tell."""
    plain = Cell((space.operations[0],) * space.layers, ((),) * space.layers)
    columns: dict[Part, int] = {}
    rows: list[list[int]] = []
    for cell in _simple(space, plain):
        found = parts(space, cell)
        for part in found:
            columns.setdefault(part, len(columns))
        row = [found[part] for part in columns]
        matrix = np.zeros((len(rows) + 1, len(columns)))
        for number, entries in enumerate((*rows, row)):
            matrix[number, : len(entries)] = entries
        if np.linalg.matrix_rank(matrix) > len(rows):
            rows.append(row)
            yield cell


def _simple(space: Space, plain: Cell) -> Iterator[Cell]:
    """The plain cell, those with one other operation, with one skip, and with two from the same source."""
    layers = range(space.layers)
    yield plain
    for layer in layers:
        for operation in space.operations[1:]:
            operations = (*plain.operations[:layer], operation, *plain.operations[layer + 1 :])
            yield replace(plain, operations=operations)
    firsts = {
        (space.block(source), _place(space, layer)): (source, layer) for layer in layers for source in range(layer)
    }
    for source, layer in firsts.values():
        yield _skipping(plain, source, (layer,))
    for source in layers:
        for layer, other in pairwise(range(source + 1, space.layers)):
            yield _skipping(plain, source, (layer, other))
        for layer in range(source + 1, space.layers - 1):
            yield _skipping(plain, source, (layer, space.layers - 1))


def _skipping(plain: Cell, source: int, layers: Sequence[int]) -> Cell:
    return replace(plain, skips=tuple((source,) if n in layers else () for n in range(plain.layers)))


@dataclass(frozen=True)
class LatencyModel:
    """Predicted seconds of a cell as the sum of those of its parts.

    link      that it holds for
    base      seconds of what every net of the space has
    cost      seconds of each part
    error     largest relative error over `checked` random cells whose plans were drafted but not fitted on
    """

    space: Space
    link: str
    base: float
    cost: Mapping[Part, float]
    fitted: int
    checked: int
    error: float

    def seconds(self, cell: Cell) -> float:
        """What the model says one private inference with `cell` takes. Raises InvalidInput for another depth."""
        return self.base + math.fsum(self.cost[part] * count for part, count in parts(self.space, cell).items())

    def cheapest(self) -> Cell:
        """A cell that costs least: the cheapest operation everywhere, no skips."""
        layers = range(self.space.layers)
        best = (min(self.space.operations, key=partial(self._operation, _place(self.space, layer))) for layer in layers)
        return Cell(tuple(best), ((),) * self.space.layers)

    def _operation(self, place: str, name: str) -> float:
        return self.cost["operation", place, name]


def fit_latency(
    bills: Bills,
    link: str = "lan",
    *,
    checks: int = 3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LatencyModel:
    """The least-squares fit of an additive model to the plans of probes, checked on `checks` random cells.

    `progress` is told how many plans of how many are drafted. Raises Refused, InvalidInput.
    """
    space, draws = bills.space, generator(seed, "latency checks")
    wanted = list(probes(space))
    others = [space.draw(draws) for _ in range(checks)]
    columns: dict[Part, int] = {}
    for cell in (*wanted, *others):
        for part in parts(space, cell):
            columns.setdefault(part, len(columns) + 1)
    matrix = np.zeros((len(wanted), len(columns) + 1))
    measured = np.zeros(len(wanted))
    for row, cell in enumerate(wanted):
        matrix[row, 0] = 1.0
        for part, count in parts(space, cell).items():
            matrix[row, columns[part]] = count
        measured[row] = bills.seconds(cell, link)
        if progress is not None:
            progress(row + 1, len(wanted) + checks)
    found, *_ = np.linalg.lstsq(matrix, measured, rcond=None)
    cost = {part: float(found[column]) for part, column in columns.items()}
    model = LatencyModel(space, link, float(found[0]), cost, len(wanted), checks, 0.0)
    errors = []
    for number, cell in enumerate(others, 1):
        seconds = bills.seconds(cell, link)
        errors.append(abs(model.seconds(cell) - seconds) / seconds)
        if progress is not None:
            progress(len(wanted) + number, len(wanted) + checks)
    return replace(model, error=max(errors, default=0.0))


def width_within(
    space: Space,
    cell: Cell,
    seconds: float,
    link: str = "lan",
    *,
    policy: Policy | None = None,
    rates: Rates | None = None,
    most: int = 256,
) -> int:
    """The largest width, at most `most`, at which a private inference with `cell` takes at most `seconds` by its bill.

    Found by halving, since wider nets take longer. Raises InvalidInput if not even width 1 is fast enough.
    """

    def fits(width: int) -> bool:
        return Bills(space.wide(width), policy=policy, rates=rates).seconds(cell, link) <= seconds

    if not fits(1):
        raise InvalidInput(
            f"{seconds:g} s on {link} are too few for {space.layers} layers at any width; take fewer layers"
        )
    low, high = 1, 2
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
