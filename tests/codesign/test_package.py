"""The wing's public names: each loads, none is loaded before it is wanted, nothing of it is in `import tacit`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tacit.codesign


@pytest.mark.parametrize("name", tacit.codesign.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(tacit.codesign, name) is not None


def test_other_names_do_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = tacit.codesign.nonsense


def test_torch_is_not_loaded_early() -> None:
    code = "import sys, tacit.codesign; assert 'torch' not in sys.modules, 'early'; import tacit; tacit.Policy"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\nimport tacit.codesign\n"
        "try:\n    tacit.codesign.train\nexcept tacit.TacitError as e:\n    print(e)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found == "co-design needs torch, which is not installed; install tacit[train]\n"
