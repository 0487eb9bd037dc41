"""Running a server or dealer in the foreground: announce, wait for a signal, stop in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tacit.errors import InvalidInput

if TYPE_CHECKING:
    from tacit.service.api import Running

__all__ = ["run_until_signalled"]


def run_until_signalled(
    start: Callable[[], Running], announce: Callable[[Running], None], ready_file: Path | None
) -> None:
    """Start a party, `announce` it, write its address to `ready_file`, and run until SIGINT or SIGTERM.

    Returns after an orderly stop. Raises KeyboardInterrupt when signalled before it listens.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with start() as running:
        try:
            if ready_file is not None:
                _write_whole(ready_file, running.address + "\n")
            announce(running)
            threading.Event().wait()
        except KeyboardInterrupt:
            return


def _write_whole(path: Path, text: str) -> None:
    """Write so that who sees the file sees all of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write the ready file {path}: {error.strerror}") from None
