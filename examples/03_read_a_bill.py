# %% [markdown]
# # Read a bill and make it smaller
#
# A plan knows its cost before anything runs: every message, every byte of material, per layer. This page reads the bill
# of a CNN for digits, then turns one knob after another and looks at what each saves and what it takes away.

# %%
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from digits_model import build_model
from torch import nn

import tacit
from tacit.front.load import load_model
from tacit.zoo import digits

BATCH = 10
work = Path(tempfile.mkdtemp(prefix="tacit-"))
table = digits.load()
calibration = torch.tensor(digits.preprocess(table.calibration_images), dtype=torch.float32).split(BATCH)
images = digits.preprocess(table.test_images[:20])


# %% [markdown]
# ## A bill
#
# A row is a layer. From left to right:
#
# - **ring**: bits of every number in it. All bytes are proportional to it, and products in rings of at most 32 bits run
#   twice as fast.
# - **steps**: one-way messages online. On a line with 40 ms of round trip each costs 20 ms, whatever is in it.
# - **bytes online**: what travels between the question and the answer, both ways. Convolutions send nothing: look at
#   `features.3`.
# - **stored**: material for one run, made and sent ahead by the dealer. This is nearly all that a private run costs,
#   and nearly all of it is keys for the comparisons in ReLU and max-pool.
#
# Below are the reasons for what the planner chose. The same from the shell: `tacit bill model.tacit --network wan`.

# %%
cnn = build_model(str(digits.weights("relu")), "relu")
plan = tacit.compile(cnn, calibration[0], calibration=calibration)
print(plan.bill("wan"))

rows = sorted(plan.bill("wan").rows, key=lambda row: -sum(row.stored))
print("\nmost material:", ", ".join(f"{row.node} {sum(row.stored) / 1e6:.1f} MB" for row in rows[:3]))


# %% [markdown]
# `features.6` and `features.6.2` are one max-pool: a 2x2 window takes two rounds of maxima, three comparisons for four
# values. The planner has already put the ReLU behind it (the two commute), where there are four times fewer values.
#
# ## Turn the knobs
#
# For each: the bill, and on twenty test images the error of the logits (root mean square, over that of the logits) and
# how many answers changed. `load_model` reads a model once for many compilations; `tacit.compile` takes what it gives
# in place of the model.


# %%
@dataclass(frozen=True)
class Case:
    """What one way of making the plan costs for ten images, and what it does to the answers."""

    title: str
    steps: int
    online: float
    material: float
    wan_ms: float
    error: float
    changed: int


def case(title: str, net: str = "relu", **policy: object) -> Case:
    """Compile under a policy, read the bill, and ask about the test images."""
    model, graph = nets[net]
    made = tacit.compile(graph, calibration[0], policy=tacit.Policy(**policy), calibration=calibration)
    bill = made.bill("wan")
    private = np.concatenate([tacit.simulate(made, x).outputs[0] for x in np.split(images, len(images) // BATCH)])
    with torch.no_grad():
        clear = model(torch.tensor(images, dtype=torch.float32)).numpy()
    labels = private[:, 0] if made.settings["reveal"] == "argmax" else private.argmax(1)
    same = private.shape == clear.shape
    error = float(np.sqrt(((private - clear) ** 2).mean() / (clear**2).mean())) if same else float("nan")
    online, material = (sum(map(kind, (0, 1))) for kind in (lambda rank: bill.sent("online", rank), bill.stored))
    changed = int((labels != clear.argmax(1)).sum())
    return Case(title, bill.turns, online / 1e3, material / 1e6, 1e3 * bill.seconds(), error, changed)


quartics = build_model(str(digits.weights("digits")), "digits")
nets = {name: (model, load_model(model, calibration[0])) for name, model in (("relu", cnn), ("quartics", quartics))}
cases = [
    case("as it comes"),
    case('window="exact"', window="exact"),
    case("window=12", window=12),
    case("window=10", window=10),
    case("tolerance=0", tolerance=0.0),
    case("ring=28", ring=28, tolerance=1e-2),
    case('reveal="argmax"', reveal="argmax"),
    case("another net: quartics", "quartics"),
]
print(f"{'':24}{'steps':>6}{'kB online':>11}{'MB material':>13}{'WAN ms':>8}{'error':>9}{'changed':>9}")
for c in cases:
    costs = f"{c.steps:6}{c.online:11.0f}{c.material:13.1f}{c.wan_ms:8.0f}"
    print(f"{c.title:24}{costs}{c.error:9.0e}{c.changed:6} of {len(images)}")


# %% [markdown]
# ## What to make of it
#
# - **`window`** says how many bits of a number a sign test looks at. By default (`"auto"`) those below an activation's
#   resolution are left out, which costs nothing: truncation drops them too, and a max-pool may pick either of two
#   values that differ by less. Fewer bits are smaller keys, and larger values near zero may be taken for the other
#   sign: with `tie="negpass"` a small negative one passes a ReLU, with `"poszero"` a small positive one is cut off.
# - **`tolerance`** is the error that you accept. The planner tries narrow numbers first and stops at the first within
#   it, as measured on the calibration data. The default is 1e-3; with 0 it takes the finest.
# - **`ring`** forces a width. Narrower is cheaper everywhere, and coarser; the bill says by how much.
# - **`margin`** (4 by default) is how far beyond the largest value seen the ranges reach. Each halving saves a bit of
#   ring, and brings wrong answers for unusual inputs closer. Spend calibration data rather than margin.
# - **`reveal="argmax"`** costs a comparison of the logits, and tells the client the label alone.
# - **Quartics** instead of ReLU, average pools instead of max-pools: the largest saving by far, since no value is
#   compared with anything. But the network must be trained with them (`train_digits.py` does, with a penalty that keeps
#   the activations' inputs small). A polynomial dropped into a finished network will not do.
#
# Steps, not bytes, decide over a slow line; more examples in a run share them. Material decides over the dealer's bill.


# %%
def by_batch(size: int) -> float:
    """Milliseconds an image over the WAN, `size` images in a run."""
    made = tacit.compile(cnn, calibration[0][:size], calibration=torch.cat(calibration[:4]).split(size))
    return 1e3 * made.bill("wan").seconds() / size


for size in (1, 20):
    print(f"{size:3} images a run: {by_batch(size):6.1f} ms an image")


# %% [markdown]
# ## The line that a plan is made for
#
# Some gates come in two forms. A run that reveals the largest of 300 values takes 20 steps and few bytes if it looks
# for it by a tree, and 6 steps and many bytes if it compares all pairs. `network` says which link the plan is made for,
# and the planner takes what is faster there.

# %%
torch.manual_seed(0)
features = torch.rand(4, 64)
head = load_model(nn.Linear(64, 300), features)
for network in ("lan", "wan"):
    policy = tacit.Policy(reveal="argmax", network=network)
    bills = {line: tacit.compile(head, features, policy=policy).bill(line) for line in ("lan", "wan")}
    times = ", ".join(f"{1e3 * bill.seconds():.0f} ms over a {line}" for line, bill in bills.items())
    print(f"made for a {network}: {bills['lan'].turns} steps, {times}")


# %% [markdown]
# ## At a glance

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
places = np.arange(len(cases))[::-1]
for axis, values, title in (
    (axes[0], [c.material for c in cases], "material, MB a run"),
    (axes[1], [c.wan_ms for c in cases], "online over a WAN, ms a run"),
    (axes[2], [c.error for c in cases], "error of the logits"),
):
    axis.barh(places, values, color=["tab:blue" if number else "tab:gray" for number in range(len(cases))])
    axis.set_title(title, fontsize=10)
axes[0].set_yticks(places, [c.title for c in cases])
axes[2].set_xscale("log")
axes[2].set_xlim(left=1e-5)
axes[2].axvline(1e-3, color="black", linewidth=0.8, linestyle=":")
figure.savefig(work / "bills.png")
