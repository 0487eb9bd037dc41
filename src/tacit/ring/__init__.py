"""Numbers mod 2^k: the native kernels, packing to k bits, signed views, fixed point and the seeded generator."""

__all__: list[str] = []
