"""Write docs/zoo.md from the nets, their expected bills and how right they were: `python tools/zoo_page.py`."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from tacit import zoo
from tacit.net.shaper import LAN, WAN
from tacit.zoo.bills import POLICY, Facts, expected

__all__ = ["main", "page"]

_ROOT = Path(__file__).resolve().parent.parent
PAGE = _ROOT / "docs" / "zoo.md"
AGREEMENT = _ROOT / "bench" / "results" / "agreement.json"

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
_AGREEMENT = """## How right it is

`python bench/agreement.py` compares, for the same plans, PyTorch in float32 with the plan's integers in the clear, on
made inputs that calibration has not seen, and these integers with private runs of all parties. nRMSE is the root mean
square difference over the root mean square of the outputs; at most 1e-3 is wanted. A label, the argmax of an output or
its sign, is clear when it leads by four times as much as that allows; 99.9 % of the clear ones must be equal. A private
run may differ from the integers by no more than the bound that the plan states (`Plan.noise`, measured when it is
compiled), and labels that lead by twice the bound must all be equal. Ranges are calibrated on four inputs. The larger a
net, the fewer the inputs."""
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
        *_agreement(),
        "## Where they are from",
        "",
    ]
    lines += [f"- `{name}`: {zoo.describe(name)}" for name in zoo.names()]
    return "\n".join(lines) + "\n"


def _agreement() -> list[str]:
    """The section on what `bench/agreement.py` has measured; nothing where it was not run."""
    if not AGREEMENT.exists():
        return []
    nets = json.loads(AGREEMENT.read_text("utf-8"))["nets"]
    lines = [*_AGREEMENT.splitlines(), ""]
    columns = ("net", "inputs", "nRMSE", "clear labels", "of them equal", "private runs", "furthest off", "bound")
    lines += [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return [*lines, *(_agreed(name, nets[name]) for name in sorted(nets)), ""]


def _agreed(name: str, row: dict[str, Any]) -> str:
    """One net's line: the worst of its outputs."""
    outputs, hidden = row["outputs"], row.get("private")
    nrmse = max(math.sqrt(gap["squares"] / gap["size"]) for gap in outputs)
    decisions, clear, same = (sum(gap[key] for gap in outputs) for key in ("decisions", "clear", "same"))
    cells = [
        name,
        f"{row['inputs']:,}",
        f"{nrmse:.1e}",
        f"{clear:,} of {decisions:,}",
        f"{100 * same / max(clear, 1):.2f} %",
    ]
    if hidden is None:
        return f"| {' | '.join([*cells, '-', '-', '-'])} |"
    bounds = hidden["bounds"]
    off, bound = max(
        ((gap["largest"], bound) for gap, bound in zip(hidden["outputs"], bounds, strict=True)),
        key=lambda pair: pair[0] / pair[1],
    )
    cells += [f"{hidden['runs']} ({hidden['by']})", f"{off:.1e}", f"{bound:.1e}"]
    return f"| {' | '.join(cells)} |"


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
