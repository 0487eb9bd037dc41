"""ResNet-50 for 224x224 images, with bottlenecks (He, Zhang, Ren and Sun, CVPR 2016, table 1)."""

from __future__ import annotations

from tacit.zoo.nets._residual import Bottleneck, image_net

__all__ = ["NET"]

NET = image_net(Bottleneck, (3, 4, 6, 3))
