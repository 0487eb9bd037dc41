"""Source operations that are no operation of ours: those that change no number, and why others are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tacit.ir.source import Adapter, Unsupported, Value, needs_value

__all__ = ["PASSING", "unsupported"]

_FLOATS = {"float16", "bfloat16", "float32", "float64", 1, 10, 11, 16}  # torch's names and ONNX's numbers
_ACTIVATION = (
    "Replace it by ReLU, leaky ReLU or a clamp, which are exact, or by a polynomial with public coefficients, and "
    "fine-tune."
)


def _same(x: Any, *rest: Any, **options: Any) -> Value:
    return needs_value(x, "this operation's input")


def _dropout(x: Any, p: float = 0.5, train: bool | None = False) -> Value:
    if train:
        raise Unsupported("replace", "a dropout that stays active in evaluation", "Pass training=self.training to it.")
    return needs_value(x, "a dropout's input")


def _onnx_dropout(x: Any, ratio: Any = None, training: Any = None, *, seed: int = 0) -> Value:
    return _dropout(x, train=training is not None and bool(training.array.any()))


def _copy(x: Any, *rest: Any, dtype: Any = None, **options: Any) -> Value:
    if dtype is not None and dtype not in _FLOATS:
        raise Unsupported("not yet", f"a conversion to {dtype}", "Keep activations in floating point.")
    return needs_value(x, "a conversion's input")


def _cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    return _copy(x, dtype=to)


PASSING: Mapping[str, Adapter] = {
    "aten.alias.default": _same,
    "aten.clone.default": _same,
    "aten.contiguous.default": _same,
    "aten.detach.default": _same,
    "aten.lift_fresh_copy.default": _same,
    "aten.dropout.default": _dropout,
    "aten.native_dropout.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.alpha_dropout.default": _dropout,
    "aten.feature_alpha_dropout.default": _dropout,
    "aten._to_copy.default": _copy,
    "aten.to.dtype": _copy,
    "Identity": _same,
    "Dropout": _onnx_dropout,
    "Cast": _cast,
}

Reason = tuple[Literal["never", "not yet", "replace"], str, str, str]

# kind, what, advice, and the names: aten's without overload, then ONNX's
_REASONS: tuple[Reason, ...] = (
    (
        "replace",
        "an activation with jumps, or with other pieces than lines of public slopes",
        _ACTIVATION,
        """
        rrelu rrelu_with_noise hardshrink softshrink threshold sign Sign ThresholdedRelu Shrink
        """,
    ),
    (
        "replace",
        "a maximum over windows that also says where it is, or whose windows are not fixed",
        "Leave out return_indices, or use another pool.",
        """
        max_pool1d_with_indices max_pool3d_with_indices adaptive_max_pool3d
        fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d MaxUnpool MaxRoiPool LpPool
        """,
    ),
    (
        "replace",
        "a norm over windows of channels or of powers",
        "Use a batch, layer, group or RMS norm, or none.",
        "local_response_norm LRN MeanVarianceNormalization LpNormalization",
    ),
    (
        "replace",
        "a batch norm without stored statistics",
        "Train with track_running_stats=True; statistics of the batch would mix the queries.",
        "_native_batch_norm_legit",
    ),
    (
        "not yet",
        "a lookup by a secret index",
        "A table whose index is an input of the model is taken, for the client looks it up; else embed there.",
        """
        embedding_bag index_put scatter scatter_add take take_along_dim GatherND Scatter ScatterND ScatterElements
        OneHot grid_sampler grid_sampler_2d GridSample
        """,
    ),
    (
        "not yet",
        "a recurrent layer with other activations or packed sequences",
        "Use an LSTM, a GRU or an RNN over sequences of one fixed length.",
        "quantized_lstm quantized_gru _pack_padded_sequence _pad_packed_sequence",
    ),
    (
        "replace",
        "a quotient, a transcendental function or a product of all entries",
        "Approximate it by a polynomial with public coefficients, or write it with exp, log, sqrt and reciprocal.",
        """
        sin cos tan asin acos atan sinh cosh std_mean cumsum cumprod prod erfc floor ceil round trunc fmod remainder
        cdist Sin Cos Tan Asin Acos Atan Sinh Cosh ReduceProd ReduceLogSum ReduceLogSumExp CumSum Floor Ceil Round Mod
        """,
    ),
    (
        "replace",
        "an order of values",
        'With Policy(reveal="top5") the client gets labels; else return the values and let the client choose.',
        """
        sort argsort median nanmedian kthvalue mode Hardmax
        """,
    ),
    (
        "not yet",
        "a test of equality, or a condition of other values than comparisons",
        "Write it with >, >=, < and <=, which are exact, joined by & and |.",
        "eq ne logical_not logical_and logical_or logical_xor bitwise_xor isnan isinf Equal Xor IsNaN IsInf",
    ),
    (
        "not yet",
        "an old or rare way to enlarge an image",
        "Use interpolation by nearest neighbours or linear in between, without antialiasing.",
        """
        _upsample_bilinear2d_aa _upsample_bicubic2d_aa upsample_nearest2d upsample_bilinear2d Upsample CenterCropPad
        """,
    ),
    (
        "never",
        "a shape that depends on the data",
        "Shapes are public, so they cannot follow the secret input; use fixed sizes.",
        """
        nonzero masked_select _unique2 item _local_scalar_dense repeat_interleave NonZero Unique Compress
        NonMaxSuppression
        """,
    ),
    (
        "never",
        "control flow that depends on the data",
        "Both branches would have to run; write the model without conditions and loops on its input.",
        """
        cond while_loop map scan If Loop Scan
        """,
    ),
    (
        "never",
        "a random operation",
        "Inference must be a function of its input; remove the random part.",
        """
        rand randn randint rand_like randn_like randint_like bernoulli multinomial normal uniform RandomNormal
        RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial
        """,
    ),
)


def unsupported(name: str) -> Unsupported:
    """Why the source operation `name` ("aten.relu.default", "Relu") is refused."""
    stem = (name.split(".")[1] if name.startswith("aten.") else name.rsplit(".", 1)[-1]).removesuffix("_")
    for kind, what, advice, listed in _REASONS:
        if stem in listed.split():
            return Unsupported(kind, what, advice)
    return Unsupported("not yet", f"the operation {name} is not known here", "Write it with the operations that are.")
