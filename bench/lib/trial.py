"""One trial: a dealer, a server and a client as three processes with three homes over mutual TLS, on one link."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tacit.net import keys

__all__ = ["Trial", "TrialFailed"]

Job = dict[str, Any]
_PARTY = Path(__file__).with_name("party.py")
_LEAVE_S = 30.0


class TrialFailed(RuntimeError):
    """A party stopped with an error; the message is the last line it wrote."""


@dataclass(frozen=True)
class Trial:
    """Three homes under `folder` for the owner's plan file `plan`, whose parties share `cores` cores.

    Every party gets `threads` threads. Homes are made and enrolled with each other when they do not exist yet.
    """

    folder: Path
    plan: Path
    threads: int = 2
    cores: int = 2

    def __post_init__(self) -> None:
        names = ("client", "server", "dealer")
        for name in names:
            if not (self.folder / name).exists():
                keys.make_identity(self.folder / name, name)
        for home in names:
            enrolled = {peer.name for peer in keys.peers(self.folder / home)}
            for peer in sorted(set(names) - enrolled - {home}):
                keys.enrol(self.folder / home, self.folder / peer / "certificate.pem", peer)

    def run(
        self,
        link: str,
        *,
        bundles: int = 0,
        runs: int = 0,
        warm: int = 0,
        images: Path | None = None,
        cold: bool = False,
    ) -> Job:
        """Make `bundles` ready, then predict `warm + runs` times, all over `link`; the client's figures.

        `cold` runs read their material from the disk while they go; others find it in memory.

        "offline" and "online" are what `party.py` measures, "online" with the "outputs" of the runs that count as an
        array; "fetches" are the server's visits to the dealer, "peak_bytes" what each party had resident at most.
        Raises TrialFailed, TimeoutError.
        """
        fetches: list[Job] = []
        peaks: Job = {}
        outputs = self.folder / "outputs.npy"
        folders = [str(self.folder / name / "store" / "segments") for name in ("client", "server")] if cold else []
        common = {"threads": self.threads, "cores": self.cores, "link": link, "cold": folders}
        with self._listener({"role": "dealer", **common}, fetches, peaks) as dealer:
            server = {"role": "server", "dealer": dealer, "plan": str(self.plan), **common}
            with self._listener(server, fetches, peaks) as address:
                client = {"role": "client", "address": address, "dealer": dealer, "images": str(images), **common}
                work = {"bundles": bundles, "runs": runs, "warm": warm, "outputs": str(outputs)}
                measured = self._query({**client, **work})
        if runs:
            measured["online"]["outputs"] = np.load(outputs)
        peaks["client"] = measured.pop("peak_bytes")
        return {**measured, "fetches": fetches, "peak_bytes": peaks}

    def _start(self, job: Job) -> subprocess.Popen[str]:
        home = str(self.folder / job["role"])
        command = [sys.executable, str(_PARTY), json.dumps({**job, "home": home})]
        pipe = subprocess.PIPE
        with self._log(job).open("w") as log:
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)

    def _log(self, job: Job) -> Path:
        return self.folder / f"{job['role']}.log"

    def _failed(self, job: Job) -> TrialFailed:
        lines = self._log(job).read_text("utf-8").strip().splitlines()
        return TrialFailed(f"the {job['role']} stopped: {lines[-1] if lines else 'it said nothing'}")

    @contextmanager
    def _listener(self, job: Job, fetches: list[Job], peaks: Job) -> Iterator[str]:
        """A dealer or server as long as the `with` lasts; gives its address."""
        process = self._start(job)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            if not first:
                raise self._failed(job)
            reader = threading.Thread(target=_gather, args=(process.stdout, job["role"], fetches, peaks), daemon=True)
            reader.start()
            yield json.loads(first)["address"]
            process.stdin.close()
            process.wait(_LEAVE_S)
            reader.join(_LEAVE_S)
        finally:
            _end(process)

    def _query(self, job: Job) -> Job:
        process = self._start(job)
        assert process.stdout is not None
        try:
            last = process.stdout.read()
            if process.wait() != 0:
                raise self._failed(job)
            measured: Job = json.loads(last)
            return measured
        finally:
            _end(process)


def _gather(lines: Iterable[str], role: str, fetches: list[Job], peaks: Job) -> None:
    for line in map(json.loads, lines):
        if "fetch" in line:
            fetches.append(line["fetch"])
        else:
            peaks[role] = line["peak_bytes"]


def _end(process: subprocess.Popen[str]) -> None:
    """Make sure that the process is gone and its pipes are closed."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.terminate()
        process.wait(_LEAVE_S)
