"""Every operation with a secure program, under every protocol, against its clear meaning."""

from __future__ import annotations

import pytest

from tacit.testing.graphs import Sketch
from tacit.testing.ops import CASES, check_op, private_ops


@pytest.mark.parametrize("name", private_ops())
def test_op(name: str) -> None:
    check_op(name)


def test_no_case_is_stale() -> None:
    assert set(CASES) == set(private_ops())


def test_an_unknown_operation_has_no_case() -> None:
    with pytest.raises(LookupError, match="softmax"):
        check_op("softmax")


def test_a_case_without_the_operation_is_found_out() -> None:
    def draw(s: Sketch) -> list[str]:
        return [s.flat(s.input(1, 2, 2))]

    with pytest.raises(AssertionError, match="does not use"):
        check_op("linear", [draw])
