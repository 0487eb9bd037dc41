"""Where a model's activations are: every call of one, with its shape, in the order in which they run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.activations.stochastic import StochasticReLU
from tacit.codesign.kinds import MAXPOOL, kind_of, kind_of_call
from tacit.codesign.separate import separate, spots
from tacit.errors import InvalidInput

__all__ = ["Example", "Site", "no_activation", "observed", "outputs", "sites"]

Example: TypeAlias = "Tensor | tuple[Tensor, ...]"
UNSEEN = "its code cannot be traced; call an nn.Module for each activation there"


@dataclass(frozen=True)
class Site:
    """One activation or max-pool of a model.

    name    its module's path; a second call of a module `relu` is `relu_2`, a function is named after what it is.
            After `convert` these are the paths of the modules, which bills show too
    kind    "relu", "gelu" .. as torch.nn.functional has them, or "maxpool"
    shape   of one input, without the batch: (C, H, W); () where no example was run
    count   activations for one input: the entries that it reads, over all calls
    calls   how often it runs for one input: more than once in a block that is itself used again
    fixed   why it cannot be replaced; "" where it can
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    count: int = 0
    calls: int = 0
    fixed: str = ""


def sites(model: nn.Module, example: Example) -> tuple[Site, ...]:
    """Every activation and max-pool that runs on `example` (a batch, or a tuple of inputs), first to last.

    Polynomials are none; what PyTorch fuses, such as its own encoder layers, is not seen. The model is not changed.
    Raises InvalidInput for a model without activations, or one that computes something else once they are told apart.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"sites are looked for in a torch.nn.Module, not in a {type(model).__name__}")
    wanted = outputs(model, example)
    found = tuple(site for site in observed(separate(copy.deepcopy(model)), example, wanted) if site.calls)
    if all(site.kind == MAXPOOL for site in found):
        raise no_activation(model)
    return found


def no_activation(model: nn.Module) -> InvalidInput:
    """The error for a model in which there is nothing to find."""
    has = any(isinstance(module, PolyAct) for module in model.modules())
    return InvalidInput(
        f"this {type(model).__name__} has no activation {'but polynomials' if has else 'that is known here'}; "
        "give a model with ReLUs or the like, as modules or as functions of torch.nn.functional"
    )


def observed(model: nn.Module, example: Example, wanted: list[Tensor]) -> list[Site]:
    """The sites of a separated model as they run on `example`, then those that do not run.

    `wanted` are the outputs that it must give. Raises InvalidInput when it gives others.
    """
    named = {spot.path: str(kind_of(spot.module)) for spot in spots(model)}
    seen = _Seen(named)
    try:
        with _attached(model, seen), seen:
            got = outputs(model, example)
    except InvalidInput:  # a traced forward refuses what it was not traced for
        got = []
    random = any(isinstance(module, StochasticReLU) for module in model.modules())
    if len(got) != len(wanted) or not (random or all(map(_close, got, wanted))):
        raise InvalidInput(
            f"the forward of this {type(model).__name__} depends on its data or on optional arguments, so that its "
            "activations cannot be told apart; call a module of its own for each"
        )
    ran = [calls.site(name) for name, calls in seen.calls.items()]
    return ran + [Site(name, kind) for name, kind in named.items() if name not in seen.calls]


def _close(got: Tensor, wanted: Tensor) -> bool:
    return got.shape == wanted.shape and torch.allclose(got, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)


def outputs(model: nn.Module, example: Example) -> list[Tensor]:
    """The model's output tensors in evaluation mode; each module's own mode comes back. Raises InvalidInput."""
    inputs = example if isinstance(example, tuple) else (example,)
    if not inputs or not all(isinstance(x, Tensor) and x.ndim > 0 for x in inputs):
        raise InvalidInput("an example is a batch of inputs: a tensor, or a tuple of tensors")
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            made = model(*(x.clone() for x in inputs))
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidInput(f"the model does not run on the example: {first.rstrip('.')}") from error
    finally:
        for module, training in before:
            module.training = training
    return [leaf for leaf in pytree.tree_leaves(made) if isinstance(leaf, Tensor)]


@dataclass
class _Calls:
    """What is known of one site: its kind, the shapes it read, and why it cannot be replaced."""

    kind: str
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    fixed: str = ""

    def site(self, name: str) -> Site:
        """The same for one input."""
        shapes = [shape[1:] for shape in self.shapes]
        return Site(name, self.kind, shapes[0], sum(map(prod, shapes)), len(shapes), self.fixed)


class _Seen(TorchFunctionMode):
    """Takes down calls of activation modules, and of activation functions outside of these."""

    def __init__(self, named: Mapping[str, str]) -> None:
        super().__init__()
        self.calls: dict[str, _Calls] = {}
        self._named = named
        self._stack: list[str] = []

    def enter(self, path: str, inputs: tuple[Any, ...]) -> None:
        """A module begins."""
        self._stack.append(path)
        if path in self._named and inputs and isinstance(inputs[0], Tensor):
            self.calls.setdefault(path, _Calls(self._named[path])).shapes.append(tuple(inputs[0].shape))

    def leave(self) -> None:
        """A module ends."""
        self._stack.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The call itself, after a look at it."""
        kind, path = kind_of_call(func), self._stack[-1] if self._stack else ""
        if kind is not None and path not in self._named and args and isinstance(args[0], Tensor):
            name = f"{path}.{kind}" if path else kind
            name = f"{name} (function)" if name in self._named else name
            self.calls.setdefault(name, _Calls(kind, fixed=UNSEEN)).shapes.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def _entering(seen: _Seen, path: str) -> Any:
    """A hook for the module at `path`, whose inputs may be given by name."""
    return lambda _, inputs, named: seen.enter(path, (*inputs, *named.values()))


@contextmanager
def _attached(model: nn.Module, seen: _Seen) -> Iterator[None]:
    """Tells `seen` of every module that begins or ends."""
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_entering(seen, path), with_kwargs=True))
        handles.append(module.register_forward_hook(lambda *_: seen.leave()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
