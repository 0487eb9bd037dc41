"""BERT-Tiny: an encoder of two layers classifies a text of 128 words (Devlin, Chang, Lee and Toutanova, NAACL 2019; in
this size Turc, Chang, Lee and Toutanova, 2019).

The client looks the words up (`LookUp`), whose table is public to it; the text fills the length that is compiled for.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "BertClassifier", "Embeddings", "Encoder", "Layer", "LookUp", "SelfAttention"]


class LookUp(nn.Module):
    """The client's part: words (N, T), numbers below `words`, to vectors (N, T, width)."""

    def __init__(self, words: int = 30522, width: int = 128) -> None:
        super().__init__()
        table = nn.ModuleDict({"word_embeddings": nn.Embedding(words, width)})
        self.bert = nn.ModuleDict({"embeddings": table})

    def forward(self, words: Tensor) -> Tensor:
        """The vectors."""
        return self.bert["embeddings"]["word_embeddings"](words)


class Embeddings(nn.Module):
    """Words' vectors (N, T, width) to normed ones that know their places; T at most `places`."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.position_embeddings, self.token_type_embeddings = nn.Embedding(places, width), nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """The new vectors."""
        places = self.position_embeddings.weight[: x.shape[1]] + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x + places)


class SelfAttention(nn.Module):
    """Attention of all words to all: (N, T, width) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """The mixed vectors."""
        count, words, width = x.shape
        head = width // self.heads
        q, k, v = (f(x).reshape(count, words, self.heads, head) for f in (self.query, self.key, self.value))
        weights = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1) * head**-0.5).softmax(-1)
        return (weights @ v.transpose(1, 2)).transpose(1, 2).reshape(count, words, width)


class Layer(nn.Module):
    """One layer of the encoder, norms after the sums: (N, T, width) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(width, heads), "output": self._closing(width, width)})
        self.intermediate = nn.Sequential(OrderedDict(dense=nn.Linear(width, 4 * width), act=nn.GELU()))
        self.output = self._closing(4 * width, width)

    @staticmethod
    def _closing(inputs: int, width: int) -> nn.ModuleDict:
        return nn.ModuleDict({"dense": nn.Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})

    def forward(self, x: Tensor) -> Tensor:
        """The new vectors."""
        closing = self.attention["output"]
        x = closing["LayerNorm"](x + closing["dense"](self.attention["self"](x)))
        return self.output["LayerNorm"](x + self.output["dense"](self.intermediate(x)))


class Encoder(nn.Module):
    """All layers: (N, T, width) to the same."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """The new vectors."""
        return self.layer(x)


class BertClassifier(nn.Module):
    """Words' vectors (N, T, width) to logits (N, classes); names are those of the published models."""

    def __init__(self, width: int = 128, depth: int = 2, heads: int = 2, places: int = 512, classes: int = 2) -> None:
        super().__init__()
        pooler = nn.Sequential(OrderedDict(dense=nn.Linear(width, width), act=nn.Tanh()))
        embeddings, encoder = Embeddings(width, places), Encoder(width, depth, heads)
        self.bert = nn.ModuleDict({"embeddings": embeddings, "encoder": encoder, "pooler": pooler})
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.bert["encoder"](self.bert["embeddings"](x))
        return self.classifier(self.bert["pooler"](x[:, 0]))


NET = Net(
    published=Size(BertClassifier, ((1, 128, 128),)),
    small=Size(partial(BertClassifier, 8, 2, 2, 16), ((1, 6, 8),)),
    beside=("bert.embeddings.word_embeddings.", "bert.embeddings.position_ids", "cls."),
    weight_bits=16,
)
