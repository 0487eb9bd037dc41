"""Choices by name."""

from __future__ import annotations

import pytest

from tacit.codesign.search.choices import check_choices, degree
from tacit.errors import InvalidInput


def test_degrees() -> None:
    assert [degree(c) for c in ("exact", "identity", "poly2", "poly6")] == [None, None, 2, 6]


@pytest.mark.parametrize("name", ["poly7", "poly", "poly10", "relu", "", "Exact"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidInput, match="no choice for a site"):
        degree(name)


def test_exact_comes_first_and_once() -> None:
    assert check_choices(["poly4", "exact", "poly4", "identity", "exact"]) == ("exact", "poly4", "identity")


@pytest.mark.parametrize("names", [[], ["exact"], ["poly4", "identity"], ["exact", "exact"]])
def test_too_few(names: list[str]) -> None:
    with pytest.raises(InvalidInput, match="and another choice"):
        check_choices(names)
