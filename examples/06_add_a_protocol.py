# %% [markdown]
# # Add a protocol
#
# A protocol is one folder in `src/tacit/protocols/` whose `__init__.py` declares a table of kernels and a statement of
# what it promises. Nothing registers it. This page adds a small one, `added/protocols/rounded/`, and lets the published
# conformance suite take it through every reading: dry, deal, prime, online, and a run between real parties.
#
# The idea: fine answers give a model away faster than coarse ones
# ([Tramèr et al., 2016](https://www.usenix.org/conference/usenixsecurity16/technical-sessions/presentation/tramer)), so
# the client shall get every output four bits coarser than the plan could show it. All but the last step is as in
# `masked`.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import tacit
from tacit import protocols
from tacit.secure.cost import Cost
from tacit.secure.protocol import load_protocol
from tacit.testing.graphs import residual_net
from tacit.testing.protocols import check_protocol, plan_under

here = Path("added/protocols")
ADDED = here if here.exists() else Path(__file__).resolve().parent / here
work = Path(tempfile.mkdtemp(prefix="tacit-"))


# %% [markdown]
# ## The declaration
#
# `kernels` gives the words of `secure/basis.py` that the protocol speaks. Words of the hub are shared by all: whatever
# leaves a share behind that the hub knows can be mixed with any other protocol, step by step, at no cost.
#
# The statement is what a client reads before its first byte. It must be true of *this* protocol: here it also says what
# rounding does not achieve.

# %%
print((ADDED / "rounded" / "__init__.py").read_text("utf-8"))


# %% [markdown]
# ## The kernel
#
# One function per reading, and two that see no payload:
#
# - `_out`: the wire that the step makes: shape, ring, scale, and whether the client's part is fixed ahead (`preset`);
# - `_cost`: every message with sender, receiver and bytes, and what is kept until then. This is the bill;
# - `_deal`: what the dealer makes for one party. Here nothing. What a protocol needs is declared as a `Demand` with its
#   `ideal`, as in `protocols/masked/poly.py`;
# - `_prime`: what client and server do ahead of the query;
# - `reveal`: what they do when it counts. `s.rank` says who we are; a party holds nothing that it should not know.

# %%
print((ADDED / "rounded" / "reveal.py").read_text("utf-8"))


# %% [markdown]
# ## In it goes
#
# In a checkout: put the folder into `src/tacit/protocols/`. Here the folder of protocols is made longer while the
# program runs. `check_protocol` then runs a residual net and one with re-masking: answers, the bill to the byte at each
# party in each phase, equal wires in all readings, and the same with a dealer, a server and a client that have homes on
# disk. In a checkout the tests call it for every folder.

# %%
protocols.__path__.append(str(ADDED))
check_protocol("rounded", work / "conforms")
print("rounded conforms")


# %% [markdown]
# ## See it fail
#
# A check that cannot fail is worth nothing. A kernel that forgets to mention its message:

# %%
rounded = load_protocol("rounded")
honest = rounded.kernels["reveal"]
rounded.kernels["reveal"] = replace(honest, cost=lambda s, y: Cost(kept=((0, y.packed),)))
try:
    check_protocol("rounded", work / "fails")
except AssertionError as error:
    print(f"AssertionError: {error}")
else:
    raise SystemExit("a wrong bill was not noticed")
finally:
    rounded.kernels["reveal"] = honest


# %% [markdown]
# ## What it saves, and what it promises
#
# The bill of one net under `masked` and with the new last step, and what the client learns from one answer. Then the
# limit that the statement speaks of: the offset at which an answer is rounded is fresh in every run, so that answers to
# one and the same question scatter around the truth, and their mean is finer than any of them.

# %%
graph, inputs = residual_net(batch=1)
plans = {name: plan_under(name, graph, inputs) for name in ("masked", "rounded")}
runs = {name: [tacit.simulate(plan, *inputs).outputs[0] for _ in range(64)] for name, plan in plans.items()}
fine = np.mean(runs["masked"], 0)  # what both should equal
for name, plan in plans.items():
    last, one, mean = plan.bill().rows[-1], runs[name][0], np.mean(runs[name], 0)
    errors = f"off by {abs(one - fine).max():.0e} in one answer, {abs(mean - fine).max():.0e} in the mean of 64"
    print(f"{name:8} last message {last.sent('online', 1)} bytes; {errors}")
print("\n".join(plans["rounded"].disclosure.lines()))


# %% [markdown]
# A whole change has more: known-answer or property tests of the kernel, a paragraph in `SECURITY.md` on what it reveals
# to whom, the wire in `docs/protocol.md`, and `Policy.protocols`, which says under which trust the planner may choose
# it. Until then no plan has it, and a client whose `ClientPolicy` does not name it refuses a plan that does.
