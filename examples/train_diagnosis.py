"""Train the diagnosis network and write the weights and data that Tacit ships.

Run `python examples/train_diagnosis.py` (needs torch and scikit-learn; a few seconds on one CPU core). All of it is
seeded: the same versions on the same kind of CPU give the same files. The network sees standardised measurements while
it is trained; mean and spread of the training part are then folded into its first layer, so that the shipped network
takes raw measurements. `--seeds` trains on other splits too and shows how much the accuracy owes to chance.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diagnosis_model import DiagnosisNet, build_model, fold_standardisation
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Recipe", "Split", "accuracy", "load_split", "main", "train"]

ZOO = Path(__file__).resolve().parent.parent / "src" / "tacit" / "zoo" / "diagnosis"


@dataclass(frozen=True)
class Recipe:
    """How the network is trained: Adam on the cross entropy, with weight decay and smoothed labels."""

    seed: int = 20240605
    epochs: int = 60
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    smoothing: float = 0.1


@dataclass(frozen=True)
class Split:
    """Measurements float32 [N, 30], labels int64 [N], 0 malignant and 1 benign; 426 to train on, 143 to test with."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def load_split(seed: int) -> Split:
    """Scikit-learn's table, split by class in fixed proportions, always the same for one seed."""
    table = load_breast_cancer()
    measured = table.data.astype(np.float32)
    parts = train_test_split(measured, table.target, test_size=143, stratify=table.target, random_state=seed)
    train_x, test_x, train_y, test_y = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return Split(train_x, train_y.long(), test_x, test_y.long())


def train(split: Split, recipe: Recipe) -> DiagnosisNet:
    """A network of raw measurements; the test part is never looked at."""
    torch.manual_seed(recipe.seed)
    rng = torch.Generator().manual_seed(recipe.seed)
    model = DiagnosisNet().train()
    raw = split.train_x.double()
    mean, spread = raw.mean(0), raw.std(0)
    inputs, labels = ((raw - mean) / spread).float(), split.train_y
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(inputs), generator=rng).split(recipe.batch):
            loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen], label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    fold_standardisation(model, mean, spread)
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, measurements: Tensor, labels: Tensor) -> float:
    """The share of samples whose larger score is the label's."""
    return (model(measurements).argmax(1) == labels).double().mean().item()


def save(model: nn.Module, split: Split, folder: Path) -> None:
    """Write `weights.safetensors`, and `data.safetensors` with the test part and 100 training samples."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors({name: t.contiguous() for name, t in model.state_dict().items()}, str(folder / "weights.safetensors"))
    arrays = {
        "test_measurements": split.test_x.numpy(),
        "test_labels": split.test_y.numpy().astype(np.uint8),
        "calibration_measurements": split.train_x[:100].numpy(),
    }
    save_arrays(arrays, str(folder / "data.safetensors"))
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes for the owner alone, and an installed package must be readable


def main() -> None:
    """Train, report and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ZOO, help="folder for the weights and data (default: the package)")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="other seeds, to report on and not to save")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recipe = Recipe()
    split = load_split(recipe.seed)
    model = train(split, recipe)
    save(model, split, args.out)
    again = build_model(args.out / "weights.safetensors")
    wrong = again(split.test_x).argmax(1) != split.test_y
    print(f"train accuracy {accuracy(again, split.train_x, split.train_y):.4f}")
    print(f"test accuracy  {accuracy(again, split.test_x, split.test_y):.4f}")
    print(f"of {(split.test_y == 0).sum()} malignant {wrong[split.test_y == 0].sum()} are called benign,", end=" ")
    print(f"of {(split.test_y == 1).sum()} benign {wrong[split.test_y == 1].sum()} malignant; saved to {args.out}")
    for seed in args.seeds:
        other = load_split(seed)
        print(f"seed {seed}: test accuracy {accuracy(train(other, Recipe(seed)), other.test_x, other.test_y):.4f}")


if __name__ == "__main__":
    main()
