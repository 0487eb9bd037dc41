"""The demo's three homes: certificates made on the spot, and in each home only what its party would hold."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays

from tacit.errors import InvalidInput
from tacit.net.keys import enrol, make_identity

__all__ = [
    "INPUT_FILE",
    "OUTPUT_FILE",
    "OWNER_FILE",
    "PARTIES",
    "PUBLIC_FILE",
    "Homes",
    "Sample",
    "load_sample",
    "make_homes",
]

#: With weights, in the server's home alone.
OWNER_FILE = "digits.tacit"
#: Without weights, in the client's home.
PUBLIC_FILE = "digits.public.tacit"
#: The secret input and what comes of it, in the client's home alone.
INPUT_FILE, OUTPUT_FILE = "images.npy", "logits.npy"
PARTIES = ("dealer", "server", "client")


@dataclass(frozen=True)
class Sample:
    """Test images that the network never saw: pixels 0..16, uint8 [N, 8, 8], and labels, uint8 [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Homes:
    """One folder a party: `dealer`, `server` and `client` below `root`."""

    root: Path

    def of(self, party: str) -> Path:
        """The home of one party."""
        return self.root / party


def _shipped(name: str) -> Traversable:
    """A file that the package ships with the digits."""
    return files("tacit").joinpath("zoo", "digits", name)


def load_sample(count: int) -> Sample:
    """The first `count` test images; InvalidInput if there are not as many."""
    arrays = load_arrays(_shipped("data.safetensors").read_bytes())
    images, labels = arrays["test_images"], arrays["test_labels"]
    if not 1 <= count <= len(images):
        raise InvalidInput(f"--images must be from 1 to {len(images)}, the number of test images; it is {count}")
    return Sample(images[:count], labels[:count])


def make_homes(root: Path, sample: Sample) -> Homes:
    """Three homes below `root`, enrolled with each other: the owner's file goes to the server alone, the images to the
    client alone. InvalidInput if `root` is in use."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise InvalidInput(f"the folder {root} is not empty; name a new one, so that no earlier run is mixed in")
    except OSError as error:
        raise InvalidInput(f"the folder {root} cannot be used: {error.strerror}") from error
    homes = Homes(root.resolve())
    identities = {party: make_identity(homes.of(party), party, hosts=["127.0.0.1"]) for party in PARTIES}
    for party in PARTIES:
        for peer in PARTIES:
            if peer != party:
                enrol(homes.of(party), identities[peer].certificate.pem, peer)
    owned = homes.of("server") / OWNER_FILE
    owned.touch(mode=0o600)
    owned.write_bytes(_shipped(OWNER_FILE).read_bytes())
    (homes.of("client") / PUBLIC_FILE).write_bytes(_shipped(PUBLIC_FILE).read_bytes())
    np.save(homes.of("client") / INPUT_FILE, sample.images, allow_pickle=False)
    return homes
