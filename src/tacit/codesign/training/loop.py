"""The training loop: epochs, selection on held-out examples, checkpoints from which a run resumes exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tacit.codesign.data.batches import batches
from tacit.codesign.data.sets import Data
from tacit.codesign.seeding import derive, generator
from tacit.codesign.training import checkpoint
from tacit.codesign.training.devices import evaluating, find_device, seeded, using_threads
from tacit.codesign.training.evaluate import Scores, evaluate, logits_of
from tacit.codesign.training.interrupts import asked_to_stop
from tacit.codesign.training.objective import CrossEntropy, Objective
from tacit.codesign.training.progress import Report, reporting
from tacit.codesign.training.recipe import Recipe
from tacit.codesign.training.steps import Stepper
from tacit.errors import InvalidFile, InvalidInput

__all__ = ["Epoch", "Outcome", "check_fit", "train"]


@dataclass(frozen=True)
class Epoch:
    """One epoch: its number from 0, mean loss, the last values of the loss's parts, held-out scores, seconds."""

    number: int
    loss: float
    parts: dict[str, float]
    held_out: Scores | None
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The trained model (the one given, with the selected epoch's weights, on the run's device) and how it came about.

    `best_epoch` counts from 0; `held_out` are its scores there (None without held-out examples), `test` on the test
    split, which nothing was chosen by; `seconds` are those of training, over interruptions.
    """

    model: nn.Module
    best_epoch: int
    held_out: Scores | None
    test: Scores
    history: tuple[Epoch, ...]
    seconds: float
    epochs: int


@dataclass
class _Best:
    """The best epoch so far, its rank and its weights on the CPU."""

    epoch: int = -1
    rank: tuple[float, ...] = ()
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class _Run:
    """A run between two steps: `step` of epoch len(history) are done, and their losses sum up to `total`."""

    stepper: Stepper
    select: str
    report: Report
    history: list[Epoch] = field(default_factory=list)
    best: _Best = field(default_factory=_Best)
    step: int = 0
    total: float = 0.0
    seconds: float = 0.0
    test: Scores | None = None
    since: float = field(default_factory=time.perf_counter)

    def spent(self) -> float:
        """Seconds of training so far, those before interruptions included."""
        return self.seconds + time.perf_counter() - self.since

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "best": {"epoch": self.best.epoch, "rank": list(self.best.rank), "weights": self.best.weights},
            "step": self.step,
            "total": self.total,
            "seconds": self.spent(),
            "test": None if self.test is None else asdict(self.test),
            **self.stepper.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave, after every epoch that had begun has begun again."""
        self.history = [_epoch(entry) for entry in state["history"]]
        for number in range(len(self.history) + (state["step"] > 0)):
            _start_epoch(self.stepper, number)
        self.best = _Best(**state["best"] | {"rank": tuple(state["best"]["rank"])})
        self.step, self.total, self.seconds = state["step"], state["total"], state["seconds"]
        self.test = None if state["test"] is None else Scores(**state["test"])
        self.stepper.restore(state)


def train(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    objective: Objective | None = None,
    folder: Path | str | None = None,
    resume: bool = True,
    progress: bool = True,
    select: Literal["held_out", "last"] = "held_out",
) -> Outcome:
    """Train `model` in place on `data`, by default for plain cross-entropy, and select the best epoch.

    An epoch walks the training examples in a new order; if there are several batches, a last one that is not full is
    left out. After each epoch the held-out examples decide (`Objective.rank`) which weights are kept; with
    `select="last"` the last epoch's are. With a `folder`, the state is saved there after each epoch and on Ctrl-C, and
    with `resume` a run found there is continued; on the CPU its result is the same to the bit as without interruption.
    The random numbers of a run depend on the recipe's seed only, and PyTorch's own generators are left as they were.

    Raises:
        InvalidInput: no held-out examples to select by, a model that does not fit the data, an absent device,
            or another run's checkpoint in the folder.
        InvalidFile: the checkpoint is damaged.
        TrainingDiverged: a loss or a gradient is not finite.
        KeyboardInterrupt: Ctrl-C, after the step in progress and the checkpoint; at once when pressed again.
    """
    if select not in ("held_out", "last"):
        raise InvalidInput(f"select is 'held_out' or 'last', and not {select!r}")
    if select == "held_out" and not len(data.held_out):
        raise InvalidInput(f"{data.name} has no held-out examples to select by; hold some out, or select='last'")
    objective = objective or CrossEntropy()
    device = find_device(recipe.device)
    model.to(device)
    check_fit(model, data, device)
    with ExitStack() as stack:
        stack.enter_context(using_threads(recipe.threads))
        stack.enter_context(seeded(device))
        torch.manual_seed(derive(recipe.seed, "begin"))
        stack.callback(objective.end, model)
        objective.begin(model, data, recipe)
        who = checkpoint.identity(model, data, recipe, objective, select)
        run = _Run(Stepper(model, data, recipe, objective, device), select, stack.enter_context(reporting(progress)))
        found = checkpoint.load(Path(folder), who) if folder is not None and resume else None
        if found is not None:
            _restored(run, found, Path(str(folder)) / checkpoint.FILE)
        stop = stack.enter_context(asked_to_stop())

        def save() -> None:
            if folder is not None:
                checkpoint.save(Path(folder), run.state(), who)

        while len(run.history) < recipe.epochs:
            _run_epoch(run, stop, save)
        outcome = _finish(run, save)
        if stop():
            raise KeyboardInterrupt
        return outcome


def check_fit(model: nn.Module, data: Data, device: torch.device) -> None:
    """The model takes the data set's images and gives (N, classes), tried in evaluation mode on two of them.

    Raises:
        InvalidInput: it does not; says why.
    """
    x, _ = data.train.batch([0, len(data.train) - 1])
    with evaluating(model):
        logits_of(model, x.to(device), data)


def _restored(run: _Run, state: dict[str, Any], file: Path) -> None:
    """The run as it was. Raises InvalidFile if the state is not one of a run."""
    try:
        run.restore(state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InvalidFile(f"{file} does not hold the whole state of a run; delete it to start afresh") from error


def _start_epoch(stepper: Stepper, number: int) -> None:
    stepper.model.train()
    torch.manual_seed(derive(stepper.recipe.seed, "epoch", number))
    stepper.objective.epoch(stepper.model, number)


def _run_epoch(run: _Run, stop: Callable[[], bool], save: Callable[[], None]) -> None:
    """Train for what is left of an epoch, score it, keep it if it is the best, and save."""
    stepper, number = run.stepper, len(run.history)
    recipe, began = stepper.recipe, time.perf_counter()
    if run.step == 0:
        _start_epoch(stepper, number)
    order = torch.randperm(len(stepper.data.train), generator=generator(recipe.seed, "order", number))
    parts = order.split(recipe.batch)
    if len(parts) > 1 and len(parts[-1]) < recipe.batch:
        parts = parts[:-1]
    label = f"epoch {number + 1}/{recipe.epochs}"
    with closing(batches(stepper.data.train, parts[run.step :])) as ready:
        for x, y in ready:
            loss = stepper.step(x, y, number, run.step, len(parts))
            run.step, run.total = run.step + 1, run.total + loss
            run.report.step(label, run.step, len(parts), {"loss": loss})
            if run.step < len(parts) and stop():  # else after the scores, a moment later
                save()
                raise KeyboardInterrupt
    held_out = _score(run, number)
    seconds = time.perf_counter() - began
    run.history.append(Epoch(number, run.total / len(parts), stepper.objective.parts(), held_out, seconds))
    run.step, run.total = 0, 0.0
    run.report.line(_line(label, run.history[-1]))
    save()
    if stop():
        raise KeyboardInterrupt


def _score(run: _Run, number: int) -> Scores | None:
    """The held-out scores after an epoch; its weights are kept if they are to be selected so far."""
    stepper = run.stepper
    data, objective, last = stepper.data, stepper.objective, number == stepper.recipe.epochs - 1
    scores = evaluate(stepper.model, data.held_out, data) if len(data.held_out) else None
    rank: tuple[float, ...] = ()
    if run.select == "held_out" and scores is not None and objective.ready(number):
        rank = objective.rank(stepper.model, scores)
    if (rank and rank > run.best.rank) or (last and not run.best.weights):
        kept = {name: tensor.detach().cpu().clone() for name, tensor in stepper.model.state_dict().items()}
        run.best = _Best(number, rank, kept)
    return scores


def _finish(run: _Run, save: Callable[[], None]) -> Outcome:
    model, data = run.stepper.model, run.stepper.data
    model.load_state_dict(run.best.weights)
    model.eval()
    if run.test is None:
        run.test = evaluate(model, data.test, data) if len(data.test) else Scores(0.0, 0.0, 0, 0)
        save()
    chosen = run.history[run.best.epoch]
    run.report.line(f"epoch {chosen.number + 1} is selected: {100 * run.test.top1:.2f} % on the test split")
    return Outcome(model, chosen.number, chosen.held_out, run.test, tuple(run.history), run.spent(), len(run.history))


def _epoch(entry: dict[str, Any]) -> Epoch:
    held_out = entry["held_out"]
    return Epoch(**entry | {"held_out": None if held_out is None else Scores(**held_out)})


def _line(label: str, epoch: Epoch) -> str:
    held_out = "" if epoch.held_out is None else f"  held-out {100 * epoch.held_out.top1:.2f} %"
    parts = "".join(f"  {name} {value:.4g}" for name, value in epoch.parts.items())
    return f"{label}  loss {epoch.loss:.4f}{parts}{held_out}  {epoch.seconds:.1f} s"
