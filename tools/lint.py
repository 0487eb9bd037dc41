"""The project's own style rules, the ones that no general linter has: `python tools/lint.py [root]`.

Prints `path:line: rule: sentence` for every finding and exits with 1 if there is any. A rule is a function from a
`Source` to findings; `RULES` lists them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from cpp_functions import cpp_functions

__all__ = ["RULES", "Finding", "Source", "check", "collect", "main"]

FOLDERS = ("src", "cpp", "tools", "bench", "tests", "examples")
PYTHON = (".py",)
CPP = (".h", ".hpp", ".inl", ".cc", ".cpp")
FILE_LINES = 400
FUNCTION_LINES = 60
NESTING = 3
# Written in halves, so that this file does not trip over itself.
MARKER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
VAGUE_WORDS = {"manager", "engine", "context", "helper", "helpers", "util", "utils"}
VAGUE_STEMS = {"base", "config"}
TORCH_RANDOM = re.compile(r"rand\w*|normal|bernoulli|multinomial|poisson|Generator|manual_seed|seed|initial_seed")
TENSOR_RANDOM = {"random_", "normal_", "uniform_", "bernoulli_", "exponential_", "geometric_", "cauchy_", "log_normal_"}
BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule at one line of one file."""

    path: str
    line: int
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.sentence}"


@dataclass(frozen=True)
class Source:
    """One file: its path relative to the repository's root, with forward slashes, and its text.

    `documented` maps the package's classes, by name, to the methods that they document: an override needs no second
    docstring, since its contract is its parent's.
    """

    path: str
    text: str
    documented: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def is_python(self) -> bool:
        """Whether this is a Python file."""
        return self.path.endswith(PYTHON)

    @property
    def in_package(self) -> bool:
        """Whether this is a Python file of the shipped package."""
        return self.is_python and self.path.startswith("src/")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; empty if this is not Python or does not parse (ruff says so)."""
        try:
            return ast.parse(self.text if self.is_python else "")
        except SyntaxError:
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every Python function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS)]

    def below(self, *folders: str) -> bool:
        """Whether the file lies in one of these folders of the package."""
        return self.path.startswith(tuple(f"src/tacit/{folder}/" for folder in folders))

    def finding(self, line: int, rule: str, sentence: str) -> Finding:
        """A finding in this file."""
        return Finding(self.path, line, rule, sentence)


def file_length(source: Source) -> Iterator[Finding]:
    """A file has at most 400 lines."""
    lines = len(source.text.splitlines())
    if lines > FILE_LINES:
        yield source.finding(
            FILE_LINES + 1, "file-length", f"{lines} lines, at most {FILE_LINES}; split it by subject."
        )


def function_length(source: Source) -> Iterator[Finding]:
    """A Python function has at most 60 lines, from `def` to its last line, docstring included."""
    for node in source.functions:
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            sentence = f"{node.name} has {lines} lines, at most {FUNCTION_LINES}; name its parts."
            yield source.finding(node.lineno, "function-length", sentence)


def cpp_function_length(source: Source) -> Iterator[Finding]:
    """A C++ function at namespace or class level has at most 60 lines, from its signature to its closing brace."""
    if not source.path.endswith(CPP):
        return
    for first, last in cpp_functions(source.text):
        if last - first + 1 > FUNCTION_LINES:
            sentence = f"this function has {last - first + 1} lines, at most {FUNCTION_LINES}; name its parts."
            yield source.finding(first, "function-length", sentence)


def nesting(source: Source) -> Iterator[Finding]:
    """Control flow in a Python function nests at most three levels deep; `elif` adds none."""
    for function in source.functions:
        for line in too_deep(function.body, 0):
            sentence = f"{function.name} nests deeper than {NESTING} levels; return early or name the inner part."
            yield source.finding(line, "nesting", sentence)


def too_deep(body: list[ast.stmt], depth: int) -> Iterator[int]:
    """Lines of the statements that open a level beyond the limit."""
    for node in body:
        if not isinstance(node, BLOCKS):
            continue
        if depth == NESTING:
            yield node.lineno
            continue
        handlers = [*getattr(node, "handlers", []), *getattr(node, "cases", [])]
        for part in (node, *handlers):
            yield from too_deep(getattr(part, "body", []), depth + 1)
        rest = [*getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        chained = isinstance(node, ast.If) and len(rest) == 1 and isinstance(rest[0], ast.If)
        yield from too_deep(rest, depth if chained else depth + 1)


def docstrings(source: Source) -> Iterator[Finding]:
    """In the package, every module and every public class, function, method and property has a docstring."""
    if not source.in_package:
        return
    if ast.get_docstring(source.tree) is None and source.tree.body:
        yield source.finding(1, "docstring", "the module does not open with a sentence saying what it is.")
    yield from missing_docstrings(source, source.tree.body, frozenset())


def missing_docstrings(source: Source, body: list[ast.stmt], inherited: frozenset[str]) -> Iterator[Finding]:
    """Undocumented public definitions of a body; overloads, setters and overrides borrow another's docstring."""
    for node in body:
        if not isinstance(node, DEFINITIONS) or node.name.startswith("_"):
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        borrowed = node.name in inherited or marks & {"overload", "override", "setter", "deleter"}
        if not borrowed and not ast.get_docstring(node):
            sentence = f"{node.name} is public and has no docstring; give shapes, units and errors."
            yield source.finding(node.lineno, "docstring", sentence)
        if isinstance(node, ast.ClassDef):
            parents = [source.documented.get(name, frozenset()) for name in parent_names(node)]
            yield from missing_docstrings(source, node.body, frozenset().union(*parents))


def parent_names(node: ast.ClassDef) -> list[str]:
    """The bare names of a class's bases: `Channel` for `channel.Channel`, `Source` for `Source[int]`."""
    bare = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return [ast.unparse(base).rpartition(".")[2] for base in bare]


def documented_methods(sources: Iterable[Source]) -> dict[str, frozenset[str]]:
    """For every class of the package, by name, the methods that it or a base of it documents."""
    classes = [node for source in sources if source.in_package for node in ast.walk(source.tree)]
    found: dict[str, frozenset[str]] = {}
    bases: dict[str, list[str]] = {}
    for node in classes:
        if isinstance(node, ast.ClassDef):
            own = (item.name for item in node.body if isinstance(item, FUNCTIONS) and ast.get_docstring(item))
            found[node.name] = found.get(node.name, frozenset()).union(own)
            bases[node.name] = parent_names(node)
    for _ in range(4):  # deeper than any chain of classes should be
        for name, parents in bases.items():
            found[name] = found[name].union(*(found.get(parent, frozenset()) for parent in parents))
    return found


def all_is_true(source: Source) -> Iterator[Finding]:
    """A package module lists exactly its public classes and functions, and other names it has, in `__all__`."""
    if not source.in_package or source.path.endswith("__main__.py"):
        return
    listed = listed_names(source.tree)
    present = bound_names(source.tree.body) - {"annotations"}
    if listed is None and not present:
        return  # a package's folder that holds only its docstring
    if listed is None:
        yield source.finding(1, "all", "the module has no __all__ written as a list of strings.")
        return
    line, names = listed
    for name in names:
        if name not in present:
            yield source.finding(line, "all", f"__all__ lists {name}, which the module does not have.")
        if names.count(name) > 1:
            yield source.finding(line, "all", f"__all__ lists {name} twice.")
    for node in source.tree.body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_") and node.name not in names:
            yield source.finding(
                node.lineno, "all", f"{node.name} is public but not in __all__; list it or prefix a _."
            )


def listed_names(tree: ast.Module) -> tuple[int, list[str]] | None:
    """Line and content of `__all__`, or None if it is missing or not a list of strings."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            continue
        value = getattr(node, "value", None)
        items = value.elts if isinstance(value, ast.List) else [None]
        names = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        return (node.lineno, names) if len(names) == len(items) else None
    return None


def bound_names(body: list[ast.stmt]) -> set[str]:
    """Names that a module's statements bind, also inside its `if` and `try`."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.If | ast.Try):
            handled = [line for handler in getattr(node, "handlers", []) for line in handler.body]
            names |= bound_names([*node.body, *node.orelse, *handled])
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def markers(source: Source) -> Iterator[Finding]:
    """Nothing is left for later: no markers of unfinished work, and no stubs in the package."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if match := MARKER.search(line):
            yield source.finding(number, "unfinished", f"{match[0]} marks unfinished work; do it or file an issue.")
    raised = [node.exc for node in ast.walk(source.tree) if isinstance(node, ast.Raise) and source.in_package]
    for error in raised:
        name = error.func if isinstance(error, ast.Call) else error
        if isinstance(name, ast.Name) and name.id == "NotImplementedError":
            yield source.finding(
                name.lineno, "unfinished", "NotImplementedError is a stub; use an ABC or refuse by name."
            )


def file_names(source: Source) -> Iterator[Finding]:
    """File and folder names say what is inside."""
    path = PurePosixPath(source.path)
    words = {word for part in (*path.parts[:-1], path.stem) for word in re.split(r"[_\-.]", part.lower())}
    for word in sorted(words & VAGUE_WORDS | ({path.stem} & VAGUE_STEMS if source.is_python else set())):
        yield source.finding(1, "file-name", f"'{word}' says nothing about what is inside; name the subject.")


def randomness(source: Source) -> Iterator[Finding]:
    """The package draws randomness from the operating system only; `testing` and `codesign` hide nothing by it."""
    if not source.in_package or source.below("testing", "codesign"):
        return
    for node in ast.walk(source.tree):
        if name := predictable_source(node):
            sentence = f"{name} is predictable; expand os.urandom by tacit.ring.prg."
            yield source.finding(getattr(node, "lineno", 1), "randomness", sentence)


def predictable_source(node: ast.AST) -> str | None:
    """The name of the predictable generator that a node imports or touches, or None."""
    if isinstance(node, ast.Import):
        return next((a.name for a in node.names if a.name in {"random", "numpy.random"}), None)
    if isinstance(node, ast.ImportFrom):
        imported = f"{node.module}.{node.names[0].name}"
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        return imported if node.module in {"random", "numpy.random"} or names & {"numpy.random"} else None
    if not isinstance(node, ast.Attribute):
        return None
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    numpys = owner in {"np", "numpy"} and node.attr == "random"
    torches = owner == "torch" and TORCH_RANDOM.fullmatch(node.attr) is not None
    return f"{owner}.{node.attr}" if numpys or torches or node.attr in TENSOR_RANDOM else None


def prints(source: Source) -> Iterator[Finding]:
    """Only the command line prints."""
    if not source.in_package or source.below("cli"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield source.finding(node.lineno, "print", "only cli prints; return the text or log it.")


def environment(source: Source) -> Iterator[Finding]:
    """Only the command line reads environment variables; everything else is told by arguments."""
    if not source.in_package or source.below("cli"):
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute) or node.attr not in {"environ", "getenv", "putenv"}:
            continue
        if isinstance(node.value, ast.Name) and node.value.id == "os":
            yield source.finding(node.lineno, "environment", "only cli reads the environment; take an argument.")


def kernels(source: Source) -> Iterator[Finding]:
    """Only ring/native.py imports the compiled kernels, so that everything else sees checked and typed functions."""
    if not source.in_package or source.path == "src/tacit/ring/native.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            if any("._native." in f".{module}.{alias.name}." for alias in node.names):
                yield source.finding(node.lineno, "kernels", "only tacit.ring.native imports _native; call it there.")


RULES = (
    *(file_length, function_length, cpp_function_length, nesting, docstrings, all_is_true),
    *(markers, file_names, randomness, prints, environment, kernels),
)


def collect(root: Path) -> list[Source]:
    """Every source file below the folders that the rules hold for; hidden folders and caches left out."""
    sources: list[Source] = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if path.suffix in (*PYTHON, *CPP, ".sh") and path.is_file() and not hidden:
                sources.append(Source(relative.as_posix(), path.read_text(encoding="utf-8")))
    documented = documented_methods(sources)
    return [replace(source, documented=documented) for source in sources]


def check(source: Source) -> list[Finding]:
    """What every rule finds in one file, by line."""
    return sorted(finding for rule in RULES for finding in rule(source))


def main() -> int:
    """Check the tree below the folder given as argument, or below this file's repository."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    findings = [finding for source in collect(root) for finding in check(source)]
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} finding{'s' if len(findings) != 1 else ''}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
