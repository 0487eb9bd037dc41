"""Fine-tuning from ReLU: progressive replacement, distillation, and the whole call on digits beside the naive swap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tacit
from tacit import codesign
from tacit.codesign.activations.fit import fit
from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.data.sets import Data, Subset
from tacit.codesign.finetune import FineTuning, fine_tune, naive, short
from tacit.codesign.finetune.distil import Distillation, feature_loss, soft_loss
from tacit.codesign.finetune.progressive import Blend, Progressive, Ramp, blends, settle
from tacit.codesign.finetune.tune import prepare
from tacit.codesign.ranges import export
from tacit.codesign.repeats import repeat
from tacit.codesign.training.loop import train
from tacit.codesign.training.objective import CrossEntropy
from tacit.codesign.training.recipe import Recipe
from tacit.errors import InvalidInput

RELU = Recipe(epochs=20, lr=0.1, batch=64, warmup_epochs=2, device="cpu")


class Net(nn.Module):
    """Two residual blocks with one shared ReLU, an 8x8 image of one channel."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(4))
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.head = nn.Linear(width * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.stem(x)))
        for i in (0, 2):
            y = self.relu(self.norms[i](self.convs[i](x)))
            x = self.relu(self.norms[i + 1](self.convs[i + 1](y)) + x)
        return self.head(x.flatten(1))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data():
    return codesign.load_data("digits", size=8, examples=600)


@pytest.fixture(scope="module")
def relu(data):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return train(Net(), data, RELU, progress=False)


def test_ramps() -> None:
    together, one_by_one, at_once = Ramp(0.5), Ramp(0.5, "site by site"), Ramp(0.5, "at once")
    assert [together.share(0, 4, d) for d in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]
    assert [one_by_one.share(i, 4, 0.25) for i in range(4)] == [1, 1, 0, 0]
    assert [one_by_one.share(i, 4, 0.3125) for i in range(4)] == [1, 1, 0.5, 0]
    assert all(one_by_one.share(i, 4, 0.5) == 1 for i in range(4))
    assert at_once.share(3, 4, 0.0) == 1
    with pytest.raises(InvalidInput, match="0 to 1"):
        Ramp(1.5)
    with pytest.raises(InvalidInput, match="site by site"):
        Ramp(0.5, "backwards")  # type: ignore[arg-type]


def test_a_mixture_is_one_or_the_other_at_its_ends_and_settles_as_the_polynomial() -> None:
    x = torch.linspace(-3, 3, 13)
    blend = Blend(nn.ReLU(), PolyAct())
    assert torch.equal(blend(x), x.relu())
    blend.share = 0.25
    torch.testing.assert_close(blend(x), 0.75 * x.relu() + 0.25 * PolyAct()(x))
    blend.share = 1.0
    assert torch.equal(blend(x), PolyAct()(x))
    model = settle(nn.Sequential(nn.Sequential(blend)))
    assert isinstance(model[0][0], PolyAct)
    assert not blends(model)


def test_shares_follow_the_steps_and_only_pure_epochs_are_selected(data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Blend(nn.ReLU(), PolyAct()), nn.Linear(8, 10))
    seen: list[float] = []

    class Noting(CrossEntropy):
        def loss(self, model, x, y):
            seen.append(model[2].share)
            return super().loss(model, x, y)

    objective = Progressive(Noting(), Ramp(0.5))
    recipe = Recipe(epochs=4, lr=0.01, batch=100, warmup_epochs=1)
    outcome = train(model, data, recipe, objective=objective, progress=False)
    steps = len(data.train) // 100
    assert seen == pytest.approx([min(1.0, i / (2 * steps)) for i in range(4 * steps)])
    assert outcome.best_epoch >= 2
    assert [objective.ready(n) for n in range(4)] == [False, False, True, True]
    with pytest.raises(InvalidInput, match="leaves none"):
        train(model, data, recipe, objective=Progressive(CrossEntropy(), Ramp(0.9)), progress=False)
    with pytest.raises(InvalidInput, match="no activation"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data, recipe, objective=objective, progress=False)


def test_soft_labels_and_features_are_their_formulas() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))

    def softmax(z):
        e = np.exp(z / 3.0)
        return e / e.sum(1, keepdims=True)

    p, q = softmax(theirs), softmax(ours)
    wanted = 9.0 * (p * np.log(p / q)).sum(1).mean()
    assert float(soft_loss(torch.tensor(ours), torch.tensor(theirs), 3.0)) == pytest.approx(wanted, rel=1e-4)
    pairs = [rng.normal(size=(2, 3)) for _ in range(4)]
    wanted = np.mean([((a - b) ** 2).sum() / (b**2).sum() for a, b in (pairs[:2], pairs[2:])])
    tensors = [torch.tensor(a) for a in pairs]
    assert float(feature_loss(tensors[0::2], tensors[1::2])) == pytest.approx(wanted, rel=1e-5)


def test_distillation_mixes_its_losses_and_leaves_the_teacher(data, relu) -> None:
    torch.manual_seed(1)
    student, teacher = Net(), relu.model
    teacher.zero_grad(set_to_none=True)
    before = [p.clone() for p in teacher.parameters()]
    objective = Distillation(teacher, soft=0.7, features=0.5, pairs={"norms.1": "norms.1", "pool": "pool"})
    objective.begin(student, data, RELU)
    x, y = data.train.batch(range(32))
    loss = objective.loss(student, data.normalise(x), y)
    loss.backward()
    parts = objective.parts()
    assert float(loss.detach()) == pytest.approx(
        0.3 * parts["task"] + 0.7 * parts["soft"] + 0.5 * parts["features"], rel=1e-4
    )
    assert all(p.grad is None and torch.equal(p, q) for p, q in zip(teacher.parameters(), before, strict=True))
    same = Distillation(teacher, features=1.0, pairs={"norms.1": "norms.1"})
    same.begin(teacher, data, RELU)
    same.loss(teacher.eval(), data.normalise(x), y)
    assert same.parts()["features"] == same.parts()["soft"] == 0
    with pytest.raises(InvalidInput, match=r"no module 'norms\.9'"):
        Distillation(teacher, features=1.0, pairs={"norms.9": "norms.1"}).begin(student, data, RELU)
    with pytest.raises(InvalidInput, match="temperature"):
        Distillation(teacher, temperature=0.0)


def test_preparation_changes_nothing_until_shares_grow(data, relu) -> None:
    student, blocked = prepare(relu.model, data, FineTuning(examples=200))
    assert not blocked
    x = data.normalise(data.test.batch(range(20))[0])
    torch.testing.assert_close(student.eval()(x), relu.model.eval()(x))
    goals = {name: blend.goal for name, blend in blends(student).items()}
    assert sorted(goals) == ["pool", "relu", "relu_2", "relu_3", "relu_4", "relu_5"]
    assert isinstance(goals.pop("pool"), nn.AvgPool2d)
    assert all(goal.scale.shape == (8,) for goal in goals.values())


def test_fine_tuning_holds_accuracy_and_ranges_in_a_fifth_of_the_epochs_and_runs_privately(
    data, relu, tmp_path
) -> None:
    recipe = short(RELU)
    assert (recipe.epochs, recipe.clip_norm) == (4, 5.0)
    tuned = fine_tune(relu.model, data, recipe, progress=False)
    assert tuned.outcome.epochs <= 0.2 * RELU.epochs
    assert tuned.outcome.test.top1 >= relu.test.top1 - 0.03
    assert tuned.certificate.holds
    assert (tuned.scaled, tuned.sites, tuned.blocked) == (5, 5, {})
    assert all(m.scale == 1.0 for m in tuned.model.modules() if isinstance(m, PolyAct))
    assert codesign.evaluate(tuned.model, data.test, data).top1 == pytest.approx(tuned.outcome.test.top1, abs=1e-9)
    plan = export(tuned.model, tuned.certificate, tmp_path / "net.tacit", data, batch=20)
    x, _ = data.test.batch(range(20))
    private = tacit.simulate(plan, data.normalise(x).numpy()).outputs[0]
    clear = tuned.model(data.normalise(x)).detach().numpy()
    assert np.abs(private - clear).max() < 0.02 * np.abs(clear).max()
    assert (private.argmax(1) == clear.argmax(1)).all()


def test_sites_may_be_kept_left_out_or_have_another_polynomial(data, relu) -> None:
    choices = {"relu": "keep", "relu_2": "identity", "relu_3": fit(2, 8), "relu_5": "poly"}
    tuned = fine_tune(relu.model, data, short(RELU), FineTuning(examples=200), choices=choices, progress=False)
    kinds = {name: type(tuned.model.get_submodule(name)).__name__ for name in (*choices, "relu_4")}
    assert kinds == {
        "relu": "ReLU",
        "relu_2": "Identity",
        "relu_3": "PolyAct",
        "relu_4": "PolyAct",
        "relu_5": "PolyAct",
    }
    assert tuned.model.get_submodule("relu_3").polynomial.degree == 2
    assert [site.name for site in tuned.certificate.sites] == ["relu_3", "relu_4", "relu_5"]
    assert tuned.sites == 3
    assert tuned.outcome.test.top1 >= relu.test.top1 - 0.05
    bare = dict.fromkeys(kinds, "keep") | {"relu_2": "identity"}
    exact = fine_tune(relu.model, data, short(RELU).replace(epochs=2), choices=bare, progress=False)
    assert exact.certificate.holds
    assert exact.certificate.largest == 0
    for wrong, words in (({"relu_9": "keep"}, "no activation 'relu_9'"), ({"relu": "cubic"}, "not 'cubic'")):
        with pytest.raises(InvalidInput, match=words):
            fine_tune(relu.model, data, short(RELU), choices=wrong, progress=False)
    with pytest.raises(InvalidInput, match="is to be replaced"):
        fine_tune(relu.model, data, short(RELU), choices=dict.fromkeys(kinds, "keep"), progress=False)


def test_the_naive_swap_loses_what_fine_tuning_keeps(data, relu) -> None:
    lost = naive(relu.model, data, None)
    assert lost.swapped.top1 < relu.test.top1 - 0.1
    assert lost.outcome is None
    assert lost.model is not relu.model
    assert any(isinstance(m, nn.ReLU) for m in relu.model.modules())


def test_fine_tuning_is_the_same_for_the_same_seed_and_after_an_interruption(data, relu, tmp_path) -> None:
    recipe, blend = short(RELU).replace(epochs=3), FineTuning(order="blend")

    class Stop(Exception):
        pass

    whole = fine_tune(relu.model, data, recipe, blend, progress=False)
    saved = torch.save
    calls = []

    def once(*args, **kwargs):
        saved(*args, **kwargs)
        calls.append(args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", once)
        original = Progressive.epoch

        def failing(self, model, n):
            if n == 1:
                raise Stop
            original(self, model, n)

        patch.setattr(Progressive, "epoch", failing)
        with pytest.raises(Stop):
            fine_tune(relu.model, data, recipe, blend, folder=tmp_path / "run", progress=False)
    assert calls
    resumed = fine_tune(relu.model, data, recipe, blend, folder=tmp_path / "run", progress=False)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    )


def test_repeats_say_mean_and_spread() -> None:
    runs = repeat(lambda seed: 0.5 + 0.1 * seed, (1, 2, 3))
    spread = runs.spread(lambda value: value)
    assert (spread.mean, spread.deviation) == pytest.approx((0.7, 0.1))
    assert (spread.least, spread.largest) == pytest.approx((0.6, 0.8))
    assert str(spread) == "0.7 ± 0.1"
    assert repeat(lambda seed: seed, (4,)).spread(float).deviation == 0
    with pytest.raises(InvalidInput, match="different seeds"):
        repeat(lambda seed: seed, (1, 1))


def test_bad_input_is_one_sentence(data, monkeypatch) -> None:
    with pytest.raises(InvalidInput, match="two at least"):
        short(RELU.replace(epochs=6))
    with pytest.raises(InvalidInput):
        fine_tune(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data, short(RELU), progress=False)
    empty = Subset(data.test, torch.zeros(0, dtype=torch.int64))
    unlabelled = Data("d", data.train, data.held_out, empty, data.mean, data.std)
    monkeypatch.delattr("tacit.codesign.finetune.tune.train")  # nothing is trained before that is known
    with pytest.raises(InvalidInput, match="no example"):
        fine_tune(Net(), unlabelled, short(RELU), progress=False)
    with pytest.raises(InvalidInput, match="no parameters"):
        fine_tune(nn.Sequential(nn.ReLU(), nn.Flatten()), data, short(RELU), progress=False)


@pytest.mark.parametrize("change", [{"degree": 2}, {"reach": 3.0}, {"interval": 4.0}, {"tail": None}])
def test_a_run_with_other_settings_is_not_continued(data, tmp_path, change) -> None:
    net, recipe = Net(4), RELU.replace(epochs=2, lr=0.01, warmup_epochs=0, clip_norm=5.0)
    few = Data("d", Subset(data.train, torch.arange(64)), data.held_out, data.test, data.mean, data.std)
    fine_tune(net, few, recipe, folder=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match="another run's"):
        fine_tune(net, few, recipe, FineTuning(**change), folder=tmp_path, progress=False)
