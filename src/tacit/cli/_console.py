"""Where commands write: figures to stdout, everything else to stderr; tables or one JSON object."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from tacit.errors import Refused, TacitError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "Show",
    "explain",
    "log_to_stderr",
    "make_table",
    "notices",
    "print_json",
    "printable",
    "progress_bars",
    "results",
    "warn",
]

#: Columns where the output is no terminal, which would tell its own.
_WIDTH = 100


def results() -> Console:
    """Stdout, for figures. Text is printed as it is, without markup."""
    return _console(sys.stdout)


def notices() -> Console:
    """Stderr, for progress, warnings and errors."""
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def print_json(data: dict[str, Any]) -> None:
    """One JSON object and a newline, on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """`text` in one line without control characters: names in a plan come from others, and a terminal obeys some."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def warn(text: str) -> None:
    """A warning on stderr."""
    notices().print(f"warning: {text}", style="yellow", soft_wrap=True)


def explain(error: TacitError | str) -> None:
    """An error on stderr; a refused model with all its problems as a table."""
    console = notices()
    if not isinstance(error, Refused):
        console.print(f"error: {printable(str(error))}", style="red", soft_wrap=True)
        return
    console.print(f"error: {str(error).splitlines()[0]}", style="red", soft_wrap=True)
    table = make_table("", "where", "problem", "instead", right=())
    for refusal in error.refusals:
        table.add_row(*map(printable, (refusal.kind, refusal.where, refusal.what, refusal.advice)))
    console.print(table)


def make_table(*columns: str, right: Sequence[int] | None = None, title: str | None = None) -> Table:
    """A table; the columns at the places `right` (None: all but the first) are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    chosen: Iterable[int] = range(1, len(columns)) if right is None else right
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place in chosen else "left", overflow="fold")
    return table


def log_to_stderr(verbose: bool) -> None:
    """Log warnings to stderr, or what happens too. Logs name parties, counts and times, never values."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    log = logging.getLogger("tacit")
    log.handlers = [handler]
    log.setLevel(logging.INFO if verbose else logging.WARNING)


class Show(Protocol):
    """Says how far something is: `done` of `total`, things or (`unit` "B") bytes; `keys` of them a byte."""

    def __call__(self, label: str, done: int, total: int, /, *, unit: str = "", keys: float = 0.0) -> None: ...


@contextmanager
def progress_bars(*, keep: bool = True) -> Iterator[Show]:
    """Gives `show`, which keeps one bar per label on stderr; silent where that is no terminal. Threads may share it.

    Without `keep` a bar goes when it is full.
    """
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = notices()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    tasks: dict[str, tuple[TaskID, float]] = {}
    lock = threading.Lock()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(label: str, done: int, total: int, /, *, unit: str = "", keys: float = 0.0) -> None:
            with lock:
                if label not in tasks:
                    tasks[label] = (bars.add_task(label, total=total, said=""), time.perf_counter())
                task, started = tasks[label]
                said = f"{done}/{total}" if unit != "B" else _moved(done, total, time.perf_counter() - started, keys)
                bars.update(task, completed=done, total=total, said=said)
                if done >= total and not keep:
                    bars.remove_task(tasks.pop(label)[0])

        yield show


def _moved(done: int, total: int, seconds: float, keys: float) -> str:
    """Bytes done, and their rate so far; with `keys` a byte, that of the keys too."""
    rate = done / max(seconds, 1e-3)
    said = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {rate / 1e6:,.1f} MB/s"
    return said if not keys else f"{said}, {rate * keys / 1e6:.2f} M keys/s"
