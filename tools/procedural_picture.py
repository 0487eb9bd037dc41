"""Draw the picture of the procedural set in the documentation: `python tools/procedural_picture.py [file.png]`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tacit.codesign.data.procedural import render

__all__ = ["main"]

CLASSES, SIZE, EACH, ENLARGED, GAP = 10, 32, 12, 2, 2
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "procedural10.png"


def main() -> int:
    """A row for each of the ten classes, the first training images of seed 0."""
    pixels, labels = render(CLASSES, SIZE, CLASSES * EACH, 0, 0)
    cell = SIZE * ENLARGED + GAP
    sheet = np.full((CLASSES * cell - GAP, EACH * cell - GAP, 3), 255, np.uint8)
    for label in range(CLASSES):
        for column, image in enumerate(pixels[labels == label]):
            large = image.transpose(1, 2, 0).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
            sheet[label * cell :, column * cell :][: SIZE * ENLARGED, : SIZE * ENLARGED] = large
    Image.fromarray(sheet).save(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
