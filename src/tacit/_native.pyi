from typing import TypeAlias

from numpy import uint8, uint32, uint64
from numpy.typing import NDArray

_Tensor: TypeAlias = NDArray[uint64] | NDArray[uint32]

def tiers() -> list[str]: ...
def version() -> int: ...
def matmul(a: _Tensor, b: NDArray[uint64], *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def linear(
    x: NDArray[uint64], w: _Tensor, init: NDArray[uint64] | None = None, *, threads: int = 1, tier: str = ""
) -> NDArray[uint64]: ...
def conv2d(
    x: NDArray[uint64],
    w: _Tensor,
    init: NDArray[uint64] | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def add(a: NDArray[uint64], b: NDArray[uint64], *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def sub(a: NDArray[uint64], b: NDArray[uint64], *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def scale(a: NDArray[uint64], s: int, *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def pack(values: NDArray[uint64], bits: int, *, threads: int = 1, tier: str = "") -> NDArray[uint8]: ...
def unpack(data: NDArray[uint8], bits: int, count: int, *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def prg(key: bytes, nonce: int, first: int, count: int, *, threads: int = 1, tier: str = "") -> NDArray[uint64]: ...
def powers(
    lam: NDArray[uint64], k: int, p: int, degree: int, key: bytes, nonce: int, *, threads: int = 1, tier: str = ""
) -> NDArray[uint64]: ...
def poly_client(
    opened: NDArray[uint64],
    k: int,
    p: int,
    coeffs: NDArray[uint64],
    trunc: int,
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def poly_server(
    opened: NDArray[uint64],
    k: int,
    p: int,
    coeffs: NDArray[uint64],
    trunc: int,
    powers: NDArray[uint64],
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def dpf_size(m: int, n: int) -> int: ...
def dpf_keygen(
    alpha: NDArray[uint64],
    m: int,
    client_key: bytes,
    client_nonce: int,
    server_key: bytes,
    server_nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint8]: ...
def dpf_less(
    x: NDArray[uint64],
    m: int,
    rank: int,
    key: bytes,
    nonce: int,
    corrections: NDArray[uint8],
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint8]: ...
def relu_deal(
    lam: NDArray[uint64],
    k: int,
    p: int,
    ring: int,
    flip: NDArray[uint8],
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint8]: ...
def relu_client(
    opened: NDArray[uint64],
    k: int,
    p: int,
    dhat: NDArray[uint8],
    key: bytes,
    nonce: int,
    below: int = 0,
    above: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def relu_server(
    opened: NDArray[uint64],
    k: int,
    p: int,
    dhat: NDArray[uint8],
    words: NDArray[uint8],
    ring: int,
    below: int = 0,
    above: int = 1,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def dpf_sides(
    x: NDArray[uint64],
    knots: NDArray[uint64],
    m: int,
    rank: int,
    key: bytes,
    nonce: int,
    corrections: NDArray[uint8],
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint8]: ...
def spline_deal(
    lam: NDArray[uint64],
    k: int,
    p: int,
    degree: int,
    knots: int,
    width: int,
    flips: NDArray[uint8],
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint8]: ...
def spline_client(
    opened: NDArray[uint64],
    k: int,
    p: int,
    coeffs: NDArray[uint64],
    trunc: int,
    width: int,
    dhat: NDArray[uint8],
    key: bytes,
    nonce: int,
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
def spline_server(
    opened: NDArray[uint64],
    k: int,
    p: int,
    coeffs: NDArray[uint64],
    trunc: int,
    width: int,
    dhat: NDArray[uint8],
    words: NDArray[uint8],
    *,
    threads: int = 1,
    tier: str = "",
) -> NDArray[uint64]: ...
