"""Published nets, one file each: its first sentence says what it is and from which paper, its `NET` how to build it.

Names of parameters are those of the published weight files where there are any (torchvision's where it has the net), so
that such files load. Softmax at the end is left to the client, which gets the logits.
"""

from __future__ import annotations

__all__: list[str] = []
