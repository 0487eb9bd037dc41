"""Speed of the native kernels, beside torch's int64 where torch is installed: `python bench/kernels.py [--json]`."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tacit.ring import native

__all__ = ["Row", "main", "measure"]

KEY = bytes(16)


@dataclass(frozen=True)
class Row:
    """One kernel at one size: work per call in `unit`, and seconds of the fastest and the median call."""

    kernel: str
    size: str
    unit: str
    work: float
    fastest: float
    median: float
    peer: float | None

    @property
    def rate(self) -> float:
        """Units per second of the fastest call."""
        return self.work / self.fastest

    @property
    def speedup(self) -> float | None:
        """How many times as fast as torch's int64, if that was measured."""
        return None if self.peer is None else self.peer / self.fastest


@dataclass(frozen=True)
class Case:
    """What to measure: `run` is ours, `peer` the same in torch or None."""

    kernel: str
    size: str
    unit: str
    work: float
    run: Callable[[], object]
    peer: Callable[[], object] | None = None


def measure(run: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls after one that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def words(*shape: int) -> np.ndarray:
    """Random words of a shape."""
    return np.random.default_rng(shape).integers(0, 1 << 64, size=shape, dtype=np.uint64)


def products(options: dict[str, Any], torch: ModuleType | None) -> Iterator[Case]:
    """Matrix products and dense layers; "32" says that the weights are words of 32 bits."""
    for n in (256, 512, 1024):
        a, b = words(n, n), words(n, n)
        peer = None if torch is None else _bound(torch.matmul, _tensor(torch, a), _tensor(torch, b))
        yield Case("matmul", f"{n} x {n} x {n}", "MAC", n**3, _bound(native.matmul, a, b, **options), peer)
    for n in (512, 1024):
        a, b = words(n, n).astype(np.uint32), words(n, n)
        yield Case("matmul 32", f"{n} x {n} x {n}", "MAC", n**3, _bound(native.matmul, a, b, **options))
    for batch in (1, 8, 64):
        x, w = words(batch, 4096), words(4096, 4096)
        peer = None if torch is None else _bound(torch.nn.functional.linear, _tensor(torch, x), _tensor(torch, w))
        run = _bound(native.linear, x, w, **options)
        unit, work = ("B of weights", w.nbytes) if batch == 1 else ("MAC", batch * w.size)
        yield Case("linear", f"{batch} x 4096 x 4096", unit, work, run, peer)
        half = w.astype(np.uint32)
        work = half.nbytes if batch == 1 else work
        yield Case("linear 32", f"{batch} x 4096 x 4096", unit, work, _bound(native.linear, x, half, **options))


def convolutions(options: dict[str, Any], torch: ModuleType | None) -> Iterator[Case]:
    """The layers of residual networks, at batch 1 and 8; those of ResNet-18 on images of 224 are the last four."""
    shapes = [(1, 64, 32, 3, 1), (1, 128, 16, 3, 1), (1, 256, 8, 3, 1), (1, 512, 4, 3, 1), (8, 64, 32, 3, 1)]
    shapes += [(8, 512, 4, 3, 1), (1, 256, 14, 1, 1), (1, 64, 56, 3, 64), (8, 512, 1, 1, 1)]
    shapes += [(1, 64, 56, 3, 1), (1, 128, 28, 3, 1), (1, 256, 14, 3, 1), (1, 512, 7, 3, 1)]
    for batch, channels, size, kernel, groups in shapes:
        x, w = words(batch, channels, size, size), words(channels, channels // groups, kernel, kernel)
        pad = (kernel // 2, kernel // 2)
        run = _bound(native.conv2d, x, w, None, (1, 1), pad, (1, 1), groups, **options)
        peer = None
        if torch is not None:
            tensors = _tensor(torch, x), _tensor(torch, w)
            peer = _bound(torch.nn.functional.conv2d, *tensors, padding=pad, groups=groups)
        name = f"{batch} x {channels} x {size}^2, {kernel} x {kernel}" + (f", {groups} groups" if groups > 1 else "")
        yield Case("conv2d", name, "MAC", batch * w.size * size * size, run, peer)
        run = _bound(native.conv2d, x, w.astype(np.uint32), None, (1, 1), pad, (1, 1), groups, **options)
        yield Case("conv2d 32", name, "MAC", batch * w.size * size * size, run)


def streams(options: dict[str, Any], torch: ModuleType | None) -> Iterator[Case]:
    """The generator, packing and elementwise sums."""
    for n in (1 << 16, 1 << 23):
        run = _bound(native.prg, KEY, 1, 0, n, **options)
        yield Case("prg", f"{n} words", "block", n / 2, run)
    a, b = words(1 << 20), words(1 << 20)
    for bits in (24, 32, 34, 37, 40, 44, 58, 64):
        data = native.pack(a, bits)
        yield Case("pack", f"{bits} bits", "element", a.size, _bound(native.pack, a, bits, **options))
        yield Case("unpack", f"{bits} bits", "element", a.size, _bound(native.unpack, data, bits, a.size, **options))
    peer = None if torch is None else _bound(torch.add, _tensor(torch, a), _tensor(torch, b))
    yield Case("add", "2^20", "element", a.size, _bound(native.add, a, b, **options), peer)
    peer = None if torch is None else _bound(torch.mul, _tensor(torch, a), 3)
    yield Case("scale", "2^20", "element", a.size, _bound(native.scale, a, 3, **options), peer)


def polynomials(options: dict[str, Any], torch: ModuleType | None) -> Iterator[Case]:
    """Lifted powers and both parties' polynomials, 40 bits."""
    lam = words(1 << 16)
    for degree in (2, 4, 6):
        coeffs, size = words(degree + 1, 2), f"degree {degree}"
        shares = native.powers(lam, 40, 12, degree, KEY, 1)
        run = _bound(native.powers, lam, 40, 12, degree, KEY, 1, **options)
        yield Case("powers", size, "element", lam.size, run)
        run = _bound(native.poly_client, lam, 40, 12, coeffs, 30, KEY, 1, **options)
        yield Case("poly_client", size, "element", lam.size, run)
        run = _bound(native.poly_server, lam, 40, 12, coeffs, 30, shares, **options)
        yield Case("poly_server", size, "element", lam.size, run)


def comparisons(options: dict[str, Any], torch: ModuleType | None) -> Iterator[Case]:
    """Comparison keys, made and evaluated, in the caches and in memory; and the ReLU that uses the bit."""
    for m, n in ((31, 1 << 10), (31, 1 << 19), (39, 1 << 18), (63, 1 << 18)):
        alpha, x = words(n), words(n, 1).reshape(-1)
        streams = KEY, 1, KEY, 2
        corrections = native.dpf_keygen(alpha, m, *streams)
        size = f"{m} bits, {n} keys"
        yield Case("dpf_keygen", size, "key", n, _bound(native.dpf_keygen, alpha, m, *streams, **options))
        yield Case("dpf_less", size, "key", n, _bound(native.dpf_less, x, m, 0, KEY, 1, corrections, **options))
    lam = words(1 << 16)
    bits = native.pack(lam, 1)
    dealt = native.relu_deal(lam, 40, 12, 64, bits, KEY, 1)
    run = _bound(native.relu_deal, lam, 40, 12, 64, bits, KEY, 1, **options)
    yield Case("relu_deal", "40 bits", "element", lam.size, run)
    run = _bound(native.relu_client, lam, 40, 12, bits, KEY, 1, **options)
    yield Case("relu_client", "40 bits", "element", lam.size, run)
    run = _bound(native.relu_server, lam, 40, 12, bits, dealt, 64, **options)
    yield Case("relu_server", "40 bits", "element", lam.size, run)


def machine(tier: str, threads: int, torch: ModuleType | None) -> dict[str, str]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    peer = "not installed" if torch is None else str(torch.__version__)
    return {"cpu": cpu, "tier": tier, "threads": str(threads), "numpy": np.__version__, "torch": peer}


def main(argv: list[str] | None = None) -> int:
    """Measures and prints everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--tier", default=native.tiers()[0], choices=native.tiers())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="only kernels whose name contains this")
    args = parser.parse_args(argv)
    torch = _torch(args.threads)
    options = {"tier": args.tier, "threads": args.threads}
    rows = []
    for area in (products, convolutions, streams, polynomials, comparisons):
        for case in area(options, torch):
            if args.only not in case.kernel:
                continue
            ours = measure(case.run, args.repeats)
            peer = None if case.peer is None else min(measure(case.peer, min(args.repeats, 3)))
            rows.append(Row(case.kernel, case.size, case.unit, case.work, min(ours), statistics.median(ours), peer))
    about = machine(args.tier, args.threads, torch)
    if args.json:
        figures = [{**asdict(row), "rate": row.rate, "speedup": row.speedup} for row in rows]
        json.dump({"machine": about, "rows": figures}, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console().print(_table(rows, about))
    return 0


def _table(rows: list[Row], about: dict[str, str]) -> Table:
    table = Table(title="Native kernels", caption=", ".join(f"{k} {v}" for k, v in about.items()))
    for name in ("kernel", "size"):
        table.add_column(name)
    for name in ("ms (min)", "ms (median)", "rate", "ns per unit", "torch int64, ms", "times torch"):
        table.add_column(name, justify="right")
    for row in rows:
        peer = ("", "") if row.peer is None or row.speedup is None else (f"{row.peer * 1e3:.3f}", f"{row.speedup:.2f}")
        times = f"{row.fastest * 1e3:.3f}", f"{row.median * 1e3:.3f}"
        nanoseconds = f"{1e9 / row.rate:.3f}"
        table.add_row(row.kernel, row.size, *times, f"{row.rate / 1e9:.2f} G{row.unit}/s", nanoseconds, *peer)
    return table


def _torch(threads: int) -> ModuleType | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    return torch


def _tensor(torch: ModuleType, array: np.ndarray) -> Any:
    return torch.from_numpy(array.view(np.int64))


def _bound(function: Callable[..., object], *args: object, **options: object) -> Callable[[], object]:
    return lambda: function(*args, **options)


if __name__ == "__main__":
    sys.exit(main())
