"""Cells and spaces: counts, texts, what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.codesign.cryptonas.space import CONVOLUTIONS, OPERATIONS, PUBLISHED, Cell, Space, published
from tacit.errors import InvalidInput

COUNTS = {"cnet1": 86_016, "cnet2": 344_064, "cnet3": 1_376_256}


@st.composite
def cells(draw: st.DrawFn, layers: int | None = None) -> Cell:
    depth = draw(st.integers(1, 8)) if layers is None else layers
    operations = tuple(draw(st.sampled_from(OPERATIONS)) for _ in range(depth))
    skips = tuple(tuple(i for i in range(layer) if draw(st.booleans())) for layer in range(depth))
    return Cell(operations, skips)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_nets_have_the_published_numbers_of_relus(name: str) -> None:
    space, cell = published(name)
    assert space.relus == COUNTS[name] == space.layers * 1024 * space.width
    assert cell.layers == space.layers
    assert set(cell.operations) <= set(CONVOLUTIONS)


@given(cells())
def test_a_cell_is_its_text(cell: Cell) -> None:
    assert Cell.parse(str(cell)) == cell


@given(cells())
def test_what_is_read_later_is_what_a_walk_finds(cell: Cell) -> None:
    for layer in range(cell.layers - 1):
        read = {layer + 1}  # the next layer's own input
        for later in range(layer + 1, cell.layers):
            read |= {source for source in cell.skips[later] if source <= layer + 1}
        assert cell.read_after(layer) == tuple(sorted(read))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no layer"),
        ("conv3 conv7", "conv7"),
        ("conv3 conv3+", "no layer"),
        ("conv3+0", "ascending sources below 0"),
        ("conv3 conv3 conv3+1,0", "ascending"),
        ("conv3 conv3 conv3+0,0", "ascending"),
        ("conv3 conv3+1", "below 1"),
        ("conv3 sep5;", "no layer"),
    ],
)
def test_cells_that_are_none(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Cell.parse(text)


@given(st.sampled_from([3, 6, 9, 12]), st.integers(1, 20), st.sampled_from([4, 8, 16, 32]), st.integers(0, 5000))
def test_balancing_gives_every_layer_the_same_relus(layers: int, width: int, size: int, more: int) -> None:
    space = Space(layers, width, size)
    each = {channels * height * side for channels, height, side in map(space.shape, range(layers))}
    assert each == {width * size * size}
    budget = space.relus + more
    widest = space.width_within(budget)
    assert space.wide(widest).relus <= budget < space.wide(widest + 1).relus


def test_unbalanced_growth_does_not() -> None:
    space = Space(6, 8, 16, growth=2)
    assert [space.shape(layer)[0] for layer in range(6)] == [8, 8, 16, 16, 32, 32]
    assert space.relus == 2 * 8 * (256 + 2 * 64 + 4 * 16)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 4}, "3, 6, 9"),
        ({"layers": 0}, "3, 6, 9"),
        ({"size": 30}, "divisible by 4"),
        ({"width": 0}, "at least 1"),
        ({"operations": ("conv3", "conv9")}, "operations"),
        ({"operations": ()}, "operations"),
        ({"operations": ("conv3", "conv3")}, "each once"),
    ],
)
def test_spaces_that_are_none(change: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Space(**change)  # type: ignore[arg-type]


def test_too_few_relus_for_any_width() -> None:
    with pytest.raises(InvalidInput, match="too few"):
        Space(6, 12, 32).width_within(6 * 1024 - 1)


def test_an_unknown_published_cell() -> None:
    with pytest.raises(InvalidInput, match="cnet1, cnet2, cnet3"):
        published("cnet4")


def test_separable_cells_can_be_made_dense() -> None:
    assert str(Cell.parse("sep5 conv3+0 avg+1").dense()) == "conv5 conv3+0 avg+1"


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_random_cells_belong_to_their_space(seed: int) -> None:
    space = Space(6, 4, 8, operations=("sep3", "max"))
    cell = space.draw(torch.Generator().manual_seed(seed))
    space.check(cell)
    assert set(cell.operations) <= {"sep3", "max"}
