"""Write docs/zoo.md from the nets and their expected bills: `python tools/zoo_page.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from tacit import zoo
from tacit.net.shaper import LAN, WAN
from tacit.zoo.bills import POLICY, Facts, expected

__all__ = ["main", "page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "zoo.md"

_HEAD = """# The zoo

Published architectures in plain PyTorch, one file each in `src/tacit/zoo/nets`, with made weights or published ones.

```
tacit zoo                                                     # this table, for your machine's rates with --rates
tacit zoo resnet18 --out net.tacit                            # a plan with made weights, to measure with
tacit zoo resnet18 --weights resnet18.pth --out net.tacit     # with published weights
```

```python
from tacit import zoo
from tacit.zoo.published import load_weights

net = zoo.load("resnet18")
model = net.published.model()  # a torch module with made weights; net.small is a quick relative
load_weights(model, "resnet18.pth")
```

Names of parameters are torchvision's where it has the net, so its weight files load; no pickled code is ever run.
Softmax and decoding are left to the client, which gets the logits. Where a net looks words or categories up in a table,
the client does so itself and sends what it found, masked like any input: such tables are public to it.

## What one private inference costs

Batch 1, the published input size, activations of {bits} fraction bits, weights of {weights} or two fewer, smooth
functions within 2^-{smooth}, the rest of the policy as by default. Bytes are of frames above TLS. Seconds are predicted
for two cores of a Zen 4 processor, over a LAN (1 Gbit/s, 0.5 ms) and a WAN (100 Mbit/s, 40 ms); they begin with the
material made and loaded. `tacit compile` picks fewer bits where they are fine enough for your model, which costs less.

"""
_COLUMNS = (
    "net", "input", "parameters", "MACs", "activations", "steps", "online MB", "dealt MB", "LAN s", "WAN s"
)  # fmt: skip


def page() -> str:
    """The page's text."""
    facts = expected()
    lines = [
        _HEAD.format(bits=POLICY.input_bits, weights=POLICY.weight_bits, smooth=POLICY.smooth_bits).rstrip("\n"),
        "",
    ]
    lines += [f"| {' | '.join(_COLUMNS)} |", "|---|---|" + "---:|" * (len(_COLUMNS) - 2)]
    lines += [_row(name, facts[name]) for name in zoo.names()]
    lines += [
        "",
        "Steps are one-way messages that wait for each other; dealt is what the dealer sends to both parties for one",
        "inference, and about what they store until then. Activations count every comparison, also those of max-pools.",
        "",
        "## Where they are from",
        "",
    ]
    lines += [f"- `{name}`: {zoo.describe(name)}" for name in zoo.names()]
    return "\n".join(lines) + "\n"


def _row(name: str, facts: Facts) -> str:
    inputs = ", ".join("x".join(map(str, shape[1:])) for shape in facts.inputs)
    online = facts.bytes_client + facts.bytes_server
    cells = (
        *(name, inputs, f"{facts.parameters:,}", f"{facts.macs:,}", f"{facts.activations:,}", f"{facts.turns}"),
        *(f"{size / 1e6:,.2f}" for size in (online, facts.dealt)),
        *(f"{facts.seconds(link):.2f}" for link in (LAN, WAN)),
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    print(f"written to {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
