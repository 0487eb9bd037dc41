"""Who draws what from which seed: the domain labels of the counter layout (ring.prg: nonce = domain << 32 | site).

    domain  seed          what
    MASK             1    client        r of `mask` and `remask`: the preset of a wire, k bits a word
    OPEN_CLIENT      2    client        λ_c of an opening
    OPEN_SERVER      3    server        λ_s of an opening
    LINEAR           4    server        s, the server's part of a linear layer's output mask
    POWERS           5    client        the client's shares of the lifted powers, 128 bits each
    MATRIX           6    registration  A, the dealer's half of the weights
    SIGN_KEYS        7    each party's  its roots of the point functions of a sign test, 128 bits each
    SIGN_CLIENT      8    client        r_c, its half of the bit that hides a sign
    SIGN_SERVER      9    server        r_s, the server's half
    SIGN_SHARE      10    client        u, its share of the sign's correction
    SELECT          11    client        its shares of a selection's five words, eight words apart
    CARRY_KEYS      12    each party's  its roots of the point functions of a carry, 128 bits each
    CARRY_SHARE     13    client        its share of the carry's correction
    BITS            14    client        its shares of mask bits as numbers
    SPLINE          15    client        its shares of a spline's words, 128 bits each
    CROSS           16    client        its shares of products of two masks

A (seed, domain, site) triple is expanded once per use; sites are step numbers of the plan.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BITS",
    "CARRY_KEYS",
    "CARRY_SHARE",
    "CROSS",
    "LINEAR",
    "MASK",
    "MATRIX",
    "OPEN_CLIENT",
    "OPEN_SERVER",
    "POWERS",
    "SELECT",
    "SIGN_CLIENT",
    "SIGN_KEYS",
    "SIGN_SERVER",
    "SIGN_SHARE",
    "SPLINE",
]

MASK: Final = 1
OPEN_CLIENT: Final = 2
OPEN_SERVER: Final = 3
LINEAR: Final = 4
POWERS: Final = 5
MATRIX: Final = 6
SIGN_KEYS: Final = 7
SIGN_CLIENT: Final = 8
SIGN_SERVER: Final = 9
SIGN_SHARE: Final = 10
SELECT: Final = 11
CARRY_KEYS: Final = 12
CARRY_SHARE: Final = 13
BITS: Final = 14
SPLINE: Final = 15
CROSS: Final = 16
