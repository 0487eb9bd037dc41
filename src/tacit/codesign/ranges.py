"""Range certificates: the largest input of every polynomial over a whole split, and the export that insists on one.

A polynomial follows ReLU inside its interval and runs away outside: one input far out makes the answer wrong. Shares of
inputs out of range say little about that, so that the certificate is of the largest one, without clipping.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.data.batches import batches
from tacit.codesign.data.sets import Data, Split
from tacit.codesign.pillar import polynomials, watch
from tacit.codesign.structure import structure
from tacit.codesign.training.devices import device_of, evaluating
from tacit.codesign.training.evaluate import logits_of
from tacit.errors import InvalidInput, RangeNotCertified
from tacit.front.compile import compile_model
from tacit.plan.plan import Plan
from tacit.plan.policy import Policy

__all__ = ["Certificate", "SiteRange", "certify", "check_certifiable", "export", "fingerprint"]

#: Activations that an error names, at most.
_SHOWN = 12


@dataclass(frozen=True)
class SiteRange:
    """One activation: the largest |x / scale| that it saw (infinite for NaN) and the share beyond its interval."""

    name: str
    largest: float
    outside: float


@dataclass(frozen=True)
class Certificate:
    """What the polynomials of a model saw on a split, clipping off.

    sites       every activation's range, in the model's order
    bound       what the largest normalised input may be
    examples    how many examples were seen
    non_finite  logits that were no numbers
    weights     SHA-256 of the model's parameters and buffers, its layers and its polynomials
    data        SHA-256 of the examples
    """

    sites: tuple[SiteRange, ...]
    bound: float
    examples: int
    non_finite: int
    weights: str
    data: str

    @property
    def largest(self) -> float:
        """The largest normalised input of any activation; 0 without any."""
        return max((site.largest for site in self.sites), default=0.0)

    @property
    def bad(self) -> tuple[SiteRange, ...]:
        """The activations whose inputs go beyond the bound."""
        return tuple(site for site in self.sites if not site.largest <= self.bound)

    @property
    def holds(self) -> bool:
        """Whether every input stays within the bound and every logit is finite."""
        return not self.bad and not self.non_finite

    def require(self) -> None:
        """Raises RangeNotCertified, naming every activation beyond the bound, unless the certificate holds."""
        if self.holds:
            return
        worst = sorted(self.bad, key=lambda site: -site.largest)
        shown = ", ".join(f"{site.name} ({site.largest:.4g})" for site in worst[:_SHOWN])
        more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
        said = f"inputs beyond {self.bound:g} at {shown}{more}" if worst else f"{self.non_finite} logits not finite"
        raise RangeNotCertified(
            f"the polynomials leave their range on {self.examples} examples: {said}; train longer with a larger "
            "penalty, or keep these activations exact"
        )

    def matches(self, model: nn.Module) -> bool:
        """Whether `model` has the weights, the layers and the polynomials that the certificate was given for."""
        return fingerprint(model) == self.weights


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) of every parameter and buffer of `model`, by name, type, shape and value, and its `structure`."""
    digest = hashlib.sha256(b"tacit model 2" + structure(model).encode())
    for name, tensor in sorted({**dict(model.named_buffers()), **model.state_dict()}.items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        array = tensor.detach().cpu().contiguous()
        head = f"{name}/{array.dtype}/{tuple(array.shape)}".encode()
        digest.update(len(head).to_bytes(4, "little") + head)
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def certify(
    model: nn.Module,
    split: Split,
    data: Data,
    *,
    bound: float = 8.0,
    batch: int = 256,
    device: str = "auto",
    exact: bool = False,
) -> Certificate:
    """Run every example of `split` through `model` in evaluation mode and note each polynomial's largest input.

    Inputs are in units of the activation's scale. The model is left as it was, but for its device. Raises InvalidInput
    for a model without polynomial activations, unless `exact` says that it may have none, one that does not fit the
    data, an empty split, a bound that is not positive and finite, a `batch` below 1 and an absent device.
    """
    check_certifiable(split, bound)
    if batch < 1:
        raise InvalidInput(f"a batch has 1 example or more, and not {batch}")
    layers = {} if exact and not _has_polynomials(model) else polynomials(model)
    where = device_of(model, device)
    model.to(where)
    seen = {name: _Seen(layer.polynomial.interval) for name, layer in layers.items()}
    digest, lost = hashlib.sha256(b"tacit examples 1"), 0
    with evaluating(model):
        for x, _ in batches(split, torch.arange(len(split)), batch):
            digest.update(np.ascontiguousarray(x.numpy()).data)
            with watch(layers) as inputs:
                logits = logits_of(model, x.to(where), data)
            for name, given in inputs:
                seen[name].add(layers[name].normalised(given))
            lost += int((~torch.isfinite(logits)).sum())
    sites = tuple(seen[name].site(name) for name in layers)
    return Certificate(sites, bound, len(split), lost, fingerprint(model), digest.hexdigest())


def check_certifiable(split: Split, bound: float) -> None:
    """That ranges can be certified on `split`, before anything long begins. Raises InvalidInput."""
    if not 0 < bound < math.inf:
        raise InvalidInput(f"the bound of a range certificate must be positive and finite, not {bound!r}")
    if not len(split):
        raise InvalidInput("the split holds no example; a range certificate needs the whole evaluation set")


def _has_polynomials(model: nn.Module) -> bool:
    return any(isinstance(module, PolyAct) for module in model.modules())


class _Seen:
    """What one activation saw so far."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._largest, self._outside, self._count = 0.0, 0, 0

    def add(self, x: Tensor) -> None:
        largest = float(x.abs().max()) if x.numel() else 0.0
        self._largest = max(self._largest, math.inf if math.isnan(largest) else largest)
        self._outside += int((~(x.abs() <= self._interval)).sum())
        self._count += x.numel()

    def site(self, name: str) -> SiteRange:
        return SiteRange(name, self._largest, self._outside / max(1, self._count))


def export(
    model: nn.Module,
    certificate: Certificate,
    path: str | Path,
    data: Data,
    *,
    policy: Policy | None = None,
    calibration: int = 64,
    batch: int = 1,
) -> Plan:
    """Compile `model` for private inference on batches of `batch` and write the owner's file `path`.

    Ranges are calibrated on the first `calibration` training examples. Nothing is written unless `certificate` holds
    and is of this model's weights: raises RangeNotCertified. Raises what `tacit.compile` and saving raise.
    """
    certificate.require()
    if not certificate.matches(model):
        raise RangeNotCertified("the certificate is of another model or other weights; certify the model anew")
    if batch < 1:
        raise InvalidInput(f"a batch has 1 example or more, and not {batch}")
    count = max(1, min(calibration, len(data.train)) // batch)
    if count * batch > len(data.train):
        raise InvalidInput(f"a batch of {batch} is larger than the training split of {len(data.train)} examples")
    model = model.cpu()
    examples = [data.normalise(data.train.batch(range(i * batch, (i + 1) * batch))[0]) for i in range(count)]
    plan = compile_model(model, examples[0], policy=policy, calibration=examples)
    plan.save(path)
    return plan
