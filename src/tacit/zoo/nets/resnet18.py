"""ResNet-18 for 224x224 images (He, Zhang, Ren and Sun, CVPR 2016, table 1)."""

from __future__ import annotations

from tacit.zoo.nets._residual import BasicBlock, image_net

__all__ = ["NET"]

NET = image_net(BasicBlock, (2, 2, 2, 2))
