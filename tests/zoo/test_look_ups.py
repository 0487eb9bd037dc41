"""What a client looks up itself fits the net: shapes, and published files that hold the tables beside the net."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from tacit import zoo
from tacit.zoo.published import load_weights

#: The tables of each small net, and where its input takes what was looked up.
TABLES: dict[str, tuple[tuple[Any, ...], int]] = {
    "bert_tiny": ((50, 8), 0),
    "lstm_text": ((50, 6), 0),
    "dlrm": (((50, 50, 50), 4), 1),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_with_both_halves_loads_into_each(name: str, tmp_path: Path) -> None:
    sizes, place = TABLES[name]
    small = zoo.load(name).small
    server, client = small.model(seed=3), import_module(f"tacit.zoo.nets.{name}").LookUp(*sizes)
    torch.save({**server.state_dict(), **client.state_dict()}, tmp_path / "w.pth")
    model, tables = small.build(), import_module(f"tacit.zoo.nets.{name}").LookUp(*sizes)
    load_weights(model, tmp_path / "w.pth", beside=zoo.load(name).beside)
    load_weights(tables, tmp_path / "w.pth", beside=("",))
    found = tables(torch.arange(small.shapes[place][1])[None])
    assert tuple(found.shape) == small.shapes[place]
    inputs = [torch.from_numpy(x) for x in small.inputs()]
    inputs[place] = found
    assert torch.equal(model(*inputs), server(*inputs))
