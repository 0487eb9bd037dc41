# %% [markdown]
# # Find a drift
#
# The private answers are off, or the imported model is not as good as it was. Which layer? `tacit compare` runs a model
# on three rungs, in floats, in the plan's integers and privately, measures every layer on each, and names the first
# that does not do what it should. Here it meets five cases: one healthy, four of the kind that cost people days.

# %%
import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from digits_model import build_model
from torch import nn

import tacit
from tacit.drift.compare import Comparison, compare
from tacit.drift.plot import save_plot
from tacit.front.load import load_model
from tacit.zoo import digits

work = Path(tempfile.mkdtemp(prefix="tacit-"))
table = digits.load()
calibration = torch.tensor(digits.preprocess(table.calibration_images), dtype=torch.float32)
images = digits.preprocess(table.test_images[:20])


def compiled(model: nn.Module, data: torch.Tensor = calibration, **policy: object) -> tacit.Plan:
    """The owner's plan, five images a run."""
    return tacit.compile(model, data[:5], policy=tacit.Policy(**policy), calibration=data.split(5))


def show(title: str, found: Comparison) -> None:
    """The verdict, and where the eye should go in a bill of layers."""
    print(f"{title}\n  {found.verdict()}\n")


# %% [markdown]
# ## Healthy
#
# The reference is the model as it was trained. Three numbers a layer: how far it is from the rung below, altogether and
# by its own doing (from the inputs that reached it), as nRMSE: root mean square over the range; and how many signs
# flipped. The private run has both parties in this process and puts their shares together. That is for testing, on your
# own data: no deployed party could do it.

# %%
model = build_model(str(digits.weights("relu")), "relu")
reference = load_model(model, calibration[:5])
healthy = compare(compiled(model), [images], reference=reference)
show("healthy", healthy)
assert healthy.first is None

print(f"{'layer':14}{'integers':>10}{'own':>10}{'private':>10}")
for node in healthy.layers:
    fixed, private = (healthy.rungs[name].get(node.id) for name in ("fixed", "private"))
    cells = (f"{fixed.whole.nrmse:10.0e}{fixed.own.nrmse:10.0e}" if fixed else f"{'':20}", private)
    print(f"{node.id:14}{cells[0]}{f'{private.whole.nrmse:10.0e}' if private else ''}")


# %% [markdown]
# ## The input is not what the model was trained on
#
# By far the commonest fault, and no layer's. Give what the reference pipeline makes of the same examples, and compare
# looks for the change that explains the difference: gain and offset, channel order, layout, orientation, size.

# %%
wrong = table.test_images[:20, None].astype(np.float64) / 255  # pixels go to 16 here, not to 255
found = compare(compiled(model), [wrong], reference=reference, reference_inputs=[images])
show("divided by 255", found)
assert found.first is not None
assert found.first.kind == "normalisation"


# %% [markdown]
# ## The weights are not those that were trained
#
# A conversion has swapped two output channels of one convolution. Accuracy suffers, nothing crashes, every shape is
# right.

# %%
swapped = copy.deepcopy(model)
with torch.no_grad():
    weight = swapped.features[3].weight
    weight[[0, 1]] = weight[[1, 0]]
found = compare(compiled(swapped), [images], reference=reference)
show("two channels swapped", found)
assert found.first is not None
assert found.first.layer == "features.3"


# %% [markdown]
# ## The numbers are too coarse
#
# Integers of few bits, asked for by a policy. Compare tells rounding, which is as large as the bits explain, from
# faults, which are not.

# %%
coarse = compare(compiled(model, ring=24, input_bits=6), [images], reference=reference)
show("six fraction bits", coarse)
assert coarse.first is not None
save_plot(coarse, work / "coarse.png")


# %% [markdown]
# ## The ranges are too small
#
# Calibrated on pale images, with no margin: then one arrives that is not pale. In a private run nobody notices; the
# numbers wrap around. Here one sees it: saturation.

# %%
pale = compiled(model, calibration / 8, margin=1.0)
found = compare(pale, [images], reference=reference)
show("calibrated on pale images", found)
assert found.first is not None
assert found.first.kind == "saturation"


# %% [markdown]
# ## From the shell
#
# `tacit compare model.tacit images.npy --reference trained.onnx --plot drift.png` does all this with files, and ends
# with status 1 if a layer drifts, for a place in continuous integration; `--json` for machines. `--reference-inputs`
# and `--reference-outputs` take arrays that another framework wrote.
