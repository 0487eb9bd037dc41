# %% [markdown]
# # Add a layer
#
# A layer is one file in `src/tacit/ops/`. Nothing registers it: the importers, the planner and the conformance suite
# list the folder. This page adds two, which lie beside it in `added/ops/`: running sums, which cost nothing, and
# softshrink, which costs two sign tests an element.

# %%
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import tacit
from tacit import ops
from tacit.testing.ops import check_op

ADDED = Path("added/ops") if Path("added").exists() else Path(__file__).resolve().parent / "added" / "ops"


# %% [markdown]
# ## The model that wants them
#
# PyTorch exports a running sum as one call, `aten.cumsum.default`. Softshrink it would take to pieces (`abs`, `sign`,
# `where`); an operator of your own stays whole, and has the name that you give it.


# %%
@torch.library.custom_op("examples::softshrink", mutates_args=())
def softshrink(x: torch.Tensor, threshold: float) -> torch.Tensor:
    """x moved towards zero by the threshold, and zero where it is smaller."""
    return functional.softshrink(x, threshold)


@softshrink.register_fake
def _(x: torch.Tensor, threshold: float) -> torch.Tensor:
    return torch.empty_like(x)


class Denoiser(nn.Module):
    """[N, 8] to [N, 4]: a running sum of what a layer finds, small parts taken for noise."""

    def __init__(self) -> None:
        super().__init__()
        self.find = nn.Linear(8, 16)
        self.judge = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of a batch."""
        return self.judge(softshrink(self.find(x).cumsum(1), 0.5))


torch.manual_seed(0)
model, data = Denoiser().eval(), torch.randn(40, 8)
try:
    tacit.compile(model, data[:4])
except tacit.TacitError as refused:
    print(refused)


# %% [markdown]
# ## The first file: a map that each party applies alone
#
# `cumsum.py` has five parts and a table:
#
# - `shape`: the shape of the result, and what it refuses;
# - `clear`: the meaning, in float64;
# - `lower`: the secret program, in the words of `secure/basis.py`. A running sum is a linear map with whole factors, so
#   that each party applies it to its part: `basis.local`. No bytes, no step, no material;
# - `bound`: how large the result can be, for policies that want proofs rather than calibration;
# - `aten`, `onnx`: which source calls it comes from, each with a function from their arguments to a node.

# %%
print((ADDED / "cumsum.py").read_text("utf-8"))


# %% [markdown]
# ## The second file: steps of the planner
#
# Nothing non-linear is local. `softshrink.py` has no `lower` but `place`, which writes steps that exist: two kinks, one
# at each threshold, that read one and the same opened value, and their sum. It takes the planner's word for scales,
# rings and truncation.

# %%
print((ADDED / "softshrink.py").read_text("utf-8"))


# %% [markdown]
# ## In they go
#
# In a checkout: put the files into `src/tacit/ops/` and start Python. Here, to leave the package as it is, the folder
# is made longer while the program runs, and the lists that were made before are forgotten.

# %%
ops.__path__.append(str(ADDED))
ops.names.cache_clear()
ops.adapters.cache_clear()

plan = tacit.compile(model, data[:4], calibration=data.split(4))
print(plan.bill("lan"))

private = tacit.simulate(plan, data[:4]).outputs[0]
clear = model(data[:4]).detach().numpy()
print(f"largest difference between private and clear: {abs(private - clear).max():.5f}")
assert abs(private - clear).max() < 0.01


# %% [markdown]
# ## The conformance suite
#
# For each drawing of a graph around the operation, alone and before a quartic, under every protocol: the private result
# equals `clear` within a stated number of units in the last place, and the bill equals what was sent, to the byte. In a
# checkout the drawings go into `CASES` of `tacit/testing/ops.py`, and the tests find them there.

# %%
check_op(
    "cumsum",
    [
        lambda s: [s.op("cumsum", s.input(2, 5, 3), attrs={"axis": 1, "length": 5})],
        lambda s: [s.op("cumsum", s.linear(s.input(2, 5, 3), 4), attrs={"axis": 2, "length": 4})],
    ],
)
check_op(
    "softshrink",
    [
        lambda s: [s.op("softshrink", s.input(2, 3, 4), attrs={"threshold": "1/2"})],
        lambda s: [s.op("softshrink", s.linear(s.input(2, 6), 5), attrs={"threshold": "1/3"})],
    ],
)
print("both conform")


# %% [markdown]
# A whole change has three more things: a line in `CHANGELOG.md`, the name taken off the lists of refusals in
# `front/names.py`, and a test that the import from PyTorch equals PyTorch, like those in `tests/ops/`.
