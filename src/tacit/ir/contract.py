"""Sums of products over named axes, of two activations or of one and a constant, as the operations that there are."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from tacit.ir.expr import Expr
from tacit.ir.graph import Attr
from tacit.ir.source import Constant, Step, Unsupported, Value

__all__ = ["contracted", "matrix_letters"]

Operand = Value | Constant


def _shape(x: Operand) -> tuple[int, ...]:
    return x.shape if isinstance(x, Value) else x.array.shape


def matrix_letters(x: Operand, y: Operand) -> tuple[str, str, str]:
    """The axes of a product of matrices in the last two axes, or vectors; axes of size 1 before them do not match.

    Raises Unsupported.
    """
    ranks = [len(_shape(x)), len(_shape(y))]
    if not all(ranks):
        raise Unsupported("never", "a product of matrices with a number", "Use multiplication.")
    lead = "".join(chr(ord("a") + i) for i in range(max(*ranks, 2) - 2))
    left, right = (lead[len(lead) - max(0, rank - 2) :] for rank in ranks)
    rows, columns = "y" * (ranks[0] > 1), "z" * (ranks[1] > 1)
    return f"{left}{rows}x", f"{right}x{columns}", f"{lead}{rows}{columns}"


def contracted(x: Operand, y: Operand, of_x: str, of_y: str, out: str) -> Value | Step:
    """The sum of x times y over the axes whose letters `out` lacks, its axes in the order of `out`, as einsum says.

    Raises Unsupported when both are constants, letters are repeated, or sizes do not fit.
    """
    if isinstance(x, Constant):
        if isinstance(y, Constant):
            raise Unsupported("never", "a product of constants", "Compute it before.")
        return contracted(y, x, of_y, of_x, out)
    sizes = _sizes((of_x, _shape(x)), (of_y, _shape(y)))
    if any(len(set(letters)) < len(letters) for letters in (of_x, of_y, out)) or not set(out) <= set(of_x + of_y):
        raise Unsupported("not yet", f"a sum of products {of_x},{of_y}->{out}", "Name every axis once.")
    left, of_x = _summed(Expr.of(x), of_x, of_y + out, sizes)
    both = [c for c in of_x if c in of_y]
    inner, batch = [c for c in both if c not in out], [c for c in both if c in out]
    rows, columns = [c for c in of_x if c not in both], [c for c in of_y if c not in both and c in out]
    arranged = _arranged(left, of_x, (batch, rows, inner), sizes)
    if not of_y and isinstance(y, Constant) and not y.trained:
        found = list(of_x)
        return left.permute(*(found.index(c) for c in out)).tree
    if isinstance(y, Value):
        right, of_y = _summed(Expr.of(y), of_y, of_x + out, sizes)
        made = arranged @ _arranged(right, of_y, (batch, inner, columns), sizes)
    else:
        made = _by_constant(arranged, y, of_y, (batch, columns, inner), sizes)
    found = [*batch, *rows, *columns]
    return made.reshape(*(sizes[c] for c in found)).permute(*(found.index(c) for c in out)).tree


def _sizes(*named: tuple[str, tuple[int, ...]]) -> dict[str, int]:
    """The size of each letter's axis. Raises Unsupported."""
    sizes: dict[str, int] = {}
    for letters, shape in named:
        if len(letters) != len(shape):
            raise Unsupported("never", f"axes {letters!r} of an array of shape {shape}", "Correct the model.")
        for letter, size in zip(letters, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                what = "axes of one name and different sizes in a sum of products"
                raise Unsupported("not yet", what, "Repeat axes of size 1 before, with expand.")
    return sizes


def _summed(x: Expr, letters: str, kept: Iterable[str], sizes: dict[str, int]) -> tuple[Expr, str]:
    """x summed over the axes that nothing else has."""
    alone = [c for c in letters if c not in kept]
    if not alone:
        return x, letters
    axes = [letters.index(c) for c in alone]
    rest = "".join(c for c in letters if c not in alone)
    mean = Expr(Step("mean", (x.tree,), {"axes": list(axes), "keepdims": False}), tuple(sizes[c] for c in rest))
    return mean.poly(0, prod(sizes[c] for c in alone)), rest


def _arranged(x: Expr, letters: str, groups: Iterable[list[str]], sizes: dict[str, int]) -> Expr:
    """x with one axis for each group of letters."""
    parts = list(groups)
    turned = x.permute(*(letters.index(c) for group in parts for c in group))
    return turned.reshape(*(prod(sizes[c] for c in group) for group in parts))


def _by_constant(
    x: Expr, y: Constant, letters: str, groups: tuple[list[str], list[str], list[str]], sizes: dict[str, int]
) -> Expr:
    """x of [batch, rows, inner] by a constant, to [batch, rows, columns]: linear, or a convolution in groups."""
    array = y.array.transpose([*(letters.index(c) for group in groups for c in group), *_alone(letters, groups)])
    array = array.reshape(*(prod(sizes[c] for c in group) for group in groups), -1).sum(-1)
    kept = not _alone(letters, groups)
    name = f"{y.name}.{letters}.{''.join(groups[1])}" if y.name and kept else ""
    count, wide, deep = array.shape
    if count == 1:
        return x.linear(Constant(array[0], name, y.trained))
    if wide == deep == 1:
        turned = x.reshape(count, -1).permute(1, 0).affine(1, Constant(array.reshape(-1), name, y.trained))
        return turned.permute(1, 0).reshape(count, -1, 1)
    weight = Constant(array.reshape(count * wide, deep, 1, 1), name, y.trained)
    rows = x.shape[1]
    image = x.permute(1, 0, 2).reshape(rows, count * deep, 1, 1)
    attrs: dict[str, Attr] = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": count}
    made = Expr(Step("conv", (image.tree,), attrs, {"weight": weight}), (rows, count * wide, 1, 1))
    return made.reshape(rows, count, wide).permute(1, 0, 2)


def _alone(letters: str, groups: Iterable[list[str]]) -> list[int]:
    """The axes of a constant that nothing else has, over which it is summed."""
    named = {c for group in groups for c in group}
    return [a for a, c in enumerate(letters) if c not in named]
