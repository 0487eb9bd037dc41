"""Progress of a training run on stderr: a bar for the epoch on a terminal, and a line for each finished one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Report", "reporting"]


class Report(Protocol):
    """What a run tells while it goes."""

    def step(self, label: str, done: int, total: int, figures: dict[str, float]) -> None:
        """`done` of `total` steps of the epoch called `label` are done; `figures` are shown beside, as they are now."""

    def line(self, text: str) -> None:
        """Something worth a line that stays."""


class _Silent:
    def step(self, label: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", figures="")

    def step(self, label: str, done: int, total: int, figures: dict[str, float]) -> None:
        said = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self._bars.update(self._task, description=label, completed=done, total=total, figures=said)

    def line(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True)


@contextmanager
def reporting(shown: bool) -> Iterator[Report]:
    """A report on stderr, or one that says nothing."""
    if not shown:
        yield _Silent()
        return
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        yield _Bars(bars)
