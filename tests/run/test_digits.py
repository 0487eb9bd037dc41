"""The shipped digits model, simulated on every test image: logits and predictions against the clear reading."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

from tacit.front.clear import run_clear
from tacit.plan.save import load_plan
from tacit.run.simulate import simulate
from tacit.testing.protocols import check_bill
from tacit.zoo import digits


def test_logits_and_predictions() -> None:
    with as_file(files("tacit.zoo.digits").joinpath("digits.tacit")) as path:
        plan = load_plan(path)
    assert plan.graph is not None
    data = digits.load()
    images, batch = digits.preprocess(data.test_images), plan.batch
    private, clear = [], []
    for start in range(0, len(images) - len(images) % batch, batch):
        x = images[start : start + batch]
        result = simulate(plan, x)
        check_bill(plan, result)
        private.append(result.outputs[0])
        clear.append(run_clear(plan.graph, x)[0])
    got, want = np.concatenate(private), np.concatenate(clear)
    assert np.sqrt(((got - want) ** 2).mean() / (want**2).mean()) < 1e-3
    assert (got.argmax(1) == want.argmax(1)).mean() >= 0.999
    accuracy = (got.argmax(1) == data.test_labels[: len(got)]).mean()
    assert accuracy > 0.97


def test_relu_and_max_pool_choose_the_same_digit() -> None:
    plan = load_plan(str(digits.plan("relu")))
    assert plan.graph is not None
    data = digits.load()
    images, right = digits.preprocess(data.test_images), 0
    for start in range(0, len(images), plan.batch):
        x = images[start : start + plan.batch]
        result = simulate(plan, x)
        check_bill(plan, result)
        got, (want,) = result.outputs[0], run_clear(plan.graph, x)
        assert (got.argmax(1) == want.argmax(1)).all()
        assert np.sqrt(((got - want) ** 2).mean() / (want**2).mean()) < 2e-3
        right += int((got.argmax(1) == data.test_labels[start : start + plan.batch]).sum())
    assert right / len(images) > 0.99
