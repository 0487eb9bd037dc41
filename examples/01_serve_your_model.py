# %% [markdown]
# # Serve your own model
#
# At the end of this page a server process answers a client who never shows it the input, and a third process, the
# dealer, has made the random numbers that both need and has seen neither side. All three run on this machine; the last
# section says what to change when they do not.
#
# Run it as it is, `python examples/01_serve_your_model.py`, or cell by cell in an editor that knows `# %%`.

# %%
import atexit
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from digits_model import build_model

import tacit
from tacit.zoo import digits

work = Path(tempfile.mkdtemp(prefix="tacit-"))


# %% [markdown]
# ## The owner: a model becomes two files
#
# Any `torch.nn.Module` in evaluation mode will do, or the path of an `.onnx` or `.pt2` file. This one is an unmodified
# CNN of ReLU and max-pool. What Tacit cannot run it refuses here, all of it at once, with what to do instead.
#
# The example gives the shapes, batch first: as many examples as one private run will take. The calibration data shows
# how large the values get in every layer, and must look like what clients will send: an input far outside gets a
# wrong answer that nobody notices. A hundred examples are a good start; they stay with the owner.

# %%
model = build_model(str(digits.weights("relu")), "relu")
images = torch.tensor(digits.preprocess(digits.load().calibration_images), dtype=torch.float32)
plan = tacit.compile(model, images[:5], calibration=images.split(5))

plan.save(work / "model.tacit")  # with the weights: for the owner alone
plan.save_public(work / "model.public.tacit")  # without: for whoever wants to know the cost and the promises
print(plan.bill("loopback"))


# %% [markdown]
# ## Keys: who may talk to whom
#
# Every party has a home, a folder with its certificate, those of the peers that it has enrolled, and its stock of
# material. `tacit keys quick` makes three homes that know each other, to try things on one machine.


# %%
def command(*words: object) -> list[str]:
    """The command line of `tacit WORDS...` under this Python; in a shell you would type `tacit` and the words."""
    return [sys.executable, "-m", "tacit.cli", *map(str, words)]


homes = work / "homes"
subprocess.run(command("keys", "quick", homes), check=True)


# %% [markdown]
# ## Two processes that serve
#
# The dealer needs nothing but its home. The server gets the owner's file and the dealer's address. Port 0 means any
# free one, and the ready file tells which it was; with fixed ports, 7070 and 7071 unless you say otherwise, you need
# neither.


# %%
def start(name: str, *words: object) -> tuple[subprocess.Popen[bytes], str]:
    """Start a command that listens; its process and its address."""
    ready = work / f"{name}.address"
    process = subprocess.Popen(command(*words, "--port", 0, "--ready-file", ready, "--home", homes / name))
    atexit.register(process.terminate)  # also when something below goes wrong
    while not ready.exists():
        if process.poll() is not None:
            raise SystemExit(f"the {name} did not start")
        time.sleep(0.05)
    return process, ready.read_text().strip()


dealer, dealer_address = start("dealer", "deal")
server, server_address = start("server", "serve", work / "model.tacit", "--dealer", dealer_address)


# %% [markdown]
# ## The client
#
# It needs neither torch nor the model's file. On the first connection it downloads the public half of the plan, derives
# from it who learns what, and compares that with its own policy before a byte of the input leaves. `prepare` gets
# material ahead of time: that is where most bytes go, and it can be done at night.

# %%
test = digits.load()
inputs = digits.preprocess(test.test_images[:5])
accepted = tacit.ClientPolicy(protocols=("masked", "fss"), plans=(plan.digest,))  # this very plan, and no other
with tacit.connect(server_address, home=homes / "client", dealer=dealer_address, policy=accepted) as client:
    for line in client.plan.disclosure.lines():
        print("-", line)
    client.prepare(1)
    logits = client.predict(inputs)
    print(f"online: {1e3 * client.spent.seconds:.1f} ms for {len(inputs)} images")

clear = model(torch.tensor(inputs, dtype=torch.float32)).detach().numpy()
print("private:", logits.argmax(1), " in the clear:", clear.argmax(1), " written:", test.test_labels[:5])
print(f"largest difference of a logit: {abs(logits - clear).max():.4f}")
assert (logits.argmax(1) == clear.argmax(1)).all()


# %% [markdown]
# ## A stranger is refused
#
# TLS 1.3 with certificates on both sides is not an option that one can forget: there is no other way in, but for a flag
# that is called `--insecure-plaintext`. A party that the server has not enrolled gets no further than the handshake,
# whatever it knows about the server.

# %%
stranger = work / "stranger"
subprocess.run(command("keys", "make", "stranger", "--home", stranger), check=True)
certificate = homes / "server" / "certificate.pem"
subprocess.run(command("keys", "enrol", certificate, "--as", "server", "--home", stranger), check=True)
try:
    tacit.connect(server_address, home=stranger)
except tacit.TacitError as error:
    print(f"{type(error).__name__}: {error}")
else:
    raise SystemExit("a stranger was let in")

# %%
for process in (server, dealer):
    process.terminate()
    process.wait()


# %% [markdown]
# ## On several machines
#
# Nothing changes in the code but addresses. Each of the three, on its own machine:
#
# 1. makes its key, which never leaves that machine: `tacit keys make server` (or `dealer`, `client`);
# 2. gets the two others' `certificate.pem`, compares the fingerprints with what their owners read out, and enrols them:
#    `tacit keys enrol dealer.pem --as dealer`;
# 3. starts:
#
# | | command | who must reach it |
# |---|---|---|
# | dealer | `tacit deal --host ''` | server and client, port 7071 |
# | server | `tacit serve model.tacit --host '' --dealer tacit://dealer.example:7071` | client, port 7070 |
# | client | `tacit query tacit://server.example:7070 x.npy --dealer tacit://dealer.example:7071` | nobody |
#
# What to think of:
#
# - **The dealer must be somebody else.** With the server it could read inputs, with the client it could take the
#   weights; alone it sees neither. A client refuses a server that is its own dealer.
# - **Pin what you rely on**: `ClientPolicy(servers=..., dealers=..., plans=...)` takes fingerprints and digests, and
#   can be a TOML file for `tacit query --policy`.
# - **Slow line?** `tacit bill model.public.tacit --network wan` says what to expect, `--link wan` emulates it here, and
#   [03](03_read_a_bill.py) makes the bill smaller.
