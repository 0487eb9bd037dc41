"""Range normalisation: a scale per channel, from data, brings activations' inputs into the polynomial's interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tacit.codesign.finetune.freedom import FIXED, Freedom
from tacit.codesign.pillar import watch
from tacit.codesign.training.devices import evaluating
from tacit.errors import InvalidInput

__all__ = ["Calibration", "observe", "scales"]

#: A channel that is nearly silent on the data gets this share of its layer's largest scale at least: what it carries
#: on other data is bounded by the layer, not by the silence.
_FLOOR = 0.05


@dataclass(frozen=True)
class Calibration:
    """The largest magnitude of every channel of each activation's input on the data, by site; of (channels,)."""

    peaks: Mapping[str, Tensor]
    examples: int


def observe(model: nn.Module, sites: Mapping[str, nn.Module], batches: Iterable[Tensor]) -> Calibration:
    """Run normalised images through `model` in evaluation mode, on its device, and note each site's peaks by channel.

    Channels lie along axis 1. Raises InvalidInput for no image, and where a site sees a value that is not finite.
    """
    peaks: dict[str, Tensor] = {}
    examples, device = 0, next(model.parameters()).device
    with evaluating(model):
        for x in batches:
            examples += len(x)
            with watch(sites) as seen:
                model(x.to(device))
            for name, given in seen:
                found = given.abs().transpose(0, 1).flatten(1).amax(1).float()
                peaks[name] = torch.maximum(peaks[name], found) if name in peaks else found
    if not examples:
        raise InvalidInput("there is no image to observe ranges on; give a split with examples")
    for name, peak in peaks.items():
        if not torch.isfinite(peak).all():
            raise InvalidInput(f"the activation {name} sees values that are not finite; the model's weights are broken")
    return Calibration(peaks, examples)


def scales(calibration: Calibration, freedom: Freedom, reach: float, *, powers: bool = False) -> dict[str, Tensor]:
    """The scale of every channel by site, such that on the data |x / scale| <= `reach`; 1 where it cannot be chosen.

    Channels that must share a scale get the largest of theirs. With `powers` scales are powers of two, rounded up.
    """
    wanted: defaultdict[int, float] = defaultdict(float)
    sites = {name: classes for name, classes in freedom.sites.items() if name in calibration.peaks}
    for name, classes in sites.items():
        peak = calibration.peaks[name]
        floor = _FLOOR * float(peak.max())
        for channel, value in zip(classes.tolist(), peak.tolist(), strict=True):
            wanted[channel] = max(wanted[channel], value, floor)
    chosen = {channel: _rounded(value / reach, powers) for channel, value in wanted.items()}
    chosen[FIXED] = 1.0
    return {name: torch.tensor([chosen[c] for c in classes.tolist()]) for name, classes in sites.items()}


def _rounded(scale: float, powers: bool) -> float:
    if scale <= 0:
        return 1.0
    return 2.0 ** math.ceil(math.log2(scale)) if powers else scale
