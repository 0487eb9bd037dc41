"""Seeds: derivation, streams, and keeping quiet."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import numpy as np
import pytest

from tacit.errors import InvalidInput
from tacit.ring import native
from tacit.ring.prg import Seed, nonce_of

KEY = bytes(range(16))


def test_words_are_the_stream_of_that_nonce() -> None:
    seed = Seed(KEY)
    whole = native.prg(KEY, 7 << 32 | 9, 0, 50)
    assert np.array_equal(seed.words(7, 9, 50), whole)
    assert np.array_equal(seed.words(7, 9, 20, first=13, threads=2), whole[13:33])
    assert seed.words(7, 9, 0, first=1 << 64).shape == (0,)


def test_uniform_is_the_masked_stream() -> None:
    seed = Seed(KEY)
    got = seed.uniform(1, 2, (3, 4), 40)
    assert got.shape == (3, 4)
    assert np.array_equal(got.reshape(-1), seed.words(1, 2, 12) & np.uint64((1 << 40) - 1))
    assert seed.uniform(1, 2, (), 8).shape == ()
    assert seed.uniform(1, 2, (0, 3), 8).shape == (0, 3)


def test_uniform_is_spread_over_the_ring() -> None:
    drawn = Seed(KEY).uniform(0, 0, (1 << 16,), 4)
    counts = np.bincount(drawn.astype(np.int64), minlength=16)
    assert len(counts) == 16
    # 16 cells of 4096: chi-squared with 15 degrees of freedom exceeds 60 with probability 2e-7; the key is fixed
    assert ((counts - 4096) ** 2 / 4096).sum() < 60


def test_derive_is_hmac_over_length_prefixed_fields() -> None:
    def le(n: int) -> bytes:
        return n.to_bytes(8, "little")

    message = le(3) + le(4) + b"mask" + le(2) + b"ab" + le(0)
    assert Seed(KEY).derive("mask", b"ab", b"").key == hmac.new(KEY, message, hashlib.sha256).digest()[:16]


def test_derivations_do_not_meet() -> None:
    seed = Seed(KEY)
    derived = [
        seed.derive("a"),
        seed.derive("b"),
        seed.derive("ab"),
        seed.derive("a", b"b"),
        seed.derive("a", b"", b"b"),
        seed.derive("a", b"b", b""),
        seed.derive("a", b"bc"),
        seed.derive("a", b"b", b"c"),
        seed.derive(""),
        Seed(bytes(16)).derive("a"),
    ]
    assert len({s.key for s in derived}) == len(derived)


def test_fresh_seeds_differ() -> None:
    assert len({Seed.fresh().key for _ in range(100)}) == 100


def test_equality() -> None:
    assert Seed(KEY) == Seed(bytearray(KEY))
    assert Seed(KEY) != Seed(bytes(16))
    assert Seed(KEY) != KEY


def test_a_seed_keeps_quiet() -> None:
    seed = Seed(KEY)
    for text in (repr(seed), str(seed), f"{seed}"):
        assert text == "Seed(hidden)"
    with pytest.raises(TypeError):
        pickle.dumps(seed)
    with pytest.raises(TypeError):
        hash(seed)
    with pytest.raises(AttributeError):
        seed.note = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Seed(b"short"), "a seed has 16 bytes, and this one 5"),
        (lambda: Seed(KEY).words(1 << 32, 0, 1), "domain and site"),
        (lambda: Seed(KEY).words(0, -1, 1), "domain and site"),
        (lambda: Seed(KEY).words(0, 0, -1), "are not all in"),
        (lambda: Seed(KEY).words(0, 0, 2, first=(1 << 64) - 1), "are not all in"),
        (lambda: Seed(KEY).uniform(0, 0, (2,), 65), "use 1 to 64"),
        (lambda: nonce_of(0, 1 << 32), "domain and site"),
    ],
)
def test_refusals(call: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        call()  # type: ignore[operator]
