"""The training loop: against a loop written by hand, resumed runs, selection, and refusals."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tacit.codesign import CrossEntropy, Data, Objective, Outcome, PolyAct, Recipe, evaluate, train
from tacit.codesign.data.sets import Images, assemble
from tacit.codesign.seeding import generator
from tacit.codesign.training.evaluate import Scores
from tacit.errors import InvalidFile, InvalidInput, TrainingDiverged

Make = Callable[[], nn.Module]
RECIPE = Recipe(epochs=3, lr=0.1, batch=40, warmup_epochs=1, device="cpu")


def same(first: Outcome, second: Outcome) -> bool:
    """Equal to the bit: weights and scores of every epoch."""
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    losses = [[(epoch.loss, epoch.held_out) for epoch in outcome.history] for outcome in (first, second)]
    figures = [(outcome.best_epoch, outcome.held_out, outcome.test) for outcome in (first, second)]
    equal = all(torch.equal(ours[name], theirs[name]) for name in ours)
    return equal and losses[0] == losses[1] and figures[0] == figures[1]


def test_it_learns(digits: Data, small_net: Make) -> None:
    model = small_net()
    before = evaluate(model, digits.test, digits)
    outcome = train(model, digits, RECIPE.replace(epochs=6), progress=False)
    assert outcome.model is model
    assert not model.training
    assert outcome.test.top1 > 0.6 > 0.3 > before.top1
    assert outcome.test == evaluate(model, digits.test, digits)
    assert outcome.held_out == evaluate(model, digits.held_out, digits)
    assert outcome.epochs == len(outcome.history) == 6
    assert outcome.held_out.top1 == max(epoch.held_out.top1 for epoch in outcome.history)


def by_hand(model: nn.Module, data: Data, recipe: Recipe) -> None:
    """The same run, as PyTorch's own tutorial would write it; without dropout and augmentation."""
    optimizer = torch.optim.SGD(model.parameters(), 1.0, recipe.momentum, weight_decay=recipe.weight_decay)
    steps = len(data.train) // recipe.batch
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(data.train), generator=generator(recipe.seed, "order", epoch))
        model.train()
        for step in range(steps):
            x, y = data.train.batch(order[step * recipe.batch : (step + 1) * recipe.batch])
            optimizer.param_groups[0]["lr"] = recipe.lr_at(epoch + step / steps)
            optimizer.zero_grad()
            functional.cross_entropy(model(data.normalise(x)), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm or math.inf)
            optimizer.step()
    model.eval()


@pytest.mark.parametrize("clip", [None, 0.5])
def test_against_a_loop_by_hand(digits: Data, small_net: Make, clip: float | None) -> None:
    recipe = RECIPE.replace(augment=False, clip_norm=clip)
    models = [small_net(), small_net()]
    for model in models:
        model[5].p = 0.0
    train(models[0], digits, recipe, progress=False, select="last")
    by_hand(models[1], digits, recipe)
    for ours, theirs in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_runs_repeat_and_leave_the_generators_alone(digits: Data, small_net: Make) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train(small_net(), digits, RECIPE, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(first, train(small_net(), digits, RECIPE, progress=False))
    other = train(small_net(), digits, RECIPE.replace(seed=1), progress=False)
    assert not same(first, other)


class Stops(CrossEntropy):
    """Presses Ctrl-C during the loss of step `at`, counted over the run."""

    def __init__(self, at: int, presses: int = 1) -> None:
        super().__init__()
        self.left, self.presses = at, presses

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.left -= 1
        for _ in range(self.presses if self.left == -1 else 0):
            signal.raise_signal(signal.SIGINT)
        return super().loss(model, x, y)


@pytest.mark.parametrize("at", [0, 2, 4, 7, 11])
def test_ctrl_c_and_resume(digits: Data, small_net: Make, tmp_path: Path, at: int) -> None:
    whole = train(small_net(), digits, RECIPE, objective=Stops(-5), progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(small_net(), digits, RECIPE, objective=Stops(at), folder=tmp_path, progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = train(small_net(), digits, RECIPE, objective=Stops(-5), folder=tmp_path, progress=False)
    assert same(whole, resumed)


def test_pressed_twice_stops_at_once(digits: Data, small_net: Make, tmp_path: Path) -> None:
    whole = train(small_net(), digits, RECIPE, objective=Stops(-5), progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(small_net(), digits, RECIPE, objective=Stops(6, 2), folder=tmp_path, progress=False)
    resumed = train(small_net(), digits, RECIPE, objective=Stops(-5), folder=tmp_path, progress=False)
    assert same(whole, resumed)  # from the end of the epoch before


def test_a_finished_run_is_not_run_again(digits: Data, small_net: Make, tmp_path: Path) -> None:
    first = train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    model = small_net()
    again = train(model, digits, RECIPE, objective=Forbidden(), folder=tmp_path / "b", progress=False, select="last")
    assert again.epochs == 3
    second = train(model, digits, RECIPE, folder=tmp_path, progress=False)
    assert same(first, second)
    assert second.seconds == pytest.approx(first.seconds, abs=5)


class Forbidden(CrossEntropy):
    """Plain cross-entropy that is ready in no epoch."""

    def ready(self, n: int) -> bool:
        return False


@pytest.mark.parametrize(
    ("change", "says"),
    [({"lr": 0.2}, "its lr is 0.1 and this one's 0.2"), ({"epochs": 9}, "its epochs is 3"), ({"seed": 2}, "its seed")],
)
def test_another_runs_checkpoint(
    digits: Data, small_net: Make, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match=says):
        train(small_net(), digits, RECIPE.replace(**change), folder=tmp_path, progress=False)
    fresh = train(small_net(), digits, RECIPE, folder=tmp_path, progress=False, resume=False)
    assert fresh.epochs == 3


def test_checkpoints_of_other_models_objectives_and_data(digits: Data, small_net: Make, tmp_path: Path) -> None:
    train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InvalidInput, match="its model is"):
        train(other, digits, RECIPE, folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match=r"its objective's label_smoothing is '0\.0'"):
        train(small_net(), digits, RECIPE, objective=CrossEntropy(0.1), folder=tmp_path, progress=False)
    fewer = Data("digits", digits.held_out, digits.held_out, digits.test, digits.mean, digits.std, flip=False)
    with pytest.raises(InvalidInput, match="its training examples is 180"):
        train(small_net(), fewer, RECIPE, folder=tmp_path, progress=False)


def test_a_checkpoint_of_other_polynomials_is_not_continued(digits: Data, tmp_path: Path) -> None:
    def made(degree: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), PolyAct(degree=degree), nn.Linear(8, 10))

    train(made(4), digits, RECIPE, folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match="its model is"):
        train(made(2), digits, RECIPE, folder=tmp_path, progress=False)


class Late(CrossEntropy):
    """Presses Ctrl-C when the last epoch is ranked, after its last step."""

    def rank(self, model: nn.Module, scores: Scores) -> tuple[float, ...]:
        self.ranked = getattr(self, "ranked", 0) + 1
        if self.ranked == RECIPE.epochs:
            signal.raise_signal(signal.SIGINT)
        return super().rank(model, scores)


def test_ctrl_c_after_the_last_step_is_not_lost(digits: Data, small_net: Make, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(small_net(), digits, RECIPE, objective=Late(), folder=tmp_path, progress=False)
    assert train(small_net(), digits, RECIPE, objective=Late(), folder=tmp_path, progress=False).epochs == 3


def test_parts_are_known_after_an_interruption_too(digits: Data, small_net: Make, tmp_path: Path) -> None:
    last = len(digits.train) // RECIPE.batch - 1
    with pytest.raises(KeyboardInterrupt):
        train(small_net(), digits, RECIPE, objective=Stops(last), folder=tmp_path, progress=False)
    resumed = train(small_net(), digits, RECIPE, objective=Stops(-5), folder=tmp_path, progress=False)
    assert all("top1" in epoch.parts for epoch in resumed.history)


@pytest.mark.parametrize("state", [{}, [], {"history": [], "best": 3, "step": 0}])
def test_a_checkpoint_that_misses_parts(digits: Data, small_net: Make, tmp_path: Path, state: Any) -> None:
    train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.pt"
    torch.save({**torch.load(path, weights_only=True), "state": state}, path)
    with pytest.raises(InvalidFile, match="delete it to start afresh"):
        train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)


@pytest.mark.parametrize("content", [b"", b"junk", b"not a checkpoint", None])
def test_damaged_checkpoints(digits: Data, small_net: Make, tmp_path: Path, content: bytes | None) -> None:
    train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(InvalidFile, match=r"checkpoint\.pt is no checkpoint of ours, or it is damaged"):
        train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)


def test_a_checkpoint_executes_nothing(digits: Data, small_net: Make, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (sprung,)

    torch.save({"format": 1, "identity": {}, "state": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InvalidFile, match="damaged"):
        train(small_net(), digits, RECIPE, folder=tmp_path, progress=False)
    assert not sprung.exists()


class Explodes(CrossEntropy):
    """Multiplies the loss, or only its gradient, beyond float32 in step 5."""

    def __init__(self, gradient: bool) -> None:
        super().__init__()
        self.gradient, self.count = gradient, 0

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.count += 1
        loss = super().loss(model, x, y)
        if self.count != 6:
            return loss
        weight = model[6].weight.flatten()[0]
        return loss + (weight - weight.detach()).abs().sqrt() if self.gradient else loss * math.inf


@pytest.mark.parametrize("gradient", [False, True])
def test_divergence(digits: Data, small_net: Make, tmp_path: Path, gradient: bool) -> None:
    model = small_net()
    what = "gradient became" if gradient else "loss became inf"
    with pytest.raises(TrainingDiverged, match=rf"the {what}.* in epoch 2, step 2, .*lower lr"):
        train(model, digits, RECIPE, objective=Explodes(gradient), folder=tmp_path, progress=False)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


class Scripted(Objective):
    """Ranks epochs as told, and says what was called."""

    def __init__(self, ranks: list[float], ready_from: int = 0) -> None:
        self.ranks, self.ready_from, self.calls = ranks, ready_from, []

    def begin(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        self.calls.append("begin")

    def epoch(self, model: nn.Module, n: int) -> None:
        self.calls.append(n)

    def ready(self, n: int) -> bool:
        return n >= self.ready_from

    def rank(self, model: nn.Module, scores: Scores) -> tuple[float, ...]:
        return (self.ranks[self.calls[-1]],)

    def end(self, model: nn.Module) -> None:
        self.calls.append("end")


@pytest.mark.parametrize(
    ("ranks", "ready_from", "best"), [([1, 3, 2], 0, 1), ([2, 2, 2], 0, 0), ([9, 1, 2], 1, 2), ([9, 9, 9], 7, 2)]
)
def test_selection(digits: Data, small_net: Make, ranks: list[float], ready_from: int, best: int) -> None:
    objective = Scripted(ranks, ready_from)
    outcome = train(small_net(), digits, RECIPE, objective=objective, progress=False)
    assert objective.calls == ["begin", 0, 1, 2, "end"]
    assert outcome.best_epoch == best
    assert outcome.held_out == outcome.history[best].held_out == evaluate(outcome.model, digits.held_out, digits)


def test_the_end_is_called_after_an_error(digits: Data, small_net: Make) -> None:
    objective = Scripted([])
    with pytest.raises(IndexError):
        train(small_net(), digits, RECIPE, objective=objective, progress=False)
    assert objective.calls[-1] == "end"


class Replaces(CrossEntropy):
    """Takes the activation out in epoch 1: a change of structure that a resumed run must make as well."""

    def epoch(self, model: nn.Module, n: int) -> None:
        if n == 1:
            model[2] = nn.PReLU(init=0.5)
            model[2].requires_grad_(False)


class ReplacesAndStops(Replaces, Stops):
    """Both."""


def test_structure_that_changes_is_resumed(digits: Data, small_net: Make, tmp_path: Path) -> None:
    whole = train(small_net(), digits, RECIPE, objective=ReplacesAndStops(-5), progress=False, select="last")
    with pytest.raises(KeyboardInterrupt):
        train(
            small_net(), digits, RECIPE, objective=ReplacesAndStops(6), folder=tmp_path, progress=False, select="last"
        )
    model = small_net()
    resumed = train(
        model, digits, RECIPE, objective=ReplacesAndStops(-5), folder=tmp_path, progress=False, select="last"
    )
    assert same(whole, resumed)
    assert isinstance(model[2], nn.PReLU)


class TwoSpeeds(CrossEntropy):
    """Only the last layer moves."""

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        return [
            {"params": model[6].parameters(), "factor": 2.0},
            {"params": model[0].parameters(), "factor": 0.0},
        ]


def test_groups_of_parameters(digits: Data, small_net: Make) -> None:
    model, before = small_net(), small_net()
    train(model, digits, RECIPE, objective=TwoSpeeds(), progress=False, select="last")
    assert torch.equal(model[0].weight, before[0].weight)
    assert torch.equal(model[1].weight, before[1].weight)
    assert not torch.equal(model[6].weight, before[6].weight)


def test_weight_decay_leaves_out_norms(digits: Data, small_net: Make) -> None:
    class Nothing(Objective):
        def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return 0 * model(x).sum()

    model, before = small_net(), small_net()
    recipe = RECIPE.replace(weight_decay=0.1, decay_norms=False)
    train(model, digits, recipe, objective=Nothing(), progress=False, select="last")
    assert torch.allclose(model[1].weight, before[1].weight)
    assert model[6].weight.abs().sum() < 0.99 * before[6].weight.abs().sum()


def test_bf16(digits: Data, small_net: Make) -> None:
    outcome = train(small_net(), digits, RECIPE.replace(epochs=5, mixed="bf16"), progress=False)
    assert outcome.test.top1 > 0.6
    assert all(p.dtype == torch.float32 for p in outcome.model.parameters())


def test_threads_are_put_back(digits: Data, small_net: Make) -> None:
    before = torch.get_num_threads()
    train(small_net(), digits, RECIPE.replace(threads=before + 1), progress=False)
    assert torch.get_num_threads() == before


def test_progress_is_on_stderr(digits: Data, small_net: Make, capsys: pytest.CaptureFixture[str]) -> None:
    train(small_net(), digits, RECIPE)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3  loss " in err
    assert "is selected" in err


def test_refusals(digits: Data, small_net: Make, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gives \(2, 7\) for 2 images, and the data set has 10 classes"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), digits, RECIPE, progress=False)
    with pytest.raises(InvalidInput, match=r"cannot take digits's images of \(1, 8, 8\)"):
        train(nn.Conv2d(3, 10, 3), digits, RECIPE, progress=False)
    with pytest.raises(InvalidInput, match="nothing to train"):
        train(small_net().requires_grad_(False), digits, RECIPE, progress=False)
    with pytest.raises(InvalidInput, match=r"cuda:9 is not on this machine"):
        train(small_net(), digits, RECIPE.replace(device="cuda:9"), progress=False)
    with pytest.raises(InvalidInput, match="fp16 is for CUDA"):
        train(small_net(), digits, RECIPE.replace(mixed="fp16"), progress=False)
    with pytest.raises(InvalidInput, match="select is"):
        train(small_net(), digits, RECIPE, progress=False, select="test")
    whole = assemble("digits", digits.train, digits.test, held_out=0)
    with pytest.raises(InvalidInput, match="no held-out examples to select by"):
        train(small_net(), whole, RECIPE, progress=False)
    assert train(small_net(), whole, RECIPE, progress=False, select="last").held_out is None
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        train(small_net(), digits, RECIPE, folder=tmp_path / "file", progress=False)


def test_a_set_smaller_than_a_batch(small_net: Make) -> None:
    images = Images(torch.arange(640, dtype=torch.int32).reshape(10, 1, 8, 8).to(torch.uint8), torch.arange(10), 10)
    data = Data("ten", images, images, images, (0.5,), (0.3,), flip=False)
    assert train(small_net(), data, RECIPE, progress=False).epochs == 3
