"""Folders of images and Tiny-ImageNet, on files that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tacit.codesign import load_data
from tacit.codesign.data.folder import Files, read_image
from tacit.errors import InvalidFile, InvalidInput


def write(path: Path, level: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    """An image of one grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level, level, level)).save(path)
    return path


def levels(split: object) -> list[int]:
    """The grey level of every image of a split."""
    x, _ = split.batch(range(len(split)))
    return (x.mean((1, 2, 3)) * 255).round().int().tolist()


def test_train_and_val(tmp_path: Path) -> None:
    for number, name in enumerate(["cat", "ant"]):
        write(tmp_path / "train" / name / "1.png", 10 + number)
        write(tmp_path / "train" / name / "2.PNG", 20 + number, (20, 8))
        write(tmp_path / "val" / name / "a.bmp", 30 + number)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    data = load_data("folder", tmp_path, size=8, held_out=0)
    assert (data.shape, data.classes) == ((3, 8, 8), 2)
    assert levels(data.train) == [11, 21, 10, 20]  # ant comes before cat
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert levels(data.test) == [31, 30]
    assert data.mean == (0.485, 0.456, 0.406)


def test_only_classes(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / ("a" if number < 20 else "b") / f"{number:02}.png", 5 * number)
    data = load_data("folder", tmp_path, size=4, held_out=0.25)
    assert (len(data.train), len(data.held_out), len(data.test)) == (27, 9, 4)
    assert torch.bincount(data.test.labels).tolist() == [2, 2]
    assert sorted(levels(data.train) + levels(data.held_out) + levels(data.test)) == list(range(0, 200, 5))


def test_reading(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 6).numpy(), pixels.transpose(2, 0, 1))
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    Image.fromarray(wide).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png", 4).unique().tolist() == [200]
    grey = write(tmp_path / "grey.png", 9, mode="L")
    assert read_image(grey, 3).shape == (3, 3, 3)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_damaged_image(content: bytes | None, tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.jpg", 50, (64, 64)), tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:400] if content is None else content)
    split = Files([good, bad], torch.tensor([0, 1]), 2, 8)
    assert len(split.batch([0])[0]) == 1
    with pytest.raises(InvalidFile, match=r"bad\.jpg is no image that can be read"):
        split.batch([0, 1])


def test_images_are_decoded_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 60)
    split = Files([path], torch.tensor([0]), 1, 8)
    first = split.batch([0])[0]
    path.unlink()
    assert torch.equal(split.batch([0])[0], first)
    assert split.batch([])[0].shape == (0, 3, 8, 8)


def test_layouts_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no folder"):
        load_data("folder", tmp_path / "absent")
    with pytest.raises(InvalidInput, match="give the folder"):
        load_data("folder")
    with pytest.raises(InvalidInput, match="has 0 folders"):
        load_data("folder", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(InvalidInput, match="hold no images"):
        load_data("folder", tmp_path)
    write(tmp_path / "train" / "a" / "1.png", 1)
    write(tmp_path / "train" / "b" / "1.png", 1)
    write(tmp_path / "val" / "1.png", 1)
    with pytest.raises(InvalidInput, match="no test/CLASS or val/CLASS"):
        load_data("folder", tmp_path)
    write(tmp_path / "val" / "c" / "1.png", 1)
    with pytest.raises(InvalidInput, match="has the class 'c'"):
        load_data("folder", tmp_path)


def tiny(root: Path) -> Path:
    """Two classes of Tiny-ImageNet, two training images and a validation image each."""
    folder = root / "tiny-imagenet-200"
    ids = ["n02", "n01"]
    lines = []
    for number, name in enumerate(ids):
        for place in range(2):
            write(folder / "train" / name / "images" / f"{name}_{place}.JPEG", 40 * number + 20 * place, (64, 64))
        write(folder / "val" / "images" / f"val_{number}.JPEG", 200 + number, (64, 64))
        lines.append(f"val_{number}.JPEG\t{name}\t0\t0\t62\t62\n")
    (folder / "wnids.txt").write_text("\n".join(ids) + "\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return folder


def test_tiny_imagenet(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    for path in (tmp_path, folder):
        data = load_data("tiny-imagenet", path, held_out=0)
        assert (data.shape, data.classes) == ((3, 64, 64), 2)
        assert data.train.labels.tolist() == [0, 0, 1, 1]
        assert levels(data.train) == [0, 20, 40, 60]
        assert data.test.labels.tolist() == [1, 0]
        assert levels(data.test) == [201, 200]
    assert load_data("tiny-imagenet", tmp_path, size=32).shape == (3, 32, 32)


def test_tiny_imagenet_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"download http.*tiny-imagenet-200\.zip"):
        load_data("tiny-imagenet", tmp_path)
    with pytest.raises(InvalidInput, match="is not part of Tacit"):
        load_data("tiny-imagenet")
    folder = tiny(tmp_path)
    labels = folder / "val" / "val_annotations.txt"
    for content in ("", "val_0.JPEG n01\n", "val_0.JPEG\tn09\t0\n", "../val_0.JPEG\tn01\t0\n"):
        labels.write_text(content)
        with pytest.raises(InvalidFile, match=r"val_annotations\.txt"):
            load_data("tiny-imagenet", tmp_path)
    labels.unlink()
    with pytest.raises(InvalidFile, match=r"val_annotations\.txt is missing"):
        load_data("tiny-imagenet", tmp_path)
    (folder / "wnids.txt").write_text("n01\nn01\n")
    with pytest.raises(InvalidFile, match="names a class twice"):
        load_data("tiny-imagenet", tmp_path)
    (folder / "wnids.txt").write_text("n01\nn77\n")
    with pytest.raises(InvalidFile, match=r"n77.* holds no images"):
        load_data("tiny-imagenet", tmp_path)
