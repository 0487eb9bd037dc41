"""The command line as a whole: discovery, help, versions, lazy imports, exit statuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import tacit
import tacit.cli
from tacit.cli import command_names
from tacit.cli._failures import guarded
from tacit.errors import InvalidInput

OURS = ["bill", "compile", "deal", "keys", "query", "serve", "store", "zoo"]


def test_commands_are_the_files_of_the_folder() -> None:
    files = {path.stem for path in Path(tacit.cli.__file__).parent.glob("[!_]*.py")}
    assert set(command_names()) == files
    assert files >= set(OURS)


def test_help_lists_every_command(cli: Callable[..., Any]) -> None:
    result = cli("--help")
    assert result.exit_code == 0
    for name in command_names():
        assert f" {name} " in result.stdout


@pytest.mark.parametrize("name", OURS)
def test_each_command_has_help(cli: Callable[..., Any], name: str) -> None:
    result = cli(name, "--help")
    assert result.exit_code == 0, result.stderr
    assert "Usage: tacit " + name in result.stdout


def test_version(cli: Callable[..., Any]) -> None:
    assert cli("--version").stdout == f"tacit {tacit.__version__}\n"


@pytest.mark.parametrize(
    "line", [["serv"], ["bill"], ["bill", "a", "b"], ["query", "tacit://h", "--top", "0"], ["keys", "lose"], ["--loud"]]
)
def test_wrong_usage_exits_with_2(cli: Callable[..., Any], line: list[str]) -> None:
    result = cli(*line)
    assert result.exit_code == 2
    assert "Usage: tacit" in result.stderr


@pytest.mark.parametrize("name", ["query", "keys", "store", "serve", "deal", "bill", "zoo"])
def test_only_compile_imports_models(name: str) -> None:
    code = (
        "import sys; from tacit.cli import application\n"
        f"try: application(['{name}'])(['{name}', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'numpy', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_client_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; import tacit.cli._query, tacit.service.api\n"
        "heavy = {'torch', 'onnx', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InvalidInput("the thing is wrong; fix it"), 1, "error: the thing is wrong; fix it\n"),
        (InvalidInput("no\x1b[31m\nline"), 1, "error: no\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}line\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; what is dealt, primed or registered is kept\n"),
    ],
)
def test_failures_are_sentences(
    error: BaseException, status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        guarded(fail)()
    assert caught.value.exit_code == status
    assert capsys.readouterr() == ("", text)


def test_faults_of_the_program_are_not_hidden() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(fail)()
