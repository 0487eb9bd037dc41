"""docs/protocol.md and the code name the same messages, fields, numbers, streams and ops."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import reference_numbers as numbers

from tacit import errors, ops
from tacit.errors import PeerError
from tacit.net import frame
from tacit.net.message import Message, MessageCodec
from tacit.net.party import Party
from tacit.net.refusal import encode_refusal
from tacit.plan.plan import FORMAT
from tacit.plan.policy import MAX_RING, MIN_RING
from tacit.plan.save import MAX_JSON
from tacit.protocols import fss, masked
from tacit.ring import native
from tacit.ring.prg import Seed
from tacit.run import handshake, priming
from tacit.secure import bilinear, labels

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")

#: Values that a type of the document has, and values that it has not.
SAMPLES: dict[str, tuple[list[Any], list[Any]]] = {
    "Digest": (["0f" * 32], ["", "0F" * 32, "0" * 63, "0" * 65, b"0" * 64, None]),
    'Digest or ""': (["", "0f" * 32], ["0", "0F" * 32]),
    "Id": ([bytes(16)], [bytes(15), bytes(17), "0" * 16]),
    "Count": ([0, 1 << 53], [-1, (1 << 53) + 1, 0.5]),
    "Number": ([1, 20_000], [0, 20_001, "1"]),
    "Version": ([1, 7], ["1", None]),
    "Role": (["client", "server", "dealer"], ["", "owner"]),
    "[Id]": ([[], [bytes(16)] * 20_000], [[bytes(16)] * 20_001, [bytes(3)], bytes(16)]),
    "[Count]": ([[], [1] * 100_000], [[1] * 100_001, [-1]]),
    "[Digest]": ([[], ["a" * 64] * 100_000], [["a" * 64] * 100_001, ["a"]]),
}


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    return re.split(r"^#+ ", TEXT.split(f" {title}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str, table: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, without its head."""
    lines = re.findall(r"(?:^\|.*\n)+", section(title), re.MULTILINE)[table].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def documented() -> dict[str, dict[str, str]]:
    """Every message of section 3 with the types of its fields."""
    found: dict[str, dict[str, str]] = {}
    part = TEXT.split("## 3. Messages", 1)[1].split("## 4.", 1)[0]
    for name, fields in re.findall(r"`([A-Z][A-Za-z]+)(?: \{([^}]*)\})?`", part):
        described = dict(re.findall(r"(\w+): ([^,]+)(?:,|$)", fields))
        if fields or name not in found:
            assert found.get(name) in (None, {}, described), f"{name} is told in two ways"
            found[name] = described
    return found


def structs() -> dict[str, type[Message]]:
    """Every message of the code."""
    made = vars(handshake).values()
    return {m.__name__: m for m in made if inspect.isclass(m) and issubclass(m, Message) and m is not Message}


def test_messages_and_their_fields_are_those_of_the_code() -> None:
    told = documented()
    assert told.keys() == structs().keys()
    for name, struct in structs().items():
        assert tuple(told[name]) == struct.__struct_fields__, name
        assert struct.__struct_config__.tag == name
        assert struct.__struct_config__.tag_field == "type"
    assert {kind for fields in told.values() for kind in fields.values()} <= SAMPLES.keys()


def decode(struct: type[Message], fields: dict[str, Any]) -> Message:
    """What a receiver of this message makes of these fields."""
    raw = msgspec.msgpack.encode({"type": struct.__name__, **fields})
    return MessageCodec().decode(memoryview(raw), (struct,), Party("peer"))


def cases() -> Iterator[tuple[str, str, str]]:
    """Every field, with its type."""
    for name, fields in documented().items():
        for field, kind in fields.items():
            yield name, field, kind


@pytest.mark.parametrize(("name", "field", "kind"), list(cases()))
def test_a_field_takes_what_the_document_says(name: str, field: str, kind: str) -> None:
    struct = structs()[name]
    whole = {other: SAMPLES[k][0][0] for other, k in documented()[name].items()}
    good, bad = SAMPLES[kind]
    for value in good:
        assert getattr(decode(struct, {**whole, field: value}), field) == value
    for wrong in [{**whole, field: value} for value in bad]:
        with pytest.raises(PeerError):
            decode(struct, wrong)
    for wrong in ({k: v for k, v in whole.items() if k != field}, {**whole, "more": 1}):
        with pytest.raises(PeerError):
            decode(struct, wrong)


def test_types_are_those_of_the_table() -> None:
    kinds = {kind for row in rows("3. Messages") for kind in re.findall(r"\*([^*]+)\*", row[0])}
    assert kinds | {'Digest or ""'} == SAMPLES.keys()


def test_frames() -> None:
    kinds, version = rows("2. Frames")[1][2], rows("2. Frames")[2][2]
    assert {(name, int(number)) for number, name in re.findall(r"(\d) (\w+)", kinds)} == {
        (kind.name.lower(), int(kind)) for kind in frame.Kind
    }
    assert version == f"frame version: {frame.VERSION}"
    limits = re.search(r"A message has at most 2\^(\d+) bytes, data at most 2\^(\d+), a refusal 2\^(\d+)", TEXT)
    assert limits is not None
    assert [1 << int(bits) for bits in limits.groups()] == [
        frame.MESSAGE_LIMIT,
        frame.DATA_LIMIT,
        frame.REFUSAL_LIMIT,
    ]


def test_versions_and_sizes() -> None:
    assert f"Version {handshake.PROTOCOL} of the conversation, format {FORMAT} of" in TEXT
    assert f"version {native.version()} of the kernels" in TEXT
    assert f"The versions of protocol and kernels are {handshake.PROTOCOL}, that of plans is {FORMAT}." in TEXT
    assert f"| `format` | {FORMAT} |" in TEXT
    assert "max(1, min(64, floor(2^28 / material)))" in TEXT
    assert priming.GROUP_BYTES == 1 << 28
    assert "A plan has at most 2^26 bytes." in TEXT
    assert MAX_JSON == 1 << 26
    assert f"a ring k ({MIN_RING} to {MAX_RING} bits)" in section("4. Plans")


def test_codes_of_refusals() -> None:
    told = {words(row[0])[0] for row in rows("3. Messages", 1)}
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.TacitError)]
    sent = set()
    for kind in kinds:
        error = kind("peer", "version", 1, 2) if kind is errors.Mismatch else kind("a sentence")
        sent.add(msgspec.msgpack.decode(encode_refusal(error))["code"])
    assert told == sent
    fields = msgspec.msgpack.decode(encode_refusal(errors.Mismatch("peer", "version", 1, 2)))
    assert fields["type"] == "refusal"
    assert [f for f in fields if f != "type"] == ["code", "text", "field", "ours", "theirs"]


def test_streams() -> None:
    told = {words(name)[0]: (int(number), owner) for number, name, owner, _ in rows("5.2 Randomness")}
    assert {name: number for name, (number, _) in told.items()} == {n: getattr(labels, n) for n in labels.__all__}
    assert labels.__doc__ is not None
    noted = re.findall(r"^    ([A-Z_]+) +(\d+) +(\w+)", labels.__doc__, re.MULTILINE)
    owners = {
        "client": "client's",
        "each": "each party's own",
        "server": "server's",
        "registration": "derived from the registration seed",
    }
    assert {name: (int(number), owners[owner]) for name, number, owner in noted} == told


def test_the_derivation_of_streams_is_that_of_the_document() -> None:
    key = bytes(range(16))
    for domain in (getattr(labels, name) for name in labels.__all__):
        assert Seed(key).uniform(domain, 9, (3, 5), 40).tolist() == numbers.mask(key, domain, 9, (3, 5), 40).tolist()
    assert Seed(key).derive("matrix", b"plan", b"x" * 32).key == numbers.derive(key, b"matrix", b"plan", b"x" * 32)
    assert not np.array_equal(Seed(key).words(1, 9, 4), numbers.stream(key, 2, 9, 4))


def written(value: Any) -> str:
    """JSON in the form that section 4 prescribes."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if not isinstance(value, float):
        return json.dumps(value, ensure_ascii=False)
    if value == 0 or 1e-5 <= abs(value) < 1e16:
        digits = format(Decimal(repr(value)), "f")
        return digits if "." in digits else f"{digits}.0"
    mantissa, exponent = repr(value).split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


@pytest.mark.parametrize("number", [0.0, 1.0, -2.5, 6e-5, 1e-5, 9.9e-6, 2.0**-17, 1.5e-12, 1e15, 9e15, 1e16, 2.0**60])
def test_floats_are_written_as_the_document_says(number: float) -> None:
    assert (
        written({"b": [number], "a": None})
        == msgspec.json.encode({"b": [number], "a": None}, order="deterministic").decode()
    )


def told_ops() -> dict[str, set[str]]:
    """Every op of section 4 with its attributes."""
    return {
        name: {word for word in words(attrs) if word.isidentifier()}
        for names, attrs, *_ in rows("4. Plans", 1)
        for name in words(names)
    }


def test_plans_have_the_keys_ops_and_attributes_of_the_document(
    residual: Any, broad: Any, gated: Any, tournament: Any
) -> None:
    keys = {words(row[0])[0] for row in rows("4. Plans")}
    told = told_ops()
    seen = set()
    for compiled in (residual.plan, broad.plan, gated.plan, tournament.plan):
        plan = json.loads(compiled.canonical())
        assert plan.keys() == keys
        assert plan["settings"].keys() <= set(words(section("4. Plans")))
        for step in plan["steps"]:
            assert step.keys() == {"op", "inputs", "attrs", "protocol", "node", "weights"}
            assert step["attrs"].keys() == told[step["op"]], step["op"]
            seen.add(step["op"])
        assert written(plan).encode() == compiled.canonical()
    assert told.keys() == seen


def test_every_op_that_a_plan_may_hold_is_told() -> None:
    folder = Path(inspect.getfile(masked)).parents[2] / "ops"
    names = {path.stem for path in folder.glob("[!_]*.py")}
    layers = {name for name in names if hasattr(ops.load(name), "lower")}  # the others are placed as several steps
    kernels = set(masked.PROTOCOL.kernels) | set(fss.PROTOCOL.kernels)
    kernels -= {"product", "offset", "local", "scaled", "times"}  # the words that layers use
    assert told_ops().keys() == layers | kernels
    assert set(bilinear.BILINEAR) <= layers


def test_every_step_is_told() -> None:
    told = {name for row in rows("5.3 Steps") for name in words(row[0])}
    local = set(words(section("5.3 Steps").split('"Local" ops', 1)[1].split("\n", 1)[0]))
    assert told | local >= told_ops().keys()
    assert not told & local
