"""Compile the digits networks into the files that Tacit ships: of each the owner's, with weights, and the public one.

Run `python examples/compile_digits.py` (needs torch). Every compilation draws a fresh salt, so that the files get a new
digest each time; their meaning does not change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from digits_model import INPUT_SHAPE, NETS, build_model

import tacit
from tacit.zoo import digits

__all__ = ["BATCH", "compile_digits", "main"]

BATCH = 25
"""Images in one private run: one round trip per activation layer, shared by this many."""

MARGIN = 4.0
"""How far beyond the largest value seen on the calibration images every range reaches."""


def compile_digits(batch: int = BATCH, net: str = "digits") -> tacit.Plan:
    """The plan of a shipped network, ranges observed on the calibration images, which are a part of the training
    part; `batch` divides their number, 100."""
    images = digits.preprocess(digits.load().calibration_images)
    batches = [images[start : start + batch] for start in range(0, len(images), batch)]
    model = build_model(str(digits.weights(net)), net)
    policy = tacit.Policy(trust="dealer", margin=MARGIN)
    return tacit.compile(model, torch.zeros(batch, *INPUT_SHAPE), policy=policy, calibration=batches)


def main() -> None:
    """Write digits.tacit and relu.tacit with their public halves."""
    shipped = Path(str(digits.weights())).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=BATCH, choices=[1, 2, 4, 5, 10, 20, 25], help="images per run")
    parser.add_argument("--net", choices=sorted(NETS), nargs="*", default=list(NETS), help="which; both if not told")
    parser.add_argument("--out", type=Path, default=shipped, help="folder to write the files to")
    args = parser.parse_args()
    for net in args.net:
        plan = compile_digits(args.batch, net)
        plan.save(args.out / f"{net}.tacit")
        plan.save_public(args.out / f"{net}.public.tacit")
        (args.out / f"{net}.tacit").chmod(0o644)  # no secret here, and an installed package must be readable
        print(f"{args.out}: {net}.tacit, {net}.public.tacit; plan {plan.digest[:16]}, {args.batch} images a run")
        print(plan.bill("loopback"))


if __name__ == "__main__":
    main()
