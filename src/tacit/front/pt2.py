"""The reading of .pt2 files without pickles: torch.export.load alone would run the code in a hostile file.

A file is taken apart and checked, and only its plain parts (JSON, raw tensors) are put together again for torch.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tacit.errors import InvalidFile

__all__ = ["read_program"]

_PLAIN = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id|version_id)|"
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_PROGRAM = "models/model.json"
_EXAMPLES = "data/sample_inputs/model.pt"  # a pickle, which is replaced by zeros of the shapes in _PROGRAM
_CODE_SIZE = 64 << 20


def read_program(path: Path) -> torch.export.ExportedProgram:
    """The program in a file of torch.export.save, with fixed shapes and no Python objects. Raises InvalidFile."""
    try:
        with zipfile.ZipFile(path) as archive:
            plain = _plain_parts(path, archive)
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError) as error:
        raise InvalidFile(f"{path.name} is truncated or not a file of torch.export.save") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(plain)
    except Exception as error:
        raise InvalidFile(
            f"{path.name} cannot be read by torch.export.load ({type(error).__name__}); export it again"
        ) from error


def _plain_parts(path: Path, archive: zipfile.ZipFile) -> io.BytesIO:
    """A new archive of the parts that cannot hold code, so that two readers of one file cannot disagree about them."""
    rebuilt = io.BytesIO()
    seen: dict[str, Any] = {}
    with zipfile.ZipFile(rebuilt, "w", zipfile.ZIP_STORED) as copy:
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if name in seen or not (name == _EXAMPLES or _PLAIN.fullmatch(name)):
                raise InvalidFile(
                    f"{path.name} holds {info.filename[:80]!r}, which is not read; export the model alone"
                )
            content = b"" if name == _EXAMPLES else archive.read(info)
            seen[name] = _checked_json(path, name, content) if name.endswith(".json") else None
            if name != _EXAMPLES:
                copy.writestr(f"model/{name}", content)
        copy.writestr(f"model/{_EXAMPLES}", _zeros(path, seen.get(_PROGRAM)))
    rebuilt.seek(0)
    return rebuilt


def _zeros(path: Path, program: Any) -> bytes:
    """Example inputs of the shapes that the program declares, since torch cannot do without any."""
    try:
        module = program["graph_module"]
        specs = [spec["user_input"]["arg"] for spec in module["signature"]["input_specs"] if "user_input" in spec]
        values = [module["graph"]["tensor_values"][arg["as_tensor"]["name"]] for arg in specs]
        examples = tuple(torch.zeros([size["as_int"] for size in value["sizes"]]) for value in values)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InvalidFile(f"{path.name} does not declare tensors of fixed shapes as its inputs") from error
    buffer = io.BytesIO()
    torch.save((examples, {}), buffer)
    return buffer.getvalue()


def _checked_json(path: Path, name: str, content: bytes) -> Any:
    """The document; pickled tensors are refused, and symbolic shapes, whose texts torch would evaluate as code."""
    try:
        document = json.loads(content) if len(content) <= _CODE_SIZE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidFile(f"{path.name} has a damaged {name}; export the model again")
    if document.get("range_constraints"):
        raise InvalidFile(f"{path.name} has open shapes; export the model without dynamic shapes")
    for key, value in _items(document):
        if key == "use_pickle" and value is not False:
            raise InvalidFile(f"{path.name} holds pickled tensors, which are never read; export plain dense tensors")
        if key in ("as_expr", "expr_str"):
            raise InvalidFile(f"{path.name} has open shapes; export the model without dynamic shapes")
        if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            raise InvalidFile(f"{path.name} holds Python objects, which are never read; export plain tensors")
    return document


def _items(document: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON document at any depth."""
    pending = [document]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield from current.items()
            pending += current.values()
        elif isinstance(current, list):
            pending += current
