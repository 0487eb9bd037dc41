"""Where the functions of a C++ file begin and end, found by counting braces: enough for a style rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["cpp_functions"]

LABELS = re.compile(r"^(?:\s|\b(?:public|private|protected)\s*:)+")


def cpp_functions(text: str) -> Iterator[tuple[int, int]]:
    """First and last line of every function body that is not inside another, found by counting braces."""
    code = blank_cpp(text)
    scopes: list[int | None] = []  # for every open brace: the first line of the function it opens, or None
    head = 0
    for match in re.finditer(r"[{};]", code):
        here = match.start()
        if match[0] == "{":
            header = code[head:here]
            start = head + len(header) - len(LABELS.sub("", header))
            inside = any(first is not None for first in scopes)
            scopes.append(None if inside or not opens_function(header) else code.count("\n", 0, start) + 1)
        elif match[0] == "}" and scopes:
            first = scopes.pop()
            if first is not None:
                yield first, code.count("\n", 0, here) + 1
        head = here + 1


def blank_cpp(text: str) -> str:
    """The text with comments, literals and preprocessor lines overwritten by blanks, line breaks kept."""
    raw, comment, literal = r'R"(\w*)\((?s:.)*?\)\1"', r"//[^\n]*|/\*(?s:.)*?\*/", r'"(?:\\.|[^"\\\n])*"'
    # A quote behind a digit separates digits (1'000) and opens no character.
    pattern = rf"{raw}|{comment}|{literal}|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|(?m:^[ \t]*#(?:\\\n|[^\n])*)"
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def opens_function(header: str) -> bool:
    """Whether the text before an opening brace is a function's signature, not a type, a namespace or a value."""
    depth, plain = 0, []
    for char in re.sub(r"operator\s*[<>=]+|->|<=|>=|<<|>>=", " ", header):
        depth = max(0, depth + (char == "<") - (char == ">"))
        plain.append(char if depth == 0 and char != ">" else " ")
    rest = re.sub(
        r"\b(?:alignas|__attribute__|requires)\s*\([^()]*(?:\([^()]*\))?[^()]*\)|\btemplate\b", " ", "".join(plain)
    )
    words = r"(?:inline|static|typedef|export|public|private|protected|:|\s)*"
    is_scope = re.match(words + r"\b(?:namespace|class|struct|union|enum)\b", rest)
    return "(" in rest and is_scope is None and not rest.rstrip().endswith(("=", ",", "("))
