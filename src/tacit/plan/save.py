"""`.tacit` files: safetensors with the plan as checked JSON; an owner's file has the graph and weights, a
public one has not.
"""

from __future__ import annotations

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tacit.errors import InvalidFile, InvalidInput, TacitError
from tacit.ir.attrs import fraction
from tacit.ir.graph import Graph, Node
from tacit.plan.check import check_identity, check_shape, check_steps
from tacit.plan.compile import commit, integer_weights
from tacit.plan.plan import FORMAT, Plan
from tacit.plan.policy import MAX_RING, MIN_RING
from tacit.secure.session import Step
from tacit.secure.share import Wire

__all__ = ["load_plan", "plan_from_json", "save_owner", "save_public"]

MAX_STEPS, MAX_JSON = 100_000, 64 << 20


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    op: str
    inputs: list[int]
    attrs: dict[str, Any]
    protocol: str
    node: str
    weights: dict[str, list[int]]


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    shape: list[int]
    ring: int
    scale: str


class _Public(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    steps: list[_Step]
    inputs: dict[str, _Input]
    ranges: dict[str, float]
    settings: dict[str, Any]
    commitment: str
    salt: str


class _Node(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    op: str
    inputs: list[str]
    shape: list[int]
    attrs: dict[str, Any]
    weights: dict[str, str]
    source: str


class _Owner(msgspec.Struct, forbid_unknown_fields=True):
    nodes: list[_Node]
    outputs: list[str]
    opening: str


def _write(path: Path, tensors: dict[str, Any], metadata: dict[str, str], *, private: bool) -> None:
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent or Path(), prefix=".tacit-")
        os.close(handle)
        try:
            save_file(tensors, name, metadata)
            os.chmod(name, 0o600 if private else 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"cannot write {path}: {error}") from error


def save_public(plan: Plan, path: str | Path) -> None:
    """Write the public half: what clients and the dealer need. It holds no weight."""
    metadata = {"tacit": "public", "plan": plan.canonical().decode(), "digest": plan.digest}
    _write(Path(path), {}, metadata, private=False)


def save_owner(plan: Plan, path: str | Path) -> None:
    """Write the owner's file: plan, graph and weights, readable by its user alone (mode 0600)."""
    if plan.graph is None or plan.opening is None:
        raise InvalidInput("only the owner's plan can be saved with weights; this is the public half")
    graph = plan.graph
    nodes = [
        _Node(n.id, n.op, list(n.inputs), list(n.shape), dict(n.attrs), dict(n.weights), n.source) for n in graph.nodes
    ]
    owner = _Owner(nodes, list(graph.outputs), plan.opening.hex())
    metadata = {
        "tacit": "owner",
        "plan": plan.canonical().decode(),
        "digest": plan.digest,
        "owner": msgspec.json.encode(owner).decode(),
    }
    tensors = {key: np.ascontiguousarray(value) for key, value in graph.weights.items()}
    _write(Path(path), tensors, metadata, private=True)


def load_plan(path: str | Path) -> Plan:
    """Read either kind of file. InvalidFile if it is truncated, altered, of another version or not one of ours."""
    path = Path(path)
    if not path.is_file():
        raise InvalidFile(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidFile(f"{path} is not a complete .tacit file: {error}") from error
    kind = metadata.get("tacit")
    if kind not in ("owner", "public") or "plan" not in metadata:
        raise InvalidFile(f"{path} is a safetensors file but not one of Tacit's; make one with `tacit compile`")
    plan = plan_from_json(metadata["plan"].encode(), str(path))
    if plan.digest != metadata.get("digest"):
        raise InvalidFile(f"{path} was altered: its plan does not match its digest")
    if kind == "public":
        return plan
    return _with_graph(plan, metadata.get("owner", ""), tensors, str(path))


def plan_from_json(raw: bytes, where: str) -> Plan:
    """The public half of a plan from its JSON, every field and every step checked; InvalidFile otherwise."""
    if len(raw) > MAX_JSON:
        raise InvalidFile(f"{where}: the plan is larger than {MAX_JSON} bytes")
    try:
        data = msgspec.json.decode(raw, type=_Public)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # not UTF-8, or nested without end
        raise InvalidFile(f"{where}: the plan is damaged: {error}") from error
    if data.format != FORMAT:
        raise InvalidFile(f"{where}: the plan has format {data.format}, this version reads {FORMAT}; compile it again")
    try:
        return _checked(data)
    except TacitError as error:
        raise InvalidFile(f"{where}: the plan does not hold together: {error}") from error
    except Exception as error:  # whatever a hostile plan trips over is the plan's fault
        raise InvalidFile(f"{where}: the plan does not hold together ({type(error).__name__}: {error})") from error


def _checked(data: _Public) -> Plan:
    if not 0 < len(data.steps) <= MAX_STEPS:
        raise InvalidFile(f"it has {len(data.steps)} steps")
    steps = []
    for site, s in enumerate(data.steps):
        if any(not 0 <= i < site for i in s.inputs):
            raise InvalidFile(f"step {site} reads a step that does not come before it")
        _check_attrs(site, s)
        shapes = {name: tuple(shape) for name, shape in s.weights.items()}
        steps.append(Step(site, s.op, tuple(s.inputs), s.attrs, s.protocol, s.node, shapes))
    inputs = {}
    for name, i in data.inputs.items():
        check_shape(tuple(i.shape))
        if not i.shape:
            raise InvalidFile("an input has no batch axis")
        inputs[int(name)] = Wire(tuple(i.shape), _ring(i.ring), _positive(i.scale), "raw")
    if set(inputs) != {s.site for s in steps if s.op == "mask"}:
        raise InvalidFile("its inputs are not its masks")
    ranges = {int(site): float(bound) for site, bound in data.ranges.items()}
    check_identity(data.commitment, data.salt, data.settings)
    check_steps(tuple(steps), inputs, ranges)
    plan = Plan(tuple(steps), inputs, ranges, data.settings, data.commitment, data.salt)
    if not plan.outputs:
        raise InvalidFile("it has no output")
    return plan


def _check_attrs(site: int, step: _Step) -> None:
    """Numbers that kernels shift by or allocate for must be small before anything uses them."""
    for name, (low, high) in {"shift": (0, 62), "trunc": (0, 127), "drop": (0, 63)}.items():
        value = step.attrs.get(name, low)
        if not isinstance(value, int) or not low <= value <= high:
            raise InvalidFile(f"step {site}: {name} must be from {low} to {high}")
    if "ring" in step.attrs:
        _ring(step.attrs["ring"])
    if step.op == "poly" and not 2 <= len(step.attrs["coeffs"]) <= 7:
        raise InvalidFile(f"step {site}: a polynomial has degree 1 to 6")


def _ring(bits: int) -> int:
    if not isinstance(bits, int) or isinstance(bits, bool) or not MIN_RING <= bits <= MAX_RING:
        raise InvalidFile(f"there is no ring of {bits!r} bits; they have from {MIN_RING} to {MAX_RING}")
    return bits


def _positive(text: str) -> Fraction:
    value = fraction(text, "scale")
    if value <= 0:
        raise InvalidFile("a scale must be positive")
    return value


def _with_graph(plan: Plan, raw: str, tensors: dict[str, Any], where: str) -> Plan:
    try:
        owner = msgspec.json.decode(raw, type=_Owner)
        nodes = tuple(
            Node(n.id, n.op, tuple(n.inputs), tuple(n.shape), n.attrs, n.weights, n.source) for n in owner.nodes
        )
        graph = Graph(nodes, tuple(owner.outputs), tensors)
        full = Plan(
            plan.steps,
            plan.inputs,
            plan.ranges,
            plan.settings,
            plan.commitment,
            plan.salt,
            graph,
            bytes.fromhex(owner.opening),
        )
        assert full.opening is not None
        actual = commit(integer_weights(full), full.opening)
    except (msgspec.MsgspecError, ValueError, KeyError, LookupError, TacitError) as error:
        raise InvalidFile(f"{where}: the graph is damaged: {error}") from error
    if actual != plan.commitment:
        raise InvalidFile(f"{where} was altered: its weights do not match its commitment")
    return full
