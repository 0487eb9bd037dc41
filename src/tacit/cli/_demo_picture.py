"""The demo's picture: digits as the client sees them, each with its private prediction; a PNG without a library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacit.errors import InvalidInput

__all__ = ["draw", "png", "save_picture"]

Pixels = NDArray[np.uint8]

#: Digits 0..9 in 5 rows of 3 points.
_FONT = (
    *("###|#.#|#.#|#.#|###", ".#.|##.|.#.|.#.|###", "###|..#|###|#..|###", "###|..#|.##|..#|###"),
    *("#.#|#.#|###|..#|..#", "###|#..|###|..#|###", "###|#..|###|#.#|###", "###|..#|.#.|.#.|.#."),
    *("###|#.#|###|#.#|###", "###|#.#|###|..#|###"),
)
_COLUMNS, _MOST = 10, 40
_ZOOM, _POINT, _GAP = 8, 4, 12
_PAPER, _RIGHT, _WRONG, _TRUTH = (250, 250, 248), (22, 120, 70), (200, 40, 40), (150, 150, 150)


def png(pixels: Pixels) -> bytes:
    """A PNG file of `pixels`, uint8 [height, width, 3]; PNG specification, third edition, sections 5 and 11.2."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # filter 0: none

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )


def _glyph(digit: int, colour: tuple[int, int, int]) -> Pixels:
    """One digit, _POINT pixels a point, [5 * _POINT, 3 * _POINT, 3]."""
    on = np.array([[c == "#" for c in row] for row in _FONT[digit].split("|")])
    points = np.where(on[..., None], np.array(colour, np.uint8), np.array(_PAPER, np.uint8)).astype(np.uint8)
    return points.repeat(_POINT, 0).repeat(_POINT, 1)


def _tile(image: Pixels, predicted: int, label: int) -> Pixels:
    """One digit, dark on light, over its prediction: green if right; red, with the label in grey behind, if wrong."""
    ink = (255 - image.astype(np.int64) * 255 // 16).astype(np.uint8)
    digit = ink.repeat(_ZOOM, 0).repeat(_ZOOM, 1)[..., None].repeat(3, 2)
    label_row = np.full((5 * _POINT, digit.shape[1], 3), _PAPER, np.uint8)
    right = predicted == label
    glyphs = [_glyph(predicted, _RIGHT if right else _WRONG)] + ([] if right else [_glyph(label, _TRUTH)])
    width = glyphs[0].shape[1]
    left = (digit.shape[1] - width * (2 * len(glyphs) - 1)) // 2
    for number, glyph in enumerate(glyphs):
        start = left + 2 * number * width
        label_row[:, start : start + width] = glyph
    gap = np.full((_GAP // 2, digit.shape[1], 3), _PAPER, np.uint8)
    return np.concatenate([digit, gap, label_row])


def draw(images: Pixels, predicted: NDArray[np.int64], labels: Pixels) -> Pixels:
    """A sheet of the first 40 images (uint8 [N, 8, 8], pixels 0..16), ten a row; uint8 [height, width, 3]."""
    tiles = [_tile(*each) for each in zip(images[:_MOST], predicted.tolist(), labels.tolist(), strict=False)]
    height, width, _ = tiles[0].shape
    columns, rows = min(_COLUMNS, len(tiles)), -(-len(tiles) // _COLUMNS)
    sheet = np.full((rows * (height + 2 * _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        top = _GAP + number // _COLUMNS * (height + 2 * _GAP)
        left = _GAP + number % _COLUMNS * (width + _GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def save_picture(path: Path, images: Pixels, predicted: NDArray[np.int64], labels: Pixels) -> None:
    """Write the sheet of `draw` as a PNG file. InvalidInput if it cannot be written."""
    try:
        path.write_bytes(png(draw(images, predicted, labels)))
    except OSError as error:
        raise InvalidInput(f"cannot write the picture {path}: {error.strerror}") from error
