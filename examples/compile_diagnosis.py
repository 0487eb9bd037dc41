"""Compile the diagnosis network into the files that Tacit ships: scores for the client, or the diagnosis alone.

Run `python examples/compile_diagnosis.py` (needs torch). Every compilation draws a fresh salt, so that the files get a
new digest each time; their meaning does not change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diagnosis_model import build_model

import tacit
from tacit.zoo import diagnosis

__all__ = ["REVEALS", "WEIGHT_BITS", "compile_diagnosis", "main"]

WEIGHT_BITS = 20
"""One column is in the thousands and another in thousandths, so that one weight is a million times another: with the
usual 14 fraction bits, the weights of the large columns would be whole numbers of one digit."""

REVEALS = {"diagnosis": "values", "label": "argmax"}
"""What the client learns, by the names of the files."""


def compile_diagnosis(reveal: str = "values", batch: int = 1) -> tacit.Plan:
    """The plan of the shipped network, ranges observed on the calibration samples; `batch` divides their number,
    100."""
    samples = diagnosis.load().calibration_measurements
    batches = [samples[start : start + batch] for start in range(0, len(samples), batch)]
    model = build_model(str(diagnosis.weights()))
    policy = tacit.Policy(trust="dealer", weight_bits=WEIGHT_BITS, reveal=reveal)
    return tacit.compile(model, torch.tensor(batches[0]), policy=policy, calibration=batches)


def main() -> None:
    """Write diagnosis.tacit and label.tacit with their public halves."""
    shipped = Path(str(diagnosis.weights())).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=shipped, help="folder to write the files to")
    out: Path = parser.parse_args().out
    for name, reveal in REVEALS.items():
        plan = compile_diagnosis(reveal)
        plan.save(out / f"{name}.tacit")
        plan.save_public(out / f"{name}.public.tacit")
        (out / f"{name}.tacit").chmod(0o644)  # no secret here, and an installed package must be readable
        print(f"{out}: {name}.tacit, {name}.public.tacit; plan {plan.digest[:16]}, one sample a run")
        print(plan.bill("loopback"))


if __name__ == "__main__":
    main()
