"""Weight files as people publish them load into the nets, and wrong ones are refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tacit import zoo
from tacit.errors import InvalidFile
from tacit.zoo.published import load_weights

State = dict[str, torch.Tensor]


def saved(state: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def trained(name: str = "lenet5") -> torch.nn.Module:
    model: torch.nn.Module = zoo.load(name).small.model(seed=3)
    return model


def old_dense(state: State) -> State:
    """DenseNet's names before 2018."""
    parts = {f"{part}{i}.": f"{part}.{i}." for part in ("norm", "conv") for i in (1, 2)}
    renamed = {}
    for name, tensor in state.items():
        head, found, tail = name.partition("denselayer")
        for new, old in parts.items():
            tail = tail.replace(new, old) if found else tail
        renamed[head + found + tail] = tensor
    assert renamed.keys() != state.keys()
    return renamed


FORMS: list[tuple[str, str, Callable[[State], Any], str]] = [
    ("plain", "w.pth", lambda s: s, "lenet5"),
    ("safetensors", "w.safetensors", lambda s: s, "resnet18"),
    ("checkpoint", "w.pt", lambda s: {"epoch": 3, "state_dict": s, "best": 0.9}, "resnet32"),
    ("from DataParallel", "w.pth", lambda s: {f"module.{k}": v for k, v in s.items()}, "mobilenet_v2"),
    (
        "no counters",
        "w.pth",
        lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
        "resnet50",
    ),
    ("old names", "w.pth", old_dense, "densenet"),
    ("double precision", "w.bin", lambda s: {k: v.double() for k, v in s.items()}, "vgg16"),
]


@pytest.mark.parametrize(("file", "form", "name"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_forms_of_files(file: str, form: Callable[[State], Any], name: str, tmp_path: Path) -> None:
    source = trained(name)
    model = zoo.load(name).small.build()
    load_weights(model, saved(form(source.state_dict()), tmp_path / file))
    assert not model.training
    for key, tensor in source.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(model.state_dict()[key], tensor), key


def test_half_precision_widens(tmp_path: Path) -> None:
    source = trained()
    model = zoo.load("lenet5").small.build()
    load_weights(model, saved({k: v.half() for k, v in source.state_dict().items()}, tmp_path / "w.safetensors"))
    assert torch.equal(model.fc1.weight, source.state_dict()["fc1.weight"].half().float())


def test_tensors_beside_the_net(tmp_path: Path) -> None:
    """Tables and heads that the net does not have are taken only where they are announced."""
    file = saved({**trained().state_dict(), "emb_l.0.weight": torch.ones(2)}, tmp_path / "w.pth")
    load_weights(zoo.load("lenet5").small.build(), file, beside=("emb_l.",))
    with pytest.raises(InvalidFile, match=r"w\.pth holds emb_l\.0\.weight, which the net does not have"):
        load_weights(zoo.load("lenet5").small.build(), file)


class Payload:
    """An object whose pickle would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pwned"),))


BAD: list[tuple[str, str, Callable[[State], Any], str]] = [
    ("missing", "w.pth", lambda s: {k: v for k, v in s.items() if k != "fc1.bias"}, r"lacks fc1\.bias;"),
    ("another net's", "w.pth", lambda s: {f"net.{k}": v for k, v in s.items()}, r"lacks .* and 7 more;"),
    ("shape", "w.pth", lambda s: {**s, "fc3.bias": torch.ones(11)}, r"fc3\.bias has shape \(11,\) .* and \(10,\)"),
    ("integers", "w.pth", lambda s: {**s, "fc3.bias": torch.ones(10, dtype=torch.int64)}, "not all finite"),
    ("infinite", "w.pth", lambda s: {**s, "fc3.bias": torch.full((10,), torch.inf)}, "not all finite"),
    ("pickled code", "w.pth", lambda s: {**s, "x": Payload()}, "holds more than tensors"),
    ("a list", "w.pth", lambda s: list(s.values()), "no weights by name"),
    ("another suffix", "w.npz", lambda s: s, "not a weight file"),
]


@pytest.mark.parametrize(("file", "form", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_files(
    file: str, form: Callable[[State], Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = trained()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    torch.save(form(trained().state_dict()), tmp_path / file)
    with pytest.raises(InvalidFile, match=says):
        load_weights(model, tmp_path / file)
    assert not (tmp_path / "pwned").exists()
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 100, 5000])
def test_truncated_files(file: str, kept: int, tmp_path: Path) -> None:
    path = saved(trained().state_dict(), tmp_path / file)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidFile, match=file):
        load_weights(trained(), path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="there is no file"):
        load_weights(trained(), tmp_path / "w.pth")
