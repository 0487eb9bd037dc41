"""What all tests share: the option that rewrites the wire and bill baselines."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-baselines` rewrites tests/wire.baseline and tests/bill.baseline instead of comparing with them."""
    parser.addoption("--update-baselines", action="store_true", help="rewrite the wire and bill baselines")
