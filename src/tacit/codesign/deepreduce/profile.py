"""Profile: the stages of a net by spatial size, nets with ReLU in one stage alone, and how critical each stage is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tacit.codesign.sites import Site
from tacit.errors import InvalidInput

__all__ = ["WEIGHT", "Profile", "Stage", "criticality", "profile", "stages"]

#: The exponent of ReLU counts in the criticality: counts matter little, accuracy much.
WEIGHT = 0.07


@dataclass(frozen=True)
class Stage:
    """The activation sites that see feature maps of one spatial size (H, W), in order, and their values an input."""

    name: str
    size: tuple[int, ...]
    sites: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Profile:
    """The stages of a net, with the accuracy (0 to 1) of the net whose ReLUs are in that stage alone."""

    stages: tuple[Stage, ...]
    accuracy: tuple[float, ...]

    @property
    def criticality(self) -> tuple[float, ...]:
        """See `criticality`."""
        return criticality(self.accuracy, [stage.count for stage in self.stages])

    @property
    def order(self) -> tuple[Stage, ...]:
        """The stages, the least critical first; of equals the one with more ReLUs."""
        pairs = zip(self.stages, self.criticality, strict=True)
        return tuple(stage for stage, _ in sorted(pairs, key=lambda p: (p[1], -p[0].count)))


def stages(found: Sequence[Site]) -> tuple[Stage, ...]:
    """The stages S1, S2, ... of a net's activation sites, in the order in which their sizes first appear.

    Sites without spatial axes, after a classifier's layers, are a stage of their own. Raises InvalidInput for no site.
    """
    if not found:
        raise InvalidInput("this model has no activation, so that it has no stages to profile")
    groups: dict[tuple[int, ...], list[Site]] = {}
    for site in found:
        groups.setdefault(tuple(site.shape[1:]), []).append(site)
    return tuple(
        Stage(f"S{number}", size, tuple(site.name for site in members), sum(site.count for site in members))
        for number, (size, members) in enumerate(groups.items(), 1)
    )


def criticality(accuracy: Sequence[float], counts: Sequence[int], weight: float = WEIGHT) -> tuple[float, ...]:
    """How critical each stage is: (its accuracy - the least) / (its ReLUs / the fewest)^weight.

    From Jha et al., ICML 2021, section 3, with the exponent in the style of MnasNet. Raises InvalidInput for lists that
    are empty or of different lengths, and for counts that are not positive.
    """
    if not counts or len(counts) != len(accuracy) or min(counts) <= 0:
        raise InvalidInput("criticality needs an accuracy and a positive number of ReLUs for every stage")
    least, fewest = min(accuracy), min(counts)
    return tuple((a - least) / (n / fewest) ** weight for a, n in zip(accuracy, counts, strict=True))


def profile(found: Sequence[Site], accuracy: Callable[[Stage], float]) -> Profile:
    """The profile of a net with the activation sites `found`.

    `accuracy` trains the net that has ReLU in one stage alone, with distillation, and tells its accuracy (0 to 1).
    Raises InvalidInput for fewer than two stages: there would be nothing to cull.
    """
    parts = stages(found)
    if len(parts) < 2:
        raise InvalidInput("this net has one stage only, so that no stage can be culled; DeepReDuce needs two or more")
    return Profile(parts, tuple(accuracy(stage) for stage in parts))
