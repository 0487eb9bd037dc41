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
        "an activation with other pieces than lines of public slopes",
        _ACTIVATION,
        """
        prelu _prelu_kernel rrelu rrelu_with_noise hardswish hardshrink softshrink threshold elu selu celu sign PRelu
        Elu Selu Celu Sign HardSigmoid HardSwish ThresholdedRelu Shrink
        """,
    ),
    (
        "replace",
        "a transcendental activation",
        _ACTIVATION,
        """
        sigmoid log_sigmoid log_sigmoid_forward tanh gelu silu mish softplus erf glu Sigmoid Tanh Gelu Mish Softplus
        Softsign Erf Swish
        """,
    ),
    (
        "replace",
        "a maximum over windows that also says where it is, or whose windows are not fixed",
        "Leave out return_indices, or use another pool.",
        """
        max_pool2d_with_indices max_pool1d_with_indices max_pool3d_with_indices adaptive_max_pool3d
        fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d MaxUnpool MaxRoiPool LpPool
        """,
    ),
    (
        "replace",
        "a softmax",
        "As the last layer, leave it to the client, which gets the logits; elsewhere, use ReLU over a fixed sum.",
        """
        softmax _softmax log_softmax _log_softmax Softmax LogSoftmax
        """,
    ),
    (
        "replace",
        "a norm whose statistics come from the query",
        "Train with batch norm, which folds into the layer before it.",
        """
        layer_norm native_layer_norm _native_batch_norm_legit group_norm native_group_norm instance_norm rms_norm
        _fused_rms_norm batch_norm local_response_norm LayerNormalization GroupNormalization InstanceNormalization
        RMSNormalization LRN MeanVarianceNormalization LpNormalization
        """,
    ),
    (
        "not yet",
        "a lookup by a secret index",
        "Embed on the client, or give one-hot inputs to a linear layer.",
        """
        embedding embedding_bag index_put scatter scatter_add take take_along_dim GatherND Scatter ScatterND
        ScatterElements OneHot
        """,
    ),
    (
        "not yet",
        "a product of two activations",
        "Write it with multiplications and matmul, which are taken.",
        """
        baddbmm einsum scaled_dot_product_attention dot outer Einsum Attention
        """,
    ),
    (
        "not yet",
        "a recurrent layer",
        "Unroll it with polynomial activations, or use convolutions over time.",
        """
        lstm gru rnn_tanh rnn_relu LSTM GRU RNN
        """,
    ),
    (
        "not yet",
        "an upsampling or transposed convolution",
        "Use layers that keep or shrink the image.",
        """
        conv_transpose1d conv_transpose2d conv_transpose3d upsample_nearest2d upsample_bilinear2d upsample_nearest1d
        upsample_linear1d upsample_bicubic2d pixel_shuffle ConvTranspose Resize Upsample DepthToSpace SpaceToDepth
        """,
    ),
    (
        "replace",
        "a root, quotient or transcendental function",
        "Approximate it by a polynomial with public coefficients.",
        """
        sqrt rsqrt reciprocal exp expm1 log log1p log2 sin cos tan atan pow var std norm linalg_vector_norm cumsum
        Sqrt Reciprocal Exp Log Sin Cos Tan Atan ReduceL2 ReduceL1 ReduceLogSumExp
        """,
    ),
    (
        "replace",
        "an order, or an index of the largest value in another form than argmax along the last axis",
        'With Policy(reveal="top5") the client gets labels; else return the values and let the client choose.',
        """
        argmin max min amin aminmax topk sort argsort median kthvalue mode ArgMin TopK ReduceMin Hardmax
        """,
    ),
    (
        "not yet",
        "a test of equality or a selection by secret values",
        "Write it with >, >=, < and <=, ReLU, clamp or maximum, which are exact.",
        """
        where eq ne logical_not logical_and logical_or masked_fill bitwise_not Where Equal Not And Or
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
