# %% [markdown]
# # A private diagnosis
#
# A clinic has measured the cell nuclei of a lump in a patient's breast: thirty numbers. A laboratory has a network that
# tells malignant from benign. The clinic must not hand out the patient's numbers, the laboratory will not hand out its
# network. With Tacit neither has to: **the clinic learns the diagnosis alone, the laboratory nothing**, and both can
# read beforehand what that rests on.
#
# The network and the table ([Wolberg et al., 1993](https://doi.org/10.24432/C5DW2B), CC BY 4.0) ship with Tacit; how
# the network was trained is in `train_diagnosis.py`. It is an example of a private computation, not a medical device.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from diagnosis_model import build_model

import tacit
from tacit.net.memory import pair
from tacit.net.record import record
from tacit.ring import bits
from tacit.zoo import diagnosis

work = Path(tempfile.mkdtemp(prefix="tacit-"))


# %% [markdown]
# ## What each side has
#
# The clinic sends the numbers as they are in the table, lengths next to areas next to ratios. Nobody standardises them:
# the means and spreads of the laboratory's patients are folded into the first layer, and stay where they are.

# %%
table = diagnosis.load()
patients, truth = table.test_measurements, table.test_labels
for name, value in list(zip(diagnosis.MEASUREMENTS, patients[0], strict=True))[:5]:
    print(f"{name:18} {value:10.4f}")

model = build_model(str(diagnosis.weights()))
with torch.no_grad():
    clear = model(torch.tensor(patients)).numpy()
print(f"\n{model}")
print(f"right about {(clear.argmax(1) == truth).mean():.1%} of the {len(truth)} patients that it was not trained on")


# %% [markdown]
# ## The laboratory makes a plan
#
# `reveal="argmax"` is the point of this page: the comparison of the two scores is done in secret too, so that the
# clinic gets one bit. Scores tell more than a diagnosis does: with enough of them one can rebuild the network.
#
# `weight_bits=20` was advice of the bill. A column in the thousands (the area) and one in thousandths (the error of the
# fractal dimension) make weights of which one is a million times another, and with the usual 14 fraction bits the
# smallest lose their digits. See what is measured on the calibration data:

# %%
samples = torch.tensor(table.calibration_measurements).split(1)
for weight_bits in (14, 20):
    policy = tacit.Policy(reveal="argmax", weight_bits=weight_bits)
    plan = tacit.compile(model, samples[0], policy=policy, calibration=samples)
    print(plan.bill("wan").reasons[0])


# %% [markdown]
# ## The clinic reads it before it agrees
#
# What follows is derived from the public half of the plan, by the clinic's own software.

# %%
public = plan.public()
for line in public.disclosure.lines():
    print("-", line)
print()
print(public.bill("wan"))


# %% [markdown]
# ## Twenty patients
#
# `simulate` runs the client, the server and the dealer in one process; each holds only what it would hold
# ([01](01_serve_your_model.py) does it with real processes over TLS). The answer is a label, and the same label as the
# network's in the clear.

# %%
answers = np.array([int(tacit.simulate(plan, patient[None]).outputs[0][0, 0]) for patient in patients[:20]])
for number in range(5, 10):
    said, is_so = diagnosis.CLASSES[answers[number]], diagnosis.CLASSES[truth[number]]
    print(f"patient {number}: {said:9} (in truth {is_so})")
assert (answers == clear[:20].argmax(1)).all()
print(f"private and clear agree on {len(answers)} of {len(answers)} patients")


# %% [markdown]
# ## What the laboratory sees
#
# Each number plus a mask that was drawn for this one question, modulo a power of two. Ask about the same patient twice
# and look at what arrives: two sequences that have nothing to do with the patient nor with each other. To tell either
# from random numbers one would have to break AES, which expands the clinic's seed into the masks.


# %%
def received_by_server(patient: np.ndarray) -> np.ndarray:
    """The masked measurements that cross the wire in one run, as fractions of the ring."""
    channels = pair()
    tape = record(channels[1], keep=True)
    tacit.simulate(plan, patient[None], channels=channels)
    ahead = sum(message.sender == 0 for message in plan.bill().messages("prime"))
    frame = [frame for frame in tape.frames if frame.direction == "received"][ahead]
    (wire,) = plan.inputs.values()
    words = bits.unpack(np.frombuffer(frame.payload, np.uint8), wire.ring, wire.shape)
    return words[0] / 2.0**wire.ring


first, second = received_by_server(patients[0]), received_by_server(patients[0])
assert not np.isclose(first, second).all()

figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
for axis, values, title in zip(
    axes,
    (patients[0], first, second),
    ("the clinic: thirty measurements of one patient", "the laboratory, asked once", "the laboratory, asked again"),
    strict=True,
):
    axis.bar(range(len(values)), values, color="tab:green" if axis is axes[0] else "tab:gray")
    axis.set_title(title, loc="left", fontsize=10)
axes[0].set_yscale("log")
axes[1].set_ylabel("fraction of the ring")
figure.savefig(work / "seen.png")


# %% [markdown]
# ## Try it
#
# - Leave out `reveal="argmax"`: two one-way steps and the comparison's keys less, two scores instead of one bit.
# - Divide the areas by 100 on both sides: with 14 fraction bits the error falls from 1.3e-2 to 2.3e-3, in a ring of 36
#   bits.
# - Serve it: `label.tacit`, this very plan, ships with Tacit. `python -c "from tacit.zoo import diagnosis;
#   print(diagnosis.plan(label=True))"` says where it is; [01](01_serve_your_model.py) has the rest.
