"""Print what the package needs, one requirement per line: `python tools/requirements.py [extra ...]`.

pip can install a package's requirements only by building it; the checks that need no build use this list instead.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

__all__ = ["main", "requirements"]


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The run-time requirements and those of the extras, in order, each once; KeyError for an unknown extra."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    return list(dict.fromkeys(wanted))


def main() -> int:
    """Print the list for the extras given as arguments."""
    print("\n".join(requirements(Path(__file__).resolve().parent.parent / "pyproject.toml", sys.argv[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
