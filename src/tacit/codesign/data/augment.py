"""Augmentation of training images: a random crop of the padded image and a random mirroring, on tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["augment"]


def augment(x: Tensor, generator: torch.Generator, *, pad: int | None = None, flip: bool = True) -> Tensor:
    """Each image of (N, C, H, W) shifted by up to `pad` pixels, zeros at the border, and mirrored half of the time.

    `pad` is an eighth of the height by default: 4 of 32, as He et al. do on CIFAR (CVPR 2016, section 4.2). All draws
    come from `generator`, which is on the CPU, so that they are the same on every device.
    """
    count, _, height, width = x.shape
    pad = height // 8 if pad is None else pad
    top, left = torch.randint(2 * pad + 1, (2, count, 1), generator=generator)
    mirrored = torch.randint(2, (count, 1), generator=generator).bool() & flip
    rows = top + torch.arange(height)
    columns = left + torch.where(mirrored, torch.arange(width - 1, -1, -1), torch.arange(width))
    rows, columns = rows.to(x.device), columns.to(x.device)
    image = torch.arange(count, device=x.device)[:, None, None]
    channels_last = functional.pad(x, (pad,) * 4).permute(0, 2, 3, 1)
    return channels_last[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
