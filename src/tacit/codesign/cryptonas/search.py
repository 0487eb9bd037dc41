"""The search: epochs of the shared child's training, each followed by the controller's, and the cell they end at.

Source: ENAS (Pham et al., ICML 2018) with CryptoNAS's settings (Ghodsi et al., NeurIPS 2020).
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tacit.codesign.cryptonas.budget import Budget, ReluBudget
from tacit.codesign.cryptonas.epochs import EpochReport, Run
from tacit.codesign.cryptonas.settings import SearchSettings
from tacit.codesign.cryptonas.space import Cell, Space
from tacit.codesign.data.sets import Data
from tacit.codesign.seeding import derive, generator
from tacit.codesign.training import checkpoint
from tacit.codesign.training.devices import find_device, seeded, using_threads
from tacit.codesign.training.interrupts import asked_to_stop
from tacit.codesign.training.progress import reporting
from tacit.errors import InvalidInput

__all__ = ["Candidate", "Found", "search"]

#: Draws a candidate that is wanted, after which the search makes do with fewer.
_PATIENCE = 20


@dataclass(frozen=True)
class Candidate:
    """A cell with its accuracy (0 to 1) on all held-out examples by the shared weights, and, for a budget of seconds,
    those that its compiled plan takes.
    """

    cell: Cell
    accuracy: float
    seconds: float | None


@dataclass(frozen=True)
class Found:
    """The best candidate's cell, all candidates, best first, and the search's epochs."""

    cell: Cell
    candidates: tuple[Candidate, ...]
    history: tuple[EpochReport, ...]

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all epochs, over interruptions."""
        return sum(report.seconds for report in self.history)


def search(
    space: Space,
    data: Data,
    settings: SearchSettings | None = None,
    *,
    budget: Budget | None = None,
    folder: Path | str | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Found:
    """Search `space`, whose width is that of the shared child (published: 12), for the best cell within `budget`.

    The reward is measured on held-out examples; the test split is not touched. With a `folder` the state is saved there
    after each epoch and on Ctrl-C, and with `resume` a search found there goes on; on the CPU its result is the same to
    the bit as without interruption. Random numbers depend on the seed alone; PyTorch's generators stay as they were.

    Raises:
        InvalidInput: the data do not fit the space or have no held-out examples, the device is absent, or the folder
            holds another search's checkpoint.
        InvalidFile: the checkpoint is damaged.
        TrainingDiverged: a loss or a gradient is not finite.
        KeyboardInterrupt: Ctrl-C, after the step in progress and the checkpoint; at once when pressed again.
    """
    settings, budget = settings or SearchSettings(), budget or ReluBudget(space.relus)
    _check(space, data)
    device = find_device(settings.device)
    where = None if folder is None else Path(folder)
    with ExitStack() as stack:
        stack.enter_context(using_threads(settings.threads))
        stack.enter_context(seeded(device))
        torch.manual_seed(derive(settings.seed, "begin"))
        run = Run(space, data, settings, budget, device, stack.enter_context(reporting(progress)))
        who = _identity(space, data, settings, budget)
        state = checkpoint.load(where, who) if where is not None and resume else None
        if state is not None:
            run.restore(state)
        stop = stack.enter_context(asked_to_stop())
        while len(run.history) < settings.epochs:
            finished = run.epoch(stop)
            if where is not None:
                checkpoint.save(where, run.state(), who)
            if not finished:
                raise KeyboardInterrupt
        return _answer(run, settings, budget)


def _check(space: Space, data: Data) -> None:
    if (space.channels, space.size, space.size) != tuple(data.shape) or space.classes != data.classes:
        raise InvalidInput(
            f"the space is for {space.classes} classes of images {(space.channels, space.size, space.size)}, and "
            f"{data.name} has {data.classes} classes of {tuple(data.shape)}; make it with Space.of(data)"
        )
    if not len(data.held_out):
        raise InvalidInput(f"{data.name} has no held-out examples, which the controller's rewards come from")


def _identity(space: Space, data: Data, settings: SearchSettings, budget: Budget) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued."""
    labels = hashlib.sha256(data.train.labels.numpy().tobytes()).hexdigest()[:16]
    said = {name: repr(value) for name, value in {**settings.identity(), **asdict(space), **budget.identity()}.items()}
    return {**said, "data": f"{data.name} {len(data.train)} {len(data.held_out)} {labels}"}


def _answer(run: Run, settings: SearchSettings, budget: Budget) -> Found:
    """Draw the candidates, score each on all held-out examples, and take the best."""
    draws = generator(settings.seed, "candidates")
    cells: dict[Cell, None] = {}
    for attempt in range(_PATIENCE * settings.candidates):
        cell = run.draw(draws if attempt else None)  # the first one is the most probable
        if cell not in cells and budget.holds(cell):
            cells[cell] = None
        if len(cells) == settings.candidates:
            break
    if not cells:
        raise InvalidInput("the search drew no cell within its budget; search for more epochs or widen the budget")
    scored = [Candidate(cell, run.score(cell), budget.seconds(cell)) for cell in cells]
    scored.sort(key=lambda candidate: -candidate.accuracy)
    return Found(scored[0].cell, tuple(scored), tuple(run.history))
