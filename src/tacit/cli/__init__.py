"""The `tacit` command: every module of this folder without a leading underscore is one command, found by listing it.

A module offers either `command`, a function whose parameters are the command's, or `commands`, a tuple of functions
that become its subcommands. Its docstring's first line is what `tacit --help` shows. Only the command that was asked
for is imported, so the others cost nothing at start.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, NoReturn

import typer

import tacit
from tacit.cli._failures import guarded

__all__ = ["application", "command_names", "main"]

_LOOK: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,  # its traces print local variables, which may be secret
    "rich_markup_mode": "markdown",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def command_names() -> list[str]:
    """The commands that there are, sorted."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line made for `arguments`: the command they name whole, the others as one line of help each."""
    app = typer.Typer(name="tacit", no_args_is_help=True, **_LOOK)
    app.callback()(_root)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name in command_names():
        if name == chosen:
            _add(app, name)
        else:
            app.command(name, help=_first_line(name))(_absent)
    return app


def main() -> NoReturn:
    """Run the command line. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    application(sys.argv[1:])(prog_name="tacit")
    sys.exit(0)


def _add(app: typer.Typer, name: str) -> None:
    """Import the module `name` and add what it offers to `app`."""
    module = import_module(f"{__name__}.{name}")
    functions: tuple[Callable[..., Any], ...] = getattr(module, "commands", ())
    if not functions:
        app.command(name)(guarded(module.command))
        return
    group = typer.Typer(no_args_is_help=True, help=module.__doc__, **_LOOK)
    for function in functions:
        group.command(function.__name__.strip("_").replace("_", "-"))(guarded(function))
    app.add_typer(group, name=name)


def _first_line(name: str) -> str:
    """The first line of a command's docstring, read without importing it."""
    source = (Path(__path__[0]) / f"{name}.py").read_text("utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    return text.partition("\n")[0]


def _absent() -> None:
    """Stands for a command that this command line does not run."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tacit {tacit.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Private inference: the client's input stays with the client, the weights stay with the owner."""
