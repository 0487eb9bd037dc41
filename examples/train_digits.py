"""Train the two digits networks and write the weights and data that Tacit ships.

Run `python examples/train_digits.py` (needs torch and scikit-learn; half a minute on one CPU core). All of it is
seeded: the same versions on the same kind of CPU give the same files. For the network of polynomials the recipe is
PILLAR's: a task loss plus a penalty on large inputs of the activations, so that the polynomial is only ever evaluated
where it resembles ReLU. The network of ReLU and max-pool is trained in the same way, without any penalty.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from digits_model import NETS, Quartic, build_model, preprocess
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Recipe", "Split", "accuracy", "largest_inputs", "load_split", "main", "produce", "train"]

ZOO = Path(__file__).resolve().parent.parent / "src" / "tacit" / "zoo" / "digits"
WEIGHTS = {"digits": "weights.safetensors", "relu": "relu_weights.safetensors"}


@dataclass(frozen=True)
class Recipe:
    """How the network is trained; `reach` is the |input| of an activation at which the penalty sets in sharply."""

    seed: int = 20240605
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-3
    gradient_norm: float = 1.0
    smoothing: float = 0.05
    reach: float = 4.0
    power: int = 10
    strength: float = 1e-3
    limit: float = 8.0


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, 8, 8] with pixels 0..16 and labels int64 [N]; 1297 to train on, 500 to test with."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass
class Watch:
    """Records the input of every activation, unclipped, by the activation's name."""

    seen: dict[str, Tensor] = field(default_factory=dict)

    def attach(self, model: nn.Module) -> Watch:
        """Listen to every `Quartic` of the model from now on."""
        for name, module in model.named_modules():
            if isinstance(module, Quartic):
                module.register_forward_pre_hook(lambda _, args, name=name: self.seen.update({name: args[0]}))
        return self

    def penalty(self, recipe: Recipe) -> Tensor:
        """Mean over polynomial activations of the sum per image of (x / reach)^power; 0 if there are none."""
        terms = [((x / recipe.reach) ** recipe.power).sum() / x.shape[0] for x in self.seen.values()]
        return torch.stack(terms).mean() if terms else torch.zeros(())


def load_split(seed: int) -> Split:
    """Scikit-learn's digits, split by class in fixed proportions, always the same for one seed."""
    digits = load_digits()
    parts = train_test_split(
        digits.images.astype(np.uint8), digits.target, test_size=500, stratify=digits.target, random_state=seed
    )
    train_x, test_x, train_y, test_y = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return Split(train_x, train_y.long(), test_x, test_y.long())


def shifted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Move each image [N, 1, 8, 8] by -1, 0 or 1 pixel in each direction, filling with zeros."""
    padded = functional.pad(images, (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(images)), generator=rng)
    span = torch.arange(8)
    index = torch.arange(len(images))[:, None, None]
    moved = padded[index, 0, rows[:, None, None] + span[None, :, None], columns[:, None, None] + span[None, None, :]]
    return moved.unsqueeze(1)


def train(model: nn.Module, split: Split, recipe: Recipe) -> None:
    """Train in place; the test part is never looked at."""
    rng = torch.Generator().manual_seed(recipe.seed)
    inputs, labels = preprocess(split.train_images), split.train_labels
    steps = len(inputs) // recipe.batch
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5 * recipe.learning_rate, recipe.epochs * steps)
    watch = Watch().attach(model)
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(inputs), generator=rng)
        total = 0.0
        for step in range(steps):
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            logits = model(shifted(inputs[chosen], rng))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            (loss + recipe.strength * watch.penalty(recipe)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  loss {total / steps:.4f}")


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is the label's."""
    return (model(preprocess(images)).argmax(1) == labels).double().mean().item()


@torch.no_grad()
def largest_inputs(model: nn.Module, images: Tensor) -> dict[str, float]:
    """The largest |input| of every activation over all images, in evaluation and without any clipping."""
    watch = Watch().attach(model)
    model(preprocess(images))
    return {name: x.abs().max().item() for name, x in watch.seen.items()}


def save(model: nn.Module, split: Split, folder: Path, net: str) -> Path:
    """Write the weights, and `data.safetensors` with the test part and 100 training images; gives the weights' path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS[net]
    weights = {name: t.contiguous() for name, t in model.state_dict().items() if "num_batches" not in name}
    save_tensors(weights, str(path))
    arrays = {
        "test_images": split.test_images.numpy(),
        "test_labels": split.test_labels.numpy().astype(np.uint8),
        "calibration_images": split.train_images[:100].numpy(),
    }
    save_arrays(arrays, str(folder / "data.safetensors"))
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes for the owner alone, and an installed package must be readable
    return path


def produce(net: str, split: Split, recipe: Recipe, out: Path) -> bool:
    """Train one network, report and save; False, and nothing is saved, if an activation leaves its range."""
    torch.manual_seed(recipe.seed)
    model = NETS[net]()
    begin = time.perf_counter()
    train(model, split, recipe)
    model.eval()
    print(f"{net}: trained in {time.perf_counter() - begin:.0f} s")
    everything = torch.cat([split.train_images, split.test_images])
    largest = largest_inputs(model, everything)
    for name, value in largest.items():
        print(f"largest |input| of {name:12s} {value:.2f}")
    print(f"train accuracy {accuracy(model, split.train_images, split.train_labels):.4f}")
    print(f"test accuracy  {accuracy(model, split.test_images, split.test_labels):.4f}")
    if not all(value <= recipe.limit for value in largest.values()):  # also when one is not a number
        print(f"an activation sees more than {recipe.limit}: raise the penalty's strength", file=sys.stderr)
        return False
    path = save(model, split, out, net)
    print(f"saved {path}; reloaded {accuracy(build_model(path, net), split.test_images, split.test_labels):.4f}")
    return True


def main() -> int:
    """Train, check and save; the exit status is 1 if an activation leaves its range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ZOO, help="folder for the weights and data (default: the package)")
    parser.add_argument("--net", choices=sorted(NETS), nargs="*", default=list(NETS), help="which; both if not told")
    args = parser.parse_args()
    recipe = Recipe()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    split = load_split(recipe.seed)
    good = [produce(net, split, recipe, args.out) for net in args.net]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
