"""Working ahead in a thread: order, the bound on what waits, errors, and leaving early."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.run.ahead import Ahead

PATIENCE_S = 30.0


class Source:
    """Items 0, 1, ... of one byte each, which counts how many it was asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.made = count, 0
        self.changed = threading.Condition()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            with self.changed:
                self.made += 1
                self.changed.notify_all()
            yield number

    def reaches(self, made: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.made >= made, PATIENCE_S)


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(0, 50), max_size=30), limit=st.integers(0, 200))
def test_everything_comes_in_order(sizes: list[int], limit: int) -> None:
    items = list(enumerate(sizes))
    with Ahead(items, lambda item: item[1], limit) as ahead:
        assert list(ahead) == items
        assert list(ahead) == []


@pytest.mark.parametrize(("limit", "most"), [(0, 1), (1, 1), (5, 5)])
def test_no_more_than_the_limit_waits_but_always_one(limit: int, most: int) -> None:
    source = Source(50)
    with Ahead(source, lambda _: 1, limit) as ahead:
        for taken in range(40):
            assert source.reaches(taken + most)
            assert source.made <= taken + most
            assert next(ahead) == taken


def test_an_error_comes_where_its_item_would_have() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    with Ahead(failing(), lambda _: 1) as ahead:
        assert next(ahead) == 1
        for _ in range(2):
            with pytest.raises(ValueError, match="the second"):
                next(ahead)
        with pytest.raises(ValueError, match="the second"):
            ahead.wait(1)


def test_waiting_for_bytes() -> None:
    source = Source(10)
    with Ahead(source, lambda _: 1, 5) as ahead:
        ahead.wait(3)
        assert source.made >= 3
        ahead.wait(100)
        assert source.made == 5
        assert list(ahead) == list(range(10))
        ahead.wait(1)


def test_leaving_early_ends_the_thread() -> None:
    source = Source(1000)
    ahead = Ahead(source, lambda _: 1, 3)
    with ahead:
        assert next(ahead) == 0
    assert not ahead._thread.is_alive()
    assert source.made <= 5
    assert list(ahead) == []


def test_what_was_taken_is_held_by_its_taker_alone() -> None:
    """Otherwise one part more than the bound would be in memory."""

    class Part:
        alive = 0

        def __init__(self) -> None:
            Part.alive += 1

        def __del__(self) -> None:
            Part.alive -= 1

    release = threading.Event()

    def parts() -> Iterator[Part]:
        yield Part()
        yield Part()
        release.wait(PATIENCE_S)

    with Ahead(parts(), lambda _: 1, 10) as ahead:
        ahead.wait(2)
        for left in (1, 0):
            next(ahead)
            assert Part.alive == left
        release.set()
