"""`.tacit` files: what is written is read, and whatever was altered is refused in words or means the same plan."""

from __future__ import annotations

import copy
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tacit.corr.bundle import Seeds
from tacit.errors import InvalidFile, InvalidInput, TacitError
from tacit.front.clear import run_clear
from tacit.plan.compile import commit, integer_weights
from tacit.plan.plan import FORMAT, Plan
from tacit.plan.save import load_plan, plan_from_json
from tacit.ring.prg import Seed
from tacit.run import material
from tacit.run.execute import encode_inputs
from tacit.run.simulate import simulate
from tacit.secure.share import CLIENT, SERVER
from tacit.testing.graphs import Sketch, nrmse, plan_for, policy_for, residual_net


def mixed_plan() -> Plan:
    """A plan with most kinds of steps."""
    s = Sketch(2)
    x = s.input(1, 2, 4, 4)
    y = s.op("add", s.conv(s.conv(x, 2), 2), s.op("scale", x, attrs={"num": "1", "den": "3"}))
    z = s.flat(s.pool(s.poly(s.op("concat", y, x, attrs={"axis": 1}))))
    graph = s.graph(s.op("bias", s.linear(z, 3), value=np.ones(3)), s.affine(y))
    return plan_for(graph, policy_for("dealer"), s.values())


def gated_plan() -> Plan:
    """Every gate, a polynomial at the same opening, and no weights: any altered plan that is taken can run."""
    s = Sketch(4)
    x = s.input(1, 5)
    y = s.op("clip", x, attrs={"low": "-1/2", "high": "1/3"})
    bent = s.op("leaky", s.poly(x, ("0", "1")), attrs={"slope": "-1/4"})
    taken = s.op("take", y, attrs={"axis": 1, "index": [3, 1]})
    kept = s.op("relu", s.op("lift", y, attrs={"by": "4"}))
    graph = s.graph(kept, bent, taken, s.op("step", x), s.op("topk", x, attrs={"k": 2}))
    return plan_for(graph, policy_for("dealer", rounding="exact"), s.values())


@pytest.fixture(scope="module")
def plan() -> Plan:
    return mixed_plan()


@pytest.fixture(scope="module")
def files(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    plan.save(folder / "owner.tacit")
    plan.save_public(folder / "public.tacit")
    return {kind: (folder / f"{kind}.tacit").read_bytes() for kind in ("owner", "public")}


def test_round_trip(tmp_path: Path) -> None:
    graph, xs = residual_net()
    plan = plan_for(graph, policy_for("dealer"), xs)
    plan.save(tmp_path / "owner.tacit")
    plan.save_public(tmp_path / "public.tacit")
    owner, public = load_plan(tmp_path / "owner.tacit"), load_plan(tmp_path / "public.tacit")
    assert owner.digest == public.digest == plan.digest
    assert owner.public() == public == plan.public()
    assert owner.wires == plan.wires
    assert public.graph is None
    assert public.opening is None
    assert str(owner.bill()) == str(plan.bill())
    assert nrmse(simulate(owner, *xs).outputs, run_clear(graph, *xs)) < 1e-3


def test_modes(tmp_path: Path, plan: Plan) -> None:
    plan.save(tmp_path / "owner.tacit")
    plan.save_public(tmp_path / "public.tacit")
    assert (tmp_path / "owner.tacit").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["owner.tacit", "public.tacit"], "no draft is left"


def test_the_public_file_holds_no_weight(files: dict[str, bytes], plan: Plan) -> None:
    assert plan.graph is not None
    for key, values in plan.graph.weights.items():
        for raw in (values.tobytes(), values.astype(np.float32).tobytes()):
            assert raw[:16] not in files["public"], key
            assert raw[:16] in files["owner"] or values.dtype != raw, key


def test_only_the_owner_can_save_weights(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(InvalidInput, match="only the owner's plan"):
        plan.public().save(tmp_path / "x.tacit")
    with pytest.raises(InvalidInput, match="cannot write"):
        plan.save(tmp_path / "no such folder" / "x.tacit")
    assert not list(tmp_path.iterdir())


def loaded(path: Path, data: bytes) -> Plan | InvalidFile:
    path.write_bytes(data)
    try:
        return load_plan(path)
    except InvalidFile as error:
        return error


def same(a: Plan, b: Plan) -> bool:
    """Equal public halves, and equal integer weights where there are any."""
    if a.digest != b.digest:
        return False
    if a.graph is None or a.opening is None:
        return True
    return commit(integer_weights(a), a.opening) == b.commitment


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """One random alteration: flipped bits, a cut, something inserted, two places swapped, zeros."""
    out, at = bytearray(data), int(rng.integers(len(data)))
    # half of all alterations hit the header, where the structure is
    at = at if rng.random() < 0.5 else int(rng.integers(min(len(data), 4000)))
    kind = int(rng.integers(5))
    if kind == 0:
        for i in rng.integers(max(1, at), size=int(rng.integers(1, 4))):
            out[int(i)] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del out[at:]
    elif kind == 2:
        out[at:at] = rng.bytes(int(rng.integers(1, 9)))
    elif kind == 3:
        other = int(rng.integers(len(data)))
        out[at], out[other] = out[other], out[at]
    else:
        out[at : at + 8] = bytes(len(out[at : at + 8]))
    return bytes(out)


@pytest.mark.parametrize("kind", ["owner", "public"])
def test_five_hundred_altered_files(kind: str, files: dict[str, bytes], plan: Plan, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(500):
        got = loaded(tmp_path / "x.tacit", mutated(rng, files[kind]))
        if isinstance(got, InvalidFile):
            assert len(str(got)) < 2000
            refused += 1
        else:
            assert same(got, plan)
    assert refused > 400


WEIRD: list[Any] = [
    None, True, -1, 0, 1, 7, 63, 64, 65, 1 << 31, 1 << 40, (1 << 63) - 1, 0.5, -0.0, 1e308, "", "x", "1/0", "0", "-1",
    "1e9", "1e999999999", "9" * 150, "9" * 5000, "nan", "inf", "../x", [], {}, [0], [[]], [1 << 40], ["x"], {"a": 1},
    "masked", "clear", "mask", "remask", "reveal", "open", "poly", "linear", "input", "evaluate", "local", "lift",
]  # fmt: skip


def paths(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON data."""
    yield at
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from paths(value, (*at, key))


def altered(rng: np.random.Generator, data: Any) -> Any:
    """The data with one to three places replaced, removed or doubled."""
    out = copy.deepcopy(data)
    for _ in range(int(rng.integers(1, 4))):
        places = [p for p in paths(out) if p]
        *way, last = places[int(rng.integers(len(places)))]
        target = out
        for key in way:
            target = target[key]
        kind = rng.random()
        if kind < 0.7:
            target[last] = copy.deepcopy(WEIRD[int(rng.integers(len(WEIRD)))])
        elif kind < 0.85:
            del target[last]
        elif isinstance(target, list):
            target.insert(last, copy.deepcopy(target[int(rng.integers(len(target)))]))
        else:
            target[last] = copy.deepcopy(target[list(target)[int(rng.integers(len(target)))]])
    return out


def small(plan: Plan) -> bool:
    shapes = [w.shape for w in plan.wires.values()] + [s for step in plan.steps for s in step.weights.values()]
    return sum(int(np.prod(s, dtype=object)) for s in shapes) < 1 << 16


def use(plan: Plan) -> None:
    """Everything that a client or dealer does with a plan from outside, up to its first byte: typed errors only."""
    plan.bill().data()
    plan.disclosure.lines()
    material.dealt_parts(plan)
    material.primed_parts(plan)
    if not small(plan):
        return
    encode_inputs(plan, [np.zeros(wire.shape) for wire in plan.inputs.values()])
    matrices = material.matrices(plan, Seed(bytes(16)))
    for rank in (CLIENT, SERVER):
        material.deal(plan, Seeds(Seed(bytes(16)), Seed(bytes([1] * 16))), rank, matrices)


def alterations(count: int, plan: Plan) -> tuple[int, int, float]:
    """How many altered plans were refused and taken, and the longest time one took."""
    rng, data = np.random.default_rng(11), msgspec.json.decode(plan.canonical())
    refused = taken = 0
    longest = 0.0
    for _ in range(count):
        raw = msgspec.json.encode(altered(rng, data), order="deterministic")
        started = time.perf_counter()
        try:
            got = plan_from_json(raw, "the peer's plan")
        except InvalidFile:
            refused += 1
        else:
            try:
                use(got)
            except TacitError:
                refused += 1
            taken += 1
        longest = max(longest, time.perf_counter() - started)
    return refused, taken, longest


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_altered_plans(count: int, plan: Plan) -> None:
    refused, taken, _ = alterations(count, plan)
    assert refused > count / 3
    assert taken > count / 100, "the alterations are too coarse to test anything beyond the first check"


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_altered_gates_that_are_taken_run_to_the_end(count: int) -> None:
    own = gated_plan()
    rng, data = np.random.default_rng(12), msgspec.json.decode(own.canonical())
    ran = 0
    for _ in range(count):
        raw = msgspec.json.encode(altered(rng, data), order="deterministic")
        try:
            got = plan_from_json(raw, "the peer's plan")
        except InvalidFile:
            continue
        if not small(got):
            continue
        whole = replace(got, graph=own.graph, opening=own.opening)
        simulate(whole, *[np.zeros(wire.shape) for wire in got.inputs.values()])
        ran += 1
    assert ran > count / 100


HOSTILE: list[tuple[str, Any]] = [
    ("weight_scale", "1e999999999"),
    ("weight_scale", "0"),
    ("weight_scale", "-1"),
    ("scale", "1e999999999"),
    ("coeffs", ["x", "1"]),
    ("coeffs", ["1", "9" * 60]),
    ("coeffs", [None, 1]),
    ("value_bits", "x"),
    ("value_bits", 1e308),
    ("drop", 64),
    ("shift", 63),
    ("by", "0"),
    ("groups", 0),
    ("stride", [0, 0]),
    ("padding", [-5, -5]),
    ("divisor", 0),
    ("axis", 9),
    ("ring", 15),
    ("ring", 65),
    ("ring", 40.0),
    ("ring", True),
]


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_hostile_attributes(name: str, value: Any, plan: Plan) -> None:
    data = msgspec.json.decode(plan.canonical())
    steps = [s for s in data["steps"] if name in s["attrs"]]
    assert steps, f"the plan has no step with {name}"
    for step in steps:
        kept, step["attrs"][name] = step["attrs"][name], value
        with pytest.raises(InvalidFile):
            plan_from_json(msgspec.json.encode(data), "the peer's plan")
        step["attrs"][name] = kept
    assert plan_from_json(msgspec.json.encode(data), "x").digest == plan.digest


def edited(plan: Plan, site: int, **changes: Any) -> bytes:
    data = msgspec.json.decode(plan.canonical())
    data["steps"][site].update(changes)
    return msgspec.json.encode(data)


def site_of(plan: Plan, op: str) -> int:
    return next(step.site for step in plan.steps if step.op == op)


def test_steps_that_make_no_sense(plan: Plan) -> None:
    """Weights of other shapes, a mask of a layer's output, a reveal of what was opened, a step that reads itself."""
    conv, open_, reveal = site_of(plan, "conv"), site_of(plan, "open"), site_of(plan, "reveal")
    cases = [
        edited(plan, conv, weights={"weight": [2, 7, 3, 3], "bias": [2]}),
        edited(plan, conv, weights={"weight": [2, 2, 3, 3], "bias": [5]}),
        edited(plan, conv, weights={}),
        edited(plan, site_of(plan, "remask"), op="mask"),
        edited(plan, reveal, inputs=[open_]),
        edited(plan, site_of(plan, "remask"), inputs=[open_]),
        edited(plan, conv, inputs=[conv]),
        edited(plan, conv, inputs=[conv, conv]),
        edited(plan, conv, protocol="../../x"),
        edited(plan, conv, op="os"),
    ]
    for raw in cases:
        with pytest.raises(InvalidFile):
            plan_from_json(raw, "the peer's plan")


@pytest.mark.parametrize("raw", [b'{"salt":"\xb2"}', b"[" * 100_000, b'{"a":' * 100_000, b"", b"null", b"\x00"])
def test_text_that_is_no_plan(raw: bytes) -> None:
    with pytest.raises(InvalidFile, match="damaged"):
        plan_from_json(raw, "the peer's plan")


def test_another_format(plan: Plan) -> None:
    data = msgspec.json.decode(plan.canonical())
    data["format"] = FORMAT + 1
    with pytest.raises(InvalidFile, match="compile it again"):
        plan_from_json(msgspec.json.encode(data), "x")


def rewritten(path: Path, source: Path, **metadata: str) -> Path:
    """The owner's file with other metadata."""
    with safe_open(source, framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        kept = file.metadata()
    save_file(tensors, path, {**kept, **metadata})
    return path


def test_owner_metadata_that_does_not_fit(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "owner.tacit")
    with safe_open(tmp_path / "owner.tacit", framework="numpy") as file:
        owner = msgspec.json.decode(file.metadata()["owner"])
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        raw = msgspec.json.encode(altered(rng, owner)).decode()
        path = rewritten(tmp_path / "x.tacit", tmp_path / "owner.tacit", owner=raw)
        got = loaded(path, path.read_bytes())
        refused += isinstance(got, InvalidFile)
        assert isinstance(got, InvalidFile) or same(got, plan)
    assert refused > 20


def test_digest_is_of_the_plan(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "owner.tacit")
    wrong = rewritten(tmp_path / "x.tacit", tmp_path / "owner.tacit", digest=hashlib.sha256(b"").hexdigest())
    with pytest.raises(InvalidFile, match="altered"):
        load_plan(wrong)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.tacit").write_bytes(b"")
    save_file({"x": np.zeros(3)}, tmp_path / "foreign.tacit")
    for name, reason in [
        ("empty", "not a complete"),
        ("foreign", "not one of Tacit's"),
        ("absent", "there is no file"),
    ]:
        with pytest.raises(InvalidFile, match=reason):
            load_plan(tmp_path / f"{name}.tacit")
    with pytest.raises(InvalidFile):
        load_plan(tmp_path)
