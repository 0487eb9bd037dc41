"""ResNet-404 for CIFAR-10: 67 residual blocks a stage (He, Zhang, Ren and Sun, CVPR 2016, section 4.2)."""

from __future__ import annotations

from tacit.zoo.nets._residual import cifar_net

__all__ = ["NET"]

NET = cifar_net(404)
