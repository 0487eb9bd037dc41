"""Every rule of tools/lint.py fails on a bad sample and passes its good twin; the tree itself is clean."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LATER = "TO" + "DO"


TOOLS = ROOT / "tools"


def _load() -> ModuleType:
    """The module, from a script that is in no package and imports its neighbour."""
    spec = importlib.util.spec_from_file_location("tacit_style_rules", TOOLS / "lint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(TOOLS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


lint = _load()
HEAD = '"""A module."""\n__all__: list[str] = []\n'
HERE = "src/tacit/ring/sample.py"


def rules_hit(text: str, path: str = HERE) -> list[tuple[str, int]]:
    """Rule and line of every finding."""
    return [(finding.rule, finding.line) for finding in lint.check(lint.Source(path, text))]


def nested(*openers: str) -> str:
    """A function holding the given statements, each inside the one before."""
    lines = ["def _f(x):", *("    " * (i + 1) + opener for i, opener in enumerate(openers))]
    return HEAD + "\n".join([*lines, "    " * (len(openers) + 1) + "pass"]) + "\n"


@pytest.mark.parametrize("path", ["src/tacit/ring/a.py", "cpp/ring/a.cc", "tests/ring/a.py", "tools/a.sh"])
def test_file_length(path: str) -> None:
    body = "\n" * (400 - HEAD.count("\n")) if path.endswith(".py") else "\n" * 400
    head = HEAD if path.endswith(".py") else ""
    assert rules_hit(head + body, path) == []
    assert rules_hit(head + body + "\n", path) == [("file-length", 401)]


def test_function_length() -> None:
    good = HEAD + "def _f():\n" + "    x = 1\n" * 59
    assert rules_hit(good) == []
    assert rules_hit(good + "    x = 1\n") == [("function-length", 3)]


def test_method_length_and_nested_function_length() -> None:
    body = "        x = 1\n" * 60
    assert rules_hit(HEAD + "class _C:\n    def f(self):\n" + body) == [("function-length", 4)]
    assert rules_hit(HEAD + "def _g():\n    def f():\n" + body) == [("function-length", 3), ("function-length", 4)]


CPP_LONG = {
    "plain": ("int f(int a) {\n", "}\n"),
    "operator": ("bool operator<(const A& a, const A& b) {\n", "}\n"),
    "in a namespace": ("namespace a::b {\nint f(int a) {\n", "}\n}\n"),
    "template": ("template <typename T, class U>\nauto f(T a) -> std::vector<U> {\n", "}\n"),
    "method": ("class A {\n public:\n  int f() const noexcept {\n", "}\n};\n"),
    "brace in a comment": ("int f() {  // {\n /* { */ char c = '{'; const char* s = \"{\";\n", "}\n"),
    "extern C": ('extern "C" {\nint f() {\n', "}\n}\n"),
    "initialiser list": ("A::A(int x) : a(x), b(1'000) {\n", "}\n"),
    "binding": ("NB_MODULE(_native, m) {\n", "}\n"),
}


@pytest.mark.parametrize("name", CPP_LONG)
def test_cpp_function_length(name: str) -> None:
    first, last = CPP_LONG[name]
    fill = 60 - 2 - (name == "template") - (name == "brace in a comment")
    good = first + "  if (a) { b = {1}; }\n" * fill + last
    assert rules_hit(good, "cpp/ring/a.cc") == []
    bad = first + "  if (a) { b = {1}; }\n" * (fill + 1) + last
    assert [rule for rule, _ in rules_hit(bad, "cpp/ring/a.cc")] == ["function-length"]


@pytest.mark.parametrize(
    "first",
    [
        "namespace a {\n",
        "struct A {\n",
        "template <class T>\nstruct A {\n",
        "alignas(64) static const int kTable[] = {\n",
        "enum class A : int {\n",
        "struct alignas(64) A {\n",
    ],
)
def test_long_types_and_tables_are_no_functions(first: str) -> None:
    assert rules_hit(first + "\n" * 100 + "};\n", "cpp/ring/a.cc") == []


def test_cpp_function_after_a_long_one_is_measured_by_itself() -> None:
    text = "#define X {\nint f() {\n" + "\n" * 61 + "}\nint g() {\n}\n"
    assert rules_hit(text, "cpp/ring/a.h") == [("function-length", 2)]


def test_nesting() -> None:
    assert rules_hit(nested("for a in x:", "if a:", "with a:")) == []
    assert rules_hit(nested("for a in x:", "if a:", "with a:", "while a:")) == [("nesting", 7)]
    assert rules_hit(nested("try:", "for a in x:", "if a:", "if x:")[:-1] + "\n    finally:\n        pass\n") == [
        ("nesting", 7)
    ]


def test_nesting_inside_except_and_match_counts() -> None:
    text = HEAD + "def _f(x):\n    try:\n        pass\n    except OSError:\n"
    text += "        if x:\n            if x:\n                if x:\n                    pass\n"
    assert rules_hit(text) == [("nesting", 9)]
    text = HEAD + "def _f(x):\n    match x:\n        case 1:\n"
    text += "            if x:\n                if x:\n                    if x:\n                        pass\n"
    assert rules_hit(text) == [("nesting", 8)]


def test_a_chain_of_elif_is_one_level() -> None:
    chain = "    if x == 0:\n        pass\n" + "".join(f"    elif x == {i}:\n        pass\n" for i in range(1, 9))
    assert rules_hit(HEAD + "def _f(x):\n" + chain) == []


def test_a_nested_function_starts_again() -> None:
    text = HEAD + "def _f(x):\n    if x:\n        if x:\n            def g():\n"
    text += "                if x:\n                    pass\n"
    assert rules_hit(text) == []


def test_docstrings() -> None:
    assert rules_hit("__all__: list[str] = []\n") == [("docstring", 1)]
    good = '"""M."""\n__all__ = ["C", "f"]\nclass C:\n    """C."""\n    @property\n    def p(self):\n        """P."""\n'
    good += '    def _q(self): ...\n    def __len__(self): ...\ndef f():\n    """F."""\n'
    assert rules_hit(good) == []
    for documentation, line in (("C", 3), ("P", 6), ("F", 10)):
        bad = good.replace(f'"""{documentation}."""', "...")
        assert rules_hit(bad) == [("docstring", line)]
    assert rules_hit(good.replace('"""F."""', "..."), "tests/ring/test_a.py") == []


def test_an_override_borrows_the_docstring_of_a_documented_method_only(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "tacit" / "ring"
    folder.mkdir(parents=True)
    parent = '"""M."""\n__all__ = ["A"]\nclass A:\n    """A."""\n    def f(self):\n        """F."""\n'
    (folder / "parent.py").write_text(parent)
    child = '"""M."""\n__all__ = ["B", "C"]\nimport parent\nclass B(parent.A):\n    """B."""\n'
    child += 'class C(B):\n    """C."""\n    def f(self): ...\n    def g(self): ...\n'
    (folder / "child.py").write_text(child)
    findings = [str(finding) for source in lint.collect(tmp_path) for finding in lint.check(source)]
    assert len(findings) == 1
    assert findings[0].startswith("src/tacit/ring/child.py:9: docstring: g is public")


def test_all_must_exist_and_be_true() -> None:
    assert rules_hit('"""M."""\nimport os\n') == [("all", 1)]
    assert rules_hit('"""M."""\n__all__ = ("A",)\nA = 1\n') == [("all", 1)]
    assert rules_hit('"""M."""\n__all__ = ["A", "B"]\nA = 1\n') == [("all", 2)]
    assert rules_hit('"""M."""\n__all__ = ["A", "A"]\nA = 1\n') == [("all", 2), ("all", 2)]
    assert rules_hit('"""M."""\n__all__ = []\ndef f():\n    """F."""\n') == [("all", 3)]


def test_all_knows_every_way_to_bind_a_name() -> None:
    text = '"""M."""\n__all__ = ["A", "B", "c", "d", "e", "f"]\nA: int = 1\nB, x = 1, 2\nfrom m import y as c\n'
    text += "try:\n    import d\nexcept ImportError:\n    d = None\nif x:\n    e = 1\nfor f in []: pass\n"
    assert rules_hit(text) == []


def test_all_is_not_asked_of_main_modules_tests_and_bare_packages() -> None:
    assert rules_hit('"""M."""\nimport os\n', "src/tacit/__main__.py") == []
    assert rules_hit('"""M."""\nimport os\n', "tests/ring/test_a.py") == []
    assert rules_hit('"""M."""\nfrom __future__ import annotations\n', "src/tacit/ring/__init__.py") == []
    assert rules_hit("", "src/tacit/ring/__init__.py") == []


@pytest.mark.parametrize("word", [LATER, "FIX" + "ME", "XX" + "X", "HA" + "CK"])
def test_unfinished_work(word: str) -> None:
    assert rules_hit(f"// {word}: later\n", "cpp/a.cc") == [("unfinished", 1)]
    assert rules_hit(f"{HEAD}# {word} later\n") == [("unfinished", 3)]
    assert rules_hit(f"{HEAD}_{word}S = 1\n") == []


def test_stubs() -> None:
    text = HEAD + "def _f():\n    raise NotImplementedError\n"
    assert rules_hit(text) == [("unfinished", 4)]
    assert rules_hit(text.replace("Error", "Error()")) == [("unfinished", 4)]
    assert rules_hit(text, "tests/ring/test_a.py") == []
    assert rules_hit(HEAD + "try:\n    _f()\nexcept NotImplementedError:\n    pass\n") == []


@pytest.mark.parametrize(
    "path",
    [
        "src/tacit/ring/utils.py",
        "src/tacit/ring/key_manager.py",
        "src/tacit/ring/base.py",
        "src/tacit/plan/config.py",
        "src/tacit/engine/x.py",
        "cpp/ring/gemm_helper.cc",
        "tests/net/test_context.py",
    ],
)
def test_file_names(path: str) -> None:
    text = HEAD if path.endswith(".py") else ""
    assert rules_hit(text, path) == [("file-name", 1)]


@pytest.mark.parametrize("path", ["cpp/base/tier.cc", "src/tacit/plan/database.py", "src/tacit/serve/config_page.py"])
def test_good_file_names(path: str) -> None:
    assert rules_hit(HEAD if path.endswith(".py") else "", path) == []


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "import numpy.random",
        "from numpy import random",
        "from random import choice",
        "from numpy.random import default_rng",
        "_x = np.random.default_rng()",
        "_x = torch.rand(3)",
        "_x = torch.randint_like(_y, 3)",
        "_x = torch.Generator()",
        "_x = _y.normal_()",
    ],
)
def test_randomness(line: str) -> None:
    assert rules_hit(f"{HEAD}{line}\n") == [("randomness", 3)]
    assert rules_hit(f"{HEAD}{line}\n", "tests/ring/test_a.py") == []
    assert rules_hit(f"{HEAD}{line}\n", "src/tacit/testing/shapes.py") == []
    assert rules_hit(f"{HEAD}{line}\n", "src/tacit/codesign/training/loop.py") == []


def test_honest_randomness() -> None:
    assert (
        rules_hit(HEAD + "import os, secrets\n_x = os.urandom(16) + secrets.token_bytes(3)\n_y = torch.zeros(3)\n")
        == []
    )


def test_prints() -> None:
    assert rules_hit(HEAD + "print(1)\n") == [("print", 3)]
    assert rules_hit(HEAD + "print(1)\n", "src/tacit/cli/bill.py") == []
    assert rules_hit(HEAD + "_console.print(1)\n") == []


def test_environment() -> None:
    for line in ("_x = os.environ['A']", "_x = os.getenv('A')"):
        assert rules_hit(f"{HEAD}{line}\n") == [("environment", 3)]
        assert rules_hit(f"{HEAD}{line}\n", "src/tacit/cli/bill.py") == []


@pytest.mark.parametrize(
    "line",
    ["import tacit._native", "from tacit import _native", "from tacit._native import prg", "from . import _native"],
)
def test_kernels(line: str) -> None:
    assert rules_hit(f"{HEAD}{line}\n") == [("kernels", 3)]
    assert rules_hit(f"{HEAD}{line}\n", "src/tacit/ring/native.py") == []
    assert rules_hit(f"{HEAD}{line.replace('_native', 'ring.native')}\n") == []


def test_a_file_that_does_not_parse_is_left_to_ruff() -> None:
    assert rules_hit("def f(:\n") == []


def test_main_reports_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src" / "tacit").mkdir(parents=True)
    (tmp_path / "src" / "tacit" / "utils.py").write_text(HEAD)
    monkeypatch.setattr(sys, "argv", ["lint.py", str(tmp_path)])
    assert lint.main() == 1
    assert capsys.readouterr().out.splitlines()[0].startswith("src/tacit/utils.py:1: file-name: 'utils'")
    (tmp_path / "src" / "tacit" / "utils.py").rename(tmp_path / "src" / "tacit" / "ring.py")
    assert lint.main() == 0
    assert capsys.readouterr().out == ""


def test_the_rules_find_the_tree() -> None:
    paths = [source.path for source in lint.collect(ROOT)]
    assert "tools/lint.py" in paths
    assert "src/tacit/errors.py" in paths
    assert not any("__pycache__" in path or path.startswith(".") for path in paths)
    assert all(source.text for source in lint.collect(ROOT) if source.path == "src/tacit/errors.py")
