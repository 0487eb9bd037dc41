"""Products of two secrets, written from docs/protocol.md (section 5.11) alone."""

from __future__ import annotations

import numpy as np
from reference_numbers import PRODUCTS, Plan, Step, Words, mask, times

__all__ = ["crossed", "products"]


def products(plan: Plan) -> dict[int, Step]:
    """The products of a plan that need material, by site."""
    return {step.site: step for step in plan.steps if step.op in PRODUCTS and plan.protocol != "clear"}


def crossed(plan: Plan, step: Step, rank: int, seed: bytes, opened: list[Words], share: Words) -> Words:
    """A party's part of a product, from both opened values and its share z."""
    middle = np.uint64(1 << (step.k - 2))
    x, y = (c - middle for c in opened)
    half_x, half_y = (mask(seed, 2 + rank, i, plan.steps[i].shape, step.k) for i in step.inputs)
    part = share - times(step.op, x, half_y) - times(step.op, half_x, y)
    return part + times(step.op, x, y) if rank else part
