"""The drift finder: faults put into known places are found there, and healthy nets raise no alarm."""

from __future__ import annotations

from itertools import count

import pytest

from .faults import FAULTS, run


def _campaign(size: int) -> tuple[int, list[str]]:
    """Faults of every kind in turn, `size` in all: how many, and those whose place was not named."""
    done, missed = 0, []
    kinds = list(FAULTS)
    for seed in count():
        for number, kind in enumerate(kinds):
            if done == size:
                return done, missed
            found = run(kind, seed + number)
            if found is None:  # this net has no layer of that kind
                continue
            done += 1
            comparison, case = found
            first = comparison.first
            if first is None or (first.layer, first.rung) != (case.layer, case.rung):
                missed.append(f"{kind}, seed {seed + number}: {first}, not {case.layer} ({case.rung})")
    raise AssertionError("unreachable")


def _healthy(size: int) -> list[str]:
    found = (run(None, seed) for seed in range(size))
    return [f"seed {seed}: {f[0].first}" for seed, f in enumerate(found) if f is not None and f[0].first is not None]


def test_the_first_layer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    done, missed = _campaign(40)
    with capsys.disabled():
        print(f"\nfaults: {done - len(missed)} of {done} named")
    assert len(missed) <= 0.05 * done, "\n".join(missed)


def test_no_false_alarm() -> None:
    assert not _healthy(40)


@pytest.mark.slow
def test_the_first_layer_is_named_in_200_faults(capsys: pytest.CaptureFixture[str]) -> None:
    done, missed = _campaign(200)
    with capsys.disabled():
        print(f"\nfaults: {done - len(missed)} of {done} named; missed: {missed}")
    assert len(missed) <= 0.05 * done, "\n".join(missed)


@pytest.mark.slow
def test_no_false_alarm_in_200_runs(capsys: pytest.CaptureFixture[str]) -> None:
    alarms = _healthy(200)
    with capsys.disabled():
        print(f"\nhealthy runs: {len(alarms)} alarms in 200")
    assert not alarms, "\n".join(alarms)
