"""The shipped diagnosis: what the files hold, how good the weights are, and that private answers are the clear ones."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from tacit.front.clear import run_clear
from tacit.plan.plan import Plan
from tacit.plan.save import load_plan
from tacit.run.simulate import simulate
from tacit.testing.protocols import check_bill
from tacit.zoo import diagnosis

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def shipped(label: bool) -> Plan:
    return load_plan(str(diagnosis.plan(label=label)))


def test_shapes_and_measurements() -> None:
    data = diagnosis.load()
    assert data.test_measurements.shape == (143, len(diagnosis.MEASUREMENTS)) == (143, 30)
    assert data.calibration_measurements.shape == (100, 30)
    assert np.bincount(data.test_labels).tolist() == [53, 90]
    column = dict(zip(diagnosis.MEASUREMENTS, data.test_measurements.T, strict=True))
    assert (column["worst area"] >= column["mean area"]).all()
    # A nucleus is roundish: its area is about that of a disc of the same radius.
    ratio = column["mean area"] / (np.pi * column["mean radius"] ** 2)
    assert 0.9 < ratio.min() <= ratio.max() < 1.1


def test_columns_are_named_as_in_the_source() -> None:
    source = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    names = [name.replace(" error", "") for name in source.feature_names]
    ours = [name.replace("error of ", "") for name in diagnosis.MEASUREMENTS]
    assert ours == names
    assert tuple(source.target_names) == diagnosis.CLASSES


def test_no_test_sample_is_used_for_calibration() -> None:
    data = diagnosis.load()
    test = {sample.tobytes() for sample in data.test_measurements}
    assert not any(sample.tobytes() in test for sample in data.calibration_measurements)


def test_weights_take_raw_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    model = importlib.import_module("diagnosis_model").build_model(str(diagnosis.weights()))
    data = diagnosis.load()
    with torch.no_grad():
        scores = model(torch.from_numpy(data.test_measurements)).numpy()
    assert (scores.argmax(1) == data.test_labels).mean() >= 0.98
    plan = shipped(label=False)
    assert plan.graph is not None
    clear = np.concatenate([run_clear(plan.graph, x[None])[0] for x in data.test_measurements.astype(np.float64)])
    np.testing.assert_allclose(clear, scores, atol=1e-4)


def test_folding_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    definition = importlib.import_module("diagnosis_model")
    model = definition.DiagnosisNet().double()
    raw = torch.from_numpy(diagnosis.load().test_measurements).double()
    mean, spread = raw.mean(0), raw.std(0)
    with torch.no_grad():
        want = model((raw - mean) / spread)
        definition.fold_standardisation(model, mean, spread)
        torch.testing.assert_close(model(raw), want)


def test_private_scores_and_diagnoses_are_the_clear_ones() -> None:
    data = diagnosis.load()
    scores, label = shipped(label=False), shipped(label=True)
    assert scores.graph is not None
    right = 0
    for sample, truth in zip(data.test_measurements.astype(np.float64), data.test_labels, strict=True):
        x = sample[None]
        (want,) = run_clear(scores.graph, x)
        result, told = simulate(scores, x), simulate(label, x)
        check_bill(scores, result)
        check_bill(label, told)
        np.testing.assert_allclose(result.outputs[0], want, atol=0.02)
        assert told.outputs[0].tolist() == [[want.argmax()]]
        right += int(want.argmax() == truth)
    assert right == 142


def test_nothing_but_the_diagnosis_is_revealed() -> None:
    plan = shipped(label=True).public()
    assert [plan.wires[step.site].shape for step in plan.outputs] == [(1, 1)]
    assert [step.op for step in plan.steps].count("reveal") == 1
