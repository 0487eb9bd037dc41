"""The compiled kernels, typed and described: the only module that imports the extension.

Ring elements are uint64 words and arithmetic is mod 2^64; whoever works mod 2^k masks or packs the result, since 2^k
divides 2^64. Arrays must be C-contiguous. Every kernel releases the interpreter lock and takes

- `threads`: the most threads to use, none of them started for work below a tenth of a millisecond;
- `tier`: "" for the best instruction set of this CPU, or one of `tiers()` to force it.

Every kernel raises TypeError on a wrong dtype, ValueError on a wrong shape, range, tier or thread count, MemoryError
when its result does not fit. These are mistakes of the calling code: check outside input before it gets here.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tacit.errors import TacitError

try:
    from tacit import _native
except ImportError as error:  # pragma: no cover - a broken installation
    raise TacitError(
        f"Tacit's compiled kernels cannot be loaded ({error}): reinstall the package, or build them in a checkout with "
        "tools/dev_build.sh"
    ) from error

__all__ = [
    "Bytes",
    "Words",
    "add",
    "conv2d",
    "linear",
    "matmul",
    "pack",
    "poly_client",
    "poly_server",
    "powers",
    "prg",
    "scale",
    "sub",
    "tiers",
    "unpack",
    "version",
]

Words: TypeAlias = NDArray[np.uint64]
Bytes: TypeAlias = NDArray[np.uint8]


def tiers() -> list[str]:
    """The instruction-set tiers that this CPU supports, best first; "portable" is always the last."""
    return _native.tiers()


def version() -> int:
    """The version of the kernels' arithmetic; two parties must have the same."""
    return _native.version()


def matmul(a: Words, b: Words, *, threads: int = 1, tier: str = "") -> Words:
    """The matrix product a b: (M, K) by (K, N) gives (M, N)."""
    return _native.matmul(a, b, threads=threads, tier=tier)


def linear(x: Words, w: Words, init: Words | None = None, *, threads: int = 1, tier: str = "") -> Words:
    """x w^T + init: x of (B, I), w of (O, I), init of (B, O) or None for zeros; gives (B, O)."""
    return _native.linear(x, w, init, threads=threads, tier=tier)


def conv2d(
    x: Words,
    w: Words,
    init: Words | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The cross-correlation of x with w, plus init, zero-padded as in torch.

    x of (N, C, H, W), w of (O, C / groups, KH, KW), init like the result or None for zeros; gives (N, O, OH, OW).
    `stride`, `padding` (both sides) and `dilation` are (height, width).
    """
    return _native.conv2d(x, w, init, stride, padding, dilation, groups, threads=threads, tier=tier)


def add(a: Words, b: Words, *, threads: int = 1, tier: str = "") -> Words:
    """a + b, elementwise, of equal shapes."""
    return _native.add(a, b, threads=threads, tier=tier)


def sub(a: Words, b: Words, *, threads: int = 1, tier: str = "") -> Words:
    """a - b, elementwise, of equal shapes."""
    return _native.sub(a, b, threads=threads, tier=tier)


def scale(a: Words, s: int, *, threads: int = 1, tier: str = "") -> Words:
    """s a for one integer s of any size and sign."""
    s %= 1 << 64
    return _native.scale(a, s - (s >> 63 << 64), threads=threads, tier=tier)


def pack(values: Words, bits: int, *, threads: int = 1, tier: str = "") -> Bytes:
    """The low `bits` (1 to 64) bits of each of n words as a stream of ceil(n * bits / 8) bytes.

    Value i occupies bits [i * bits, (i + 1) * bits) of the little-endian stream; the last byte is padded with zeros.
    """
    return _native.pack(values, bits, threads=threads, tier=tier)


def unpack(data: Bytes, bits: int, count: int, *, threads: int = 1, tier: str = "") -> Words:
    """The `count` words of `bits` bits that `pack` made into `data`.

    The length must be exact and the padding bits zero, else ValueError.
    """
    return _native.unpack(data, bits, count, threads=threads, tier=tier)


def prg(key: bytes, nonce: int, first: int, count: int, *, threads: int = 1, tier: str = "") -> Words:
    """Words first ... first + count - 1 of the AES-128-CTR stream of a 16-byte key and a 64-bit nonce.

    Block i is AES_key(le64(i) || le64(nonce)); its little-endian halves are words 2i and 2i + 1.
    """
    return _native.prg(key, nonce, first, count, threads=threads, tier=tier)


def powers(
    lam: Words, k: int, p: int, degree: int, key: bytes, nonce: int, *, threads: int = 1, tier: str = ""
) -> Words:
    """The server's shares mod 2^128 of the powers of each mask's two readings; the client's are the stream itself.

    For lam of (n,): tag 0 is (lam mod 2^k) >> p unsigned, tag 1 the signed k-bit lam >> p; the result, of
    (n, 2, degree, 2), holds the (low, high) words of tag_v^j - share, j = 1 ... degree, where the share is block
    number (2 i + v) * degree + j - 1 of the stream of (key, nonce).
    """
    return _native.powers(lam, k, p, degree, key, nonce, threads=threads, tier=tier)


def poly_client(
    opened: Words,
    k: int,
    p: int,
    coeffs: Words,
    trunc: int,
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The client's share of P(y >> p) / 2^trunc at the opened values C = y + lam + 2^(k-2) mod 2^k, |y| < 2^(k-2).

    opened of (n,); coeffs of (d + 1, 2), the coefficients of P from the constant up as 128-bit two's complement (low,
    high) words, 1 <= d <= 6; 3 <= k <= 64; 0 <= p <= k - 2; 0 <= trunc <= 127; key and nonce those of `powers`. Gives
    (n,). The two shares sum to P(x) / 2^trunc within one unit, for an x within one unit of y >> p, except with
    probability |P(x)| / 2^128.
    """
    return _native.poly_client(opened, k, p, coeffs, trunc, key, nonce, threads=threads, tier=tier)


def poly_server(
    opened: Words, k: int, p: int, coeffs: Words, trunc: int, powers: Words, *, threads: int = 1, tier: str = ""
) -> Words:
    """The server's share of what `poly_client` describes, from its `powers` of (n, 2, d, 2). Gives (n,)."""
    return _native.poly_server(opened, k, p, coeffs, trunc, powers, threads=threads, tier=tier)
