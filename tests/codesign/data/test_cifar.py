"""CIFAR's two formats, on files that the tests write as the archives hold them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tacit.codesign import load_data
from tacit.codesign.data.cifar import cifar
from tacit.errors import InvalidFile, InvalidInput

PER_FILE = 12


class Fake:
    """Pixels and labels of each file of a set, and functions that write them."""

    def __init__(self, classes: int) -> None:
        rng = np.random.default_rng(classes)
        self.classes = classes
        names = [f"data_batch_{n}" for n in range(1, 6)] if classes == 10 else ["train"]
        self.files = {
            name: (
                rng.integers(0, 256, (PER_FILE, 3072), dtype=np.uint8),
                rng.integers(0, classes, PER_FILE),
                rng.integers(0, 20, PER_FILE),
            )
            for name in [*names, "test_batch" if classes == 10 else "test"]
        }

    def binary(self, path: Path) -> Path:
        """cifar-10-batches-bin or cifar-100-binary."""
        folder = path / ("cifar-10-batches-bin" if self.classes == 10 else "cifar-100-binary")
        folder.mkdir()
        for name, (pixels, labels, coarse) in self.files.items():
            columns = [labels] if self.classes == 10 else [coarse, labels]
            head = np.stack(columns, 1).astype(np.uint8)
            (folder / f"{name}.bin").write_bytes(np.concatenate([head, pixels], 1).tobytes())
        return folder

    def python(self, path: Path, protocol: int = 2) -> Path:
        """cifar-10-batches-py or cifar-100-python: dictionaries whose keys are bytes."""
        folder = path / ("cifar-10-batches-py" if self.classes == 10 else "cifar-100-python")
        folder.mkdir()
        for name, (pixels, labels, coarse) in self.files.items():
            found = {b"data": pixels, b"batch_label": b"x", b"filenames": [b"a.png"] * len(labels)}
            if self.classes == 10:
                found[b"labels"] = labels.tolist()
            else:
                found |= {b"fine_labels": labels.tolist(), b"coarse_labels": coarse.tolist()}
            (folder / name).write_bytes(pickle.dumps(found, protocol=protocol))
        return folder

    def check(self, path: Path) -> None:
        """What the loader reads is what was written."""
        train, test = cifar(self.classes, path)
        *parts, last = self.files.values()
        assert np.array_equal(train.pixels.numpy().reshape(-1, 3072), np.concatenate([part[0] for part in parts]))
        assert train.labels.tolist() == np.concatenate([part[1] for part in parts]).tolist()
        assert np.array_equal(test.pixels.numpy().reshape(-1, 3072), last[0])
        assert test.labels.tolist() == last[1].tolist()


@pytest.mark.parametrize("classes", [10, 100])
def test_binary(classes: int, tmp_path: Path) -> None:
    fake = Fake(classes)
    folder = fake.binary(tmp_path)
    fake.check(tmp_path)
    fake.check(folder)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("classes", [10, 100])
def test_python(classes: int, protocol: int, tmp_path: Path) -> None:
    fake = Fake(classes)
    folder = fake.python(tmp_path, protocol)
    fake.check(tmp_path)
    fake.check(folder)


def python_2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A file as Python 2 and its NumPy wrote it: protocol 2, byte strings, names of numpy.core."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def whole(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    kind = b"cnumpy\ndtype\n(" + text(b"u1") + whole(0) + whole(1) + b"tR"
    kind += b"(" + whole(3) + text(b"|") + b"NNN" + whole(-1) * 2 + whole(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + whole(0) + b"t" + text(b"b") + b"tR"
    shape = b"(" + whole(pixels.shape[0]) + whole(pixels.shape[1]) + b"t"
    array += b"(" + whole(1) + shape + kind + b"\x89" + text(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(whole, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def test_python_2(tmp_path: Path) -> None:
    fake = Fake(10)
    folder = fake.python(tmp_path)
    for name, (pixels, labels, _) in fake.files.items():
        (folder / name).write_bytes(python_2_pickle(pixels, labels.tolist()))
    assert b"data" in pickle.loads((folder / "test_batch").read_bytes(), encoding="bytes")  # it is a true pickle
    fake.check(folder)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    folder = Fake(10).python(tmp_path)
    sprung = tmp_path / "sprung"
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Trap(sprung), b"labels": [1]}))
    with pytest.raises(InvalidFile, match="test_batch is no file of CIFAR-10's Python version"):
        cifar(10, tmp_path)
    assert not sprung.exists()
    pickle.loads((folder / "test_batch").read_bytes())
    assert sprung.exists()  # the trap was one


@pytest.mark.parametrize(
    "found",
    [
        {b"data": np.zeros((3, 3072), np.uint8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.int8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 1024), np.uint8), b"labels": [1, 2]},
        {b"data": [1, 2], b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, -2]},
        {b"data": np.zeros((0, 3072), np.uint8), b"labels": []},
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, "a"]},
        [1, 2, 3],
    ],
)
def test_other_pickles(found: object, tmp_path: Path) -> None:
    folder = Fake(10).python(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(found, protocol=2))
    with pytest.raises(InvalidFile, match="data_batch_3"):
        cifar(10, tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_pickle(share: float, tmp_path: Path) -> None:
    folder = Fake(100).python(tmp_path)
    whole = (folder / "train").read_bytes()
    (folder / "train").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidFile, match="train is no file of CIFAR-100"):
        cifar(100, tmp_path)


def test_truncated_binary(tmp_path: Path) -> None:
    folder = Fake(100).binary(tmp_path)
    for cut in (b"", (folder / "train.bin").read_bytes()[:-1]):
        (folder / "train.bin").write_bytes(cut)
        with pytest.raises(InvalidFile, match="whole number of records of 3074"):
            cifar(100, tmp_path)


def test_a_file_is_missing(tmp_path: Path) -> None:
    folder = Fake(10).binary(tmp_path)
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(InvalidFile, match=r"data_batch_4\.bin is missing"):
        cifar(10, tmp_path)


def test_a_label_out_of_range(tmp_path: Path) -> None:
    folder = Fake(10).binary(tmp_path)
    path = folder / "data_batch_2.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(InvalidFile, match=r"data_batch_2\.bin has the label 10"):
        cifar(10, tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_absent(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"download cifar-10+-binary.tar.gz or .* unpack it"):
        load_data(name, tmp_path)
    with pytest.raises(InvalidInput, match="is not part of Tacit"):
        load_data(name)


def test_by_name(tmp_path: Path) -> None:
    Fake(10).binary(tmp_path)
    data = load_data("cifar10", tmp_path, size=16)
    assert (data.shape, data.classes, len(data.train) + len(data.held_out)) == ((3, 16, 16), 10, 5 * PER_FILE)
    assert data.train.labels.dtype == torch.int64
