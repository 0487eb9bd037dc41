"""Where a model is trained: devices, mixed precision, threads, and modes that are put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn

from tacit.errors import InvalidInput

__all__ = ["autocast", "device_of", "evaluating", "find_device", "scaler", "seeded", "using_threads"]

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first CUDA device, else the CPU.

    Raises:
        InvalidInput: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InvalidInput(f"{name!r} is no device: give 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    if device.type == "cpu":
        return device
    present = torch.cuda.device_count() if device.type == "cuda" else _others(device.type)
    if (device.index or 0) >= present:
        raise InvalidInput(f"the device {name} is not on this machine, which has {present} of that kind; use 'cpu'")
    return device


def _others(kind: str) -> int:
    """How many devices of a kind other than CUDA there are."""
    backend: Any = getattr(torch, kind, None)
    try:
        return int(backend.device_count()) if backend is not None and backend.is_available() else 0
    except (AttributeError, RuntimeError):
        return 0


def device_of(model: nn.Module, name: str) -> torch.device:
    """The device `name`; "auto" is where the model's parameters are. Raises InvalidInput as `find_device`."""
    if name != "auto":
        return find_device(name)
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return find_device("auto") if tensor is None else tensor.device


def autocast(mixed: str | None, device: torch.device) -> AbstractContextManager[Any]:
    """Forward passes in the shorter type `mixed`, or as they are.

    Raises:
        InvalidInput: fp16 is asked for where there is no CUDA device: its small range needs loss scaling there.
    """
    if mixed is None:
        return nullcontext()
    if mixed == "fp16" and device.type != "cuda":
        raise InvalidInput(f"fp16 is for CUDA devices, and this run is on {device.type}; use mixed='bf16' or None")
    return torch.autocast(device.type, _TYPES[mixed])


def scaler(mixed: str | None, device: torch.device) -> Any:
    """A gradient scaler, which does nothing unless `mixed` is fp16."""
    return torch.amp.GradScaler(device.type, enabled=mixed == "fp16")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode without gradients; every module's own mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """PyTorch with so many threads on the CPU; what it had before is put back."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(device: torch.device) -> Iterator[None]:
    """Whatever is drawn from PyTorch's own generators inside (dropout's masks) leaves them as they were outside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
