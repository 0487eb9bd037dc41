"""The generator of every tier against FIPS 197 and another AES."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.ring import native

TIERS = native.tiers()


def reference(key: bytes, nonce: int, first: int, count: int) -> list[int]:
    blocks = range(first // 2, (first + count + 1) // 2)
    plain = b"".join(i.to_bytes(8, "little") + nonce.to_bytes(8, "little") for i in blocks)
    out = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(plain)
    return np.frombuffer(out, dtype=np.uint64).tolist()[first % 2 :][:count]


@pytest.mark.parametrize("tier", TIERS)
def test_fips_197(tier: str) -> None:
    """The vector of appendix C.1; that of appendix B has a counter beyond the last word and is tested in C++."""
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    counter, nonce = int.from_bytes(plain[:8], "little"), int.from_bytes(plain[8:], "little")
    got = native.prg(bytes(range(16)), nonce, 2 * (counter % (1 << 63)), 2, tier=tier)
    assert got.tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize("tier", TIERS)
@given(
    key=st.binary(min_size=16, max_size=16),
    nonce=st.integers(0, (1 << 64) - 1),
    first=st.integers(0, (1 << 64) - 1),
    count=st.integers(0, 75),
)
@settings(max_examples=100, deadline=None)
def test_any_words_of_any_stream(tier: str, key: bytes, nonce: int, first: int, count: int) -> None:
    count = min(count, (1 << 64) - first)
    assert native.prg(key, nonce, first, count, tier=tier).tolist() == reference(key, nonce, first, count)


@pytest.mark.parametrize("tier", TIERS)
def test_counters_carry_past_32_bits(tier: str) -> None:
    first = (1 << 33) - 7
    assert native.prg(bytes(16), 1, first, 60, tier=tier).tolist() == reference(bytes(16), 1, first, 60)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("first", [0, 1])
def test_threads_change_nothing(tier: str, first: int) -> None:
    count = 400_001 if tier != "portable" else 200_001
    one = native.prg(bytes(16), 9, first, count, tier=tier)
    assert np.array_equal(native.prg(bytes(16), 9, first, count, threads=2, tier=tier), one)
    assert np.array_equal(native.prg(bytes(16), 9, first, count, threads=5, tier=tier), one)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: native.prg(bytes(15), 0, 0, 1), ValueError, "key must be 16 bytes"),
        (lambda: native.prg(bytes(17), 0, 0, 1), ValueError, "key must be 16 bytes"),
        (lambda: native.prg(bytearray(16), 0, 0, 1), TypeError, None),
        (lambda: native.prg(bytes(16), 1 << 64, 0, 1), TypeError, None),
        (lambda: native.prg(bytes(16), -1, 0, 1), TypeError, None),
        (lambda: native.prg(bytes(16), 0, 0, -1), TypeError, None),
        (lambda: native.prg(bytes(16), 0, (1 << 64) - 1, 2), ValueError, "must not exceed 2\\^64"),
        (lambda: native.prg(bytes(16), 0, 0, 1 << 60), MemoryError, None),
        (lambda: native.prg(bytes(16), 0, 0, 1, threads=0), ValueError, "threads"),
        (lambda: native.prg(bytes(16), 0, 0, 1, tier="AVX2"), ValueError, "tier 'AVX2'"),
    ],
)
def test_refusals(call: object, error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        call()  # type: ignore[operator]
