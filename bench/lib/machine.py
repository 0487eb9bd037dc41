"""The machine that figures were taken on: its processor, cores, kernels and versions, and how busy others keep it."""

from __future__ import annotations

import os
import platform
import ssl
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tacit.ring import native

__all__ = ["busy", "describe", "must_be_same"]


def describe(cores: int) -> dict[str, Any]:
    """Everything that identifies the machine; `cores` is how many of its cores the parties share."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _processor(),
        "cores_present": os.cpu_count(),
        "cores_used": min(cores, len(os.sched_getaffinity(0))),
        "memory_gib": round(pages / 2**30, 1),
        "tiers": native.tiers(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "tacit": version("tacit") if _installed("tacit") else "checkout",
            "kernels": native.version(),
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "torch": version("torch"),
            "openssl": ssl.OPENSSL_VERSION,
        },
        "date": time.strftime("%Y-%m-%d"),
    }


def must_be_same(kept: dict[str, Any], here: dict[str, Any]) -> None:
    """SystemExit if results `kept` from another run are of a machine that figures from `here` must not stand beside."""
    for what in ("cpu", "cores_used", "tiers"):
        if kept[what] != here[what]:
            raise SystemExit(f"the results to resume were measured with another {what}; choose another --out")


def busy(seconds: float = 0.5) -> float:
    """The share of all cores in use over the next `seconds`, 0 to 1; call it while this process does nothing."""
    before = _ticks()
    time.sleep(seconds)
    used, total = (b - a for a, b in zip(before, _ticks(), strict=True))
    return used / max(total, 1)


def disk_rate(folder: Path, size: int = 1 << 30) -> float:
    """Bytes a second that the disk under `folder` reads of a new file of `size` bytes that is not in the page cache."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        block = os.urandom(1 << 24)
        for _ in range(size // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        into, place, started = memoryview(bytearray(len(block))), 0, time.perf_counter()
        while count := os.preadv(file.fileno(), [into], place):
            place += count
        return place / (time.perf_counter() - started)


def _ticks() -> tuple[int, int]:
    fields = [int(f) for f in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    """The model's name and, since cloud machines hide it, family and model numbers."""
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
