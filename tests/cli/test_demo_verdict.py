"""The demo's verdict and picture: what is accepted, what is not, and that the PNG says what was drawn."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tacit.cli._demo_homes import load_sample
from tacit.cli._demo_picture import draw, png, save_picture
from tacit.cli._demo_verdict import LOGIT_MARGIN, NRMSE_MARGIN, clear_logits, compare
from tacit.errors import InvalidInput
from tacit.ir import Graph, Node
from tacit.plan.compile import plan_graph
from tacit.plan.policy import Policy

CLEAR = np.array([[3.0, 1.0, -2.0], [0.5, 4.0, 0.0], [1.0, 1.0 + LOGIT_MARGIN / 2, -3.0]])
LABELS = np.array([0, 1, 0], np.uint8)


def test_equal_logits_are_within() -> None:
    verdict = compare(CLEAR, CLEAR, LABELS)
    assert verdict.within
    assert (verdict.agreement, verdict.deviation, verdict.nrmse, verdict.beyond) == (1.0, 0.0, 0.0, ())
    assert verdict.accuracy_private == verdict.accuracy_clear == pytest.approx(2 / 3)


@pytest.mark.parametrize("image", [0, 1, 2])
def test_one_logit_beyond_the_margin_is_found(image: int) -> None:
    private = CLEAR.copy()
    private[image, 2] += 1.01 * LOGIT_MARGIN
    verdict = compare(private, CLEAR, LABELS)
    assert verdict.beyond == (image,)
    assert not verdict.within


def test_another_prediction_is_accepted_only_where_the_clear_reading_is_undecided() -> None:
    private = CLEAR.copy()
    private[2] = [1.0 + LOGIT_MARGIN / 2, 1.0, -3.0]
    verdict = compare(private, CLEAR, LABELS)
    assert verdict.beyond == ()
    assert verdict.agreement == pytest.approx(2 / 3)
    lead = CLEAR.copy()
    lead[2] = [1.0, 1.0 + 1.5 * LOGIT_MARGIN, -3.0]
    swapped = lead.copy()
    swapped[2] = [1.0 + 0.8 * LOGIT_MARGIN, 1.0 + 0.7 * LOGIT_MARGIN, -3.0]
    assert compare(swapped, lead, LABELS).beyond == (2,)


def test_many_small_differences_fail_together() -> None:
    quiet = CLEAR / 1000
    private = quiet + 2 * NRMSE_MARGIN * float(np.sqrt(np.mean(quiet**2)))
    verdict = compare(private, quiet, LABELS)
    assert verdict.beyond == ()
    assert not verdict.within


def test_a_value_that_is_no_number_is_beyond() -> None:
    private = CLEAR.copy()
    private[1, 0] = np.nan
    assert compare(private, CLEAR, LABELS).beyond == (1,)
    assert not compare(private, CLEAR, LABELS).within


def test_missing_answers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="shape"):
        compare(CLEAR[:2], CLEAR, LABELS)


def test_the_clear_reading_fills_the_last_batch() -> None:
    nodes = (Node("x", "input", (), (2, 3)), Node("y", "linear", ("x",), (2, 2), weights={"weight": "w"}))
    matrix = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
    plan = plan_graph(Graph(nodes, ("y",), {"w": matrix}), Policy(), {"x": 4.0, "y": 16.0}, {"x": 4.0, "y": 16.0}, "")
    inputs = np.arange(15.0).reshape(5, 3) / 8
    assert np.allclose(clear_logits(plan, inputs), inputs @ matrix.T)
    with pytest.raises(InvalidInput, match="public half"):
        clear_logits(plan.public(), inputs)


@pytest.mark.parametrize("count", [1, 7, 11, 45])
def test_the_png_holds_what_was_drawn(count: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    sample = load_sample(count)
    sheet = draw(sample.images, sample.labels.astype(np.int64), sample.labels)
    read = image.imread(io.BytesIO(png(sheet)), format="png")
    assert np.array_equal(np.rint(read[..., :3] * 255).astype(np.uint8), sheet)


def test_a_wrong_prediction_looks_different() -> None:
    sample = load_sample(3)
    right = draw(sample.images, sample.labels.astype(np.int64), sample.labels)
    wrong = draw(sample.images, (sample.labels.astype(np.int64) + 1) % 10, sample.labels)
    red = (wrong == (200, 40, 40)).all(-1)
    assert red.any()
    assert not (right == (200, 40, 40)).all(-1).any()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    sample = load_sample(1)
    with pytest.raises(InvalidInput, match="cannot write the picture"):
        save_picture(tmp_path / "no" / "such.png", sample.images, sample.labels.astype(np.int64), sample.labels)
