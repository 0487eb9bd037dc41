"""The compiled kernels, typed and described: the only module that imports the extension.

Ring elements are uint64 words and arithmetic is mod 2^64; whoever works mod 2^k masks or packs the result, since 2^k
divides 2^64. Products take the server's tensor as uint32 too: then they are mod 2^32 and about twice as fast, the high
halves of the other operands mean nothing and those of the result are zero. Arrays must be C-contiguous. Every kernel
releases the interpreter lock and takes

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
    "Tensor",
    "Words",
    "add",
    "conv2d",
    "dpf_key_bytes",
    "dpf_keygen",
    "dpf_less",
    "dpf_sides",
    "dpf_size",
    "linear",
    "matmul",
    "pack",
    "poly_client",
    "poly_server",
    "powers",
    "prg",
    "relu_client",
    "relu_deal",
    "relu_server",
    "scale",
    "spline_client",
    "spline_deal",
    "spline_server",
    "sub",
    "tiers",
    "unpack",
    "version",
]

Words: TypeAlias = NDArray[np.uint64]
Bytes: TypeAlias = NDArray[np.uint8]
#: The server's operand of a product, whose type says whether it is mod 2^64 or mod 2^32.
Tensor: TypeAlias = NDArray[np.uint64] | NDArray[np.uint32]


def tiers() -> list[str]:
    """The instruction-set tiers that this CPU supports, best first; "portable" is always the last."""
    return _native.tiers()


def version() -> int:
    """The version of the kernels' arithmetic; two parties must have the same."""
    return _native.version()


def matmul(a: Tensor, b: Words, *, threads: int = 1, tier: str = "") -> Words:
    """The matrix product a b: (M, K) by (K, N) gives (M, N); mod 2^32 if a is of uint32."""
    return _native.matmul(a, b, threads=threads, tier=tier)


def linear(x: Words, w: Tensor, init: Words | None = None, *, threads: int = 1, tier: str = "") -> Words:
    """x w^T + init: x of (B, I), w of (O, I), init of (B, O) or None for zeros; gives (B, O).

    Mod 2^32 if w is of uint32.
    """
    return _native.linear(x, w, init, threads=threads, tier=tier)


def conv2d(
    x: Words,
    w: Tensor,
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
    `stride`, `padding` (both sides) and `dilation` are (height, width). Mod 2^32 if w is of uint32.
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


def dpf_key_bytes(m: int) -> int:
    """Bytes of the corrections of one comparison key of m bits, 1 <= m <= 63; n keys may share their last bytes."""
    return _native.dpf_size(m, 1)


def dpf_size(m: int, n: int) -> int:
    """Bytes of the corrections of n comparison keys of m bits, 1 <= m <= 63.

    With d = max(m - 7, 0) levels: seeds of (d, n, 16), leaves of (n, 16), then bits of (d, n, 2), left and right, as a
    little-endian stream.
    """
    return _native.dpf_size(m, n)


def dpf_keygen(
    alpha: Words,
    m: int,
    client_key: bytes,
    client_nonce: int,
    server_key: bytes,
    server_nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> Bytes:
    """The corrections, of (dpf_size(m, n),), that make two parties' streams keys to [x < alpha] for alpha of (n,).

    Both parties get the same. Only the low m bits of alpha count. The root of a party's key e is block e of the stream
    of its 16-byte key and nonce; the streams must differ and serve nothing else. Boyle, Gilboa and Ishai (CCS 2016), an
    early-terminated tree with 127-bit seeds; no branch and no address depends on a secret.
    """
    return _native.dpf_keygen(alpha, m, client_key, client_nonce, server_key, server_nonce, threads=threads, tier=tier)


def dpf_less(
    x: Words, m: int, rank: int, key: bytes, nonce: int, corrections: Bytes, *, threads: int = 1, tier: str = ""
) -> Bytes:
    """The XOR shares of [x < alpha] of the party `rank` (0 client, 1 server), for public x of (n,).

    `corrections` is what `dpf_keygen` made for this party's key and nonce; only the low m bits of x count. Gives
    ceil(n / 8) bytes, bit e of the little-endian stream for key e, zeros after the last. A key is good for one x.
    """
    return _native.dpf_less(x, m, rank, key, nonce, corrections, threads=threads, tier=tier)


def relu_deal(
    lam: Words, k: int, p: int, ring: int, flip: Bytes, key: bytes, nonce: int, *, threads: int = 1, tier: str = ""
) -> Bytes:
    """The server's shares mod 2^ring of what `relu_client` and `relu_server` need; the client's are the stream itself.

    For masks lam of (n,) and secret bits r, packed into the ceil(n / 8) bytes of `flip`: the values r, tag_0, tag_0 r,
    tag_1 and tag_1 r with the tags of `powers`, as integers, less the client's share: word 8 e + j of the stream of
    (key, nonce) for value j of element e. 3 <= k <= 64, 0 <= p <= k - 2, 1 <= ring <= 64. Gives (n, 5),
    packed to `ring` bits.
    """
    return _native.relu_deal(lam, k, p, ring, flip, key, nonce, threads=threads, tier=tier)


def relu_client(
    opened: Words,
    k: int,
    p: int,
    dhat: Bytes,
    key: bytes,
    nonce: int,
    below: int = 0,
    above: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The client's share of ReLU(y) >> p at the opened values C = y + lam + 2^(k-2) mod 2^k, |y| < 2^(k-2).

    opened of (n,); `dhat` holds, as packed bits, the opened [y >= 0] ^ r for the r of `relu_deal`; key and nonce are
    its too. Gives (n,). The two shares sum, mod 2^ring, to y >> p or one more, times `above` where y >= 0 and `below`
    elsewhere (signed 64-bit integers).
    """
    return _native.relu_client(opened, k, p, dhat, key, nonce, below, above, threads=threads, tier=tier)


def relu_server(
    opened: Words,
    k: int,
    p: int,
    dhat: Bytes,
    words: Bytes,
    ring: int,
    below: int = 0,
    above: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The server's share of what `relu_client` describes, from its `relu_deal` of (n, 5). Gives (n,)."""
    return _native.relu_server(opened, k, p, dhat, words, ring, below, above, threads=threads, tier=tier)


def dpf_sides(
    x: Words,
    knots: Words,
    m: int,
    rank: int,
    key: bytes,
    nonce: int,
    corrections: Bytes,
    *,
    threads: int = 1,
    tier: str = "",
) -> Bytes:
    """`dpf_less` at x - t for every t of `knots`, of (q,), with one key an element; gives q rows of ceil(n / 8) bytes.

    The server's shares also hold bit m of x - t, so that the sum is that bit ^ [(x - t) mod 2^m < alpha mod 2^m].
    """
    return _native.dpf_sides(x, knots, m, rank, key, nonce, corrections, threads=threads, tier=tier)


def spline_deal(
    lam: Words,
    k: int,
    p: int,
    degree: int,
    knots: int,
    width: int,
    flips: Bytes,
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> Bytes:
    """The server's shares of what `spline_client` and `spline_server` need; the client's are the stream itself.

    For masks lam of (n,) and secret bits r, `knots` rows of packed bits (ceil(n / 8) bytes) in `flips`: the words
    tag_0^e, tag_1^e (e = 1 ... degree, the tags of `powers`), then for each knot r, r tag_0^e, r tag_1^e, less the
    client's share, block (words of an element) e + j of the stream of (key, nonce) for word j of element e. Each takes
    `width` bytes (1 to 16). 1 <= degree <= 3, knots <= 64.
    """
    return _native.spline_deal(lam, k, p, degree, knots, width, flips, key, nonce, threads=threads, tier=tier)


def spline_client(
    opened: Words,
    k: int,
    p: int,
    coeffs: Words,
    trunc: int,
    width: int,
    dhat: Bytes,
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The client's share of P(u) >> trunc at the opened values C of (n,), where u is y >> p or one more.

    P = P_0 + sum of d_i Q_i: coeffs of (knots + 1, degree + 1) holds the coefficients of P_0 and the Q_i from the
    constant up, as two's complement within 63 bits, `dhat` the bits d_i ^ r_i as `flips` of `spline_deal` holds r_i,
    whose key and nonce these are too. Gives (n,). The shares sum to P(u) / 2^trunc within one unit, except with
    probability |P(u)| / 2^(8 width).
    """
    return _native.spline_client(opened, k, p, coeffs, trunc, width, dhat, key, nonce, threads=threads, tier=tier)


def spline_server(
    opened: Words,
    k: int,
    p: int,
    coeffs: Words,
    trunc: int,
    width: int,
    dhat: Bytes,
    words: Bytes,
    *,
    threads: int = 1,
    tier: str = "",
) -> Words:
    """The server's share of what `spline_client` describes, from what `spline_deal` gave. Gives (n,)."""
    return _native.spline_server(opened, k, p, coeffs, trunc, width, dhat, words, threads=threads, tier=tier)
