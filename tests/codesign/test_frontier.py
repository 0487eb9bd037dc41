"""Frontiers: what nothing beats, what is refused, and that files and pictures hold what was given."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from tacit.codesign.frontier import Point, pareto, plot, read, save, table
from tacit.errors import InvalidFile, InvalidInput

POINTS = (
    Point("all", 0.95, 1000, {"lan": 0.10, "wan": 1.0}),
    Point("half", 0.94, 500, {"lan": 0.06, "wan": 0.9}),
    Point("worse", 0.90, 600, {"lan": 0.07, "wan": 0.5}, {"rings": [32]}),
    Point("none", 0.30, 0, {"lan": 0.02, "wan": 0.2}),
)


def test_the_front_is_what_nothing_beats() -> None:
    assert [p.name for p in pareto(POINTS)] == ["none", "half", "all"]
    assert [p.name for p in pareto(POINTS, "wan")] == ["none", "worse", "half", "all"]
    assert [p.name for p in pareto(POINTS, lambda p: -p.activations)] == ["all"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_equals_the_definition(pairs: list[tuple[int, int]]) -> None:
    points = [Point(str(i), accuracy / 5, cost) for i, (cost, accuracy) in enumerate(pairs)]
    front = pareto(points)

    def beaten(p: Point) -> bool:
        return any(
            q.activations <= p.activations
            and q.accuracy >= p.accuracy
            and (q.activations, q.accuracy) != (p.activations, p.accuracy)
            for q in points
        )

    wanted = {(p.activations, p.accuracy) for p in points if not beaten(p)}
    assert {(p.activations, p.accuracy) for p in front} == wanted
    assert len(front) == len(wanted)


def test_points_without_a_plan_get_no_star() -> None:
    escaped = Point("escaped", 0.99, 10, {}, {"certified": False})
    console = Console(width=100, record=True, file=StringIO())
    console.print(table([escaped, *POINTS]))
    rows = {name: line for line in console.export_text().splitlines() for name in (line.split() or [""])[:1]}
    assert "*" not in rows["escaped"]
    assert all("*" in rows[name] for name in ("none", "half", "all"))


def test_an_unknown_link_is_named() -> None:
    with pytest.raises(InvalidInput, match="has no seconds for 'moon'"):
        pareto(POINTS, "moon")


def test_files_hold_the_points(tmp_path: Path) -> None:
    save(POINTS, tmp_path / "frontier.json", link="lan")
    assert read(tmp_path / "frontier.json") == POINTS
    assert list(tmp_path.iterdir()) == [tmp_path / "frontier.json"]


@pytest.mark.parametrize("text", ["", "{}", '{"points": [{"name": 1}]}', '{"points": 3}'])
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "frontier.json").write_text(text, "utf-8")
    with pytest.raises(InvalidFile, match="holds no frontier"):
        read(tmp_path / "frontier.json")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot write the frontier"):
        save(POINTS, tmp_path / "nowhere" / "frontier.json")


@pytest.mark.parametrize("key", ["activations", "lan"])
def test_the_picture_is_written(tmp_path: Path, key: str) -> None:
    plot({"planner": POINTS, "DeepReDuce": POINTS[:2]}, tmp_path / "f.png", key)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInput, match="cannot write the plot"):
        plot(POINTS, tmp_path / "f.xyz", key)


def test_the_table_marks_the_front() -> None:
    made = table(POINTS, ("lan", "activations"))
    cells = {column.header: list(column.cells) for column in made.columns}
    assert cells["point"] == ["none", "half", "worse", "all"]
    assert cells["activations"] == ["0*", "500*", "600 ", "1,000*"]
    assert cells["lan ms"] == ["20.0*", "60.0*", "70.0 ", "100.0*"]
