"""Sensitivity: what each choice at each site alone does to the model's loss and accuracy on held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tacit.codesign.data.sets import Data, Subset
from tacit.codesign.search.choices import EXACT, check_choices
from tacit.codesign.search.variants import recalibrate, variant
from tacit.codesign.seeding import generator
from tacit.codesign.training.evaluate import evaluate
from tacit.errors import InvalidInput

__all__ = ["Effect", "Table", "harms", "sensitivities"]

_BATCH = 128


@dataclass(frozen=True)
class Effect:
    """What one change did to the model: cross-entropy added, and top-1 accuracy lost (0 to 1), on held-out data."""

    loss: float
    top1: float


#: The effect of every choice at every site, by site and choice.
Table = dict[str, dict[str, Effect]]


def sensitivities(
    model: nn.Module,
    data: Data,
    sites: Sequence[str],
    choices: Sequence[str],
    reach: Mapping[str, float],
    *,
    examples: int = 512,
    repair: int = 4,
    seed: int = 0,
    device: str = "auto",
    known: Table | None = None,
    told: Callable[[Table, int, int], None] | None = None,
) -> Table:
    """The effect of each choice at each site, the others left as they are, after a repair that trains nothing.

    reach      the largest input of each site, which polynomials are stretched to cover
    examples   held-out examples to evaluate on, at most; the same for every choice
    repair     batches of training data on which batch norms learn their statistics anew; 0 repairs nothing
    known      what is known already and is not measured again
    told       called after each measurement with the table so far, how many are done and how many there are

    A loss that is not finite counts as ten times that of guessing. Raises InvalidInput for an empty held-out split.
    """
    _, *others = check_choices(choices)
    if not len(data.held_out):
        raise InvalidInput(f"{data.name} has no held-out examples to measure sensitivity on; raise held_out above 0")
    part = Subset(data.held_out, _drawn(len(data.held_out), examples, seed))
    example, batches = data.normalise(part.batch([0])[0]), _batches(data, repair, seed)
    reference = evaluate(model, part, data, device=device)
    most = 10 * math.log(data.classes)
    table: Table = {site: {EXACT: Effect(0.0, 0.0), **(known or {}).get(site, {})} for site in sites}
    wanted = [(site, choice) for site in sites for choice in others]
    for number, (site, choice) in enumerate(wanted):
        if choice not in table[site]:
            changed = recalibrate(variant(model, example, {site: choice}, reach), batches)
            found = evaluate(changed, part, data, device=device)
            loss = found.loss if math.isfinite(found.loss) else most
            table[site][choice] = Effect(min(loss, most) - reference.loss, reference.top1 - found.top1)
        if told is not None:
            told(table, number + 1, len(wanted))
    return table


def harms(table: Mapping[str, Mapping[str, Effect]]) -> dict[str, dict[str, float]]:
    """The losses of a table, by site and choice, as the choice under a budget takes them: what helps counts as 0."""
    return {site: {choice: max(0.0, effect.loss) for choice, effect in row.items()} for site, row in table.items()}


def _drawn(count: int, most: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=generator(seed, "sensitivity"))[:most].sort().values


def _batches(data: Data, count: int, seed: int) -> list[Tensor]:
    order = torch.randperm(len(data.train), generator=generator(seed, "repair"))[: count * _BATCH]
    return [data.normalise(data.train.batch(part)[0]) for part in order.split(_BATCH)] if count else []
