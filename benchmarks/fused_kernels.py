"""Fused kernels as they are written today, right or with one mistake, with their eager forms.

Run as ``python -m benchmarks.fused_kernels 10 [names]``: ten right kernels of each in each dtype,
and one with each mistake, are checked, and the rates are printed. A kernel computes in float32,
saves statistics, fills buffers, and takes the mistake as its last argument: "" for none. Arrays
reach it as memory reaches a kernel, by `dense`.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from checks import Verdict
from checks.adapters.torch import check_function

__all__ = [
    "DTYPES",
    "KERNELS",
    "LAYOUTS",
    "Kernel",
    "dense",
    "draw_inputs",
    "effect",
    "first_wrong",
    "wide",
]

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
MOST = 4096  # entries of the inputs of one kernel, together

Function = torch.autograd.Function
EPS = 1e-5


def wide(x):
    """Return a tensor in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def dense(x, ignore_strides=False):
    """Return a tensor as a kernel reads it: row after row, or its memory as if it lay so."""
    if not ignore_strides:
        return x.contiguous()
    memory = torch.empty(0, dtype=x.dtype, device=x.device).set_(x.untyped_storage())
    memory = memory[x.storage_offset() :]  # wrong on purpose
    missing = max(0, x.numel() - memory.numel())
    return torch.nn.functional.pad(memory, (0, missing))[: x.numel()].reshape(x.shape)


class RMSNorm(Function):
    """y = x / √(mean x² + ε) · w."""

    @staticmethod
    def forward(ctx, x, w, mistake):
        x = dense(x, mistake == "strides of x")
        scale = torch.rsqrt(wide(x).square().mean(-1, keepdim=True) + EPS)
        y = (wide(x) * scale * wide(w)).to(x.dtype)
        if mistake == "saved tensor overwritten":
            x = y  # wrong on purpose
        ctx.save_for_backward(x, w, scale)
        ctx.mistake = mistake
        return 1.25 * y if mistake == "values" else y

    @staticmethod
    def backward(ctx, u):
        x, w, scale = ctx.saved_tensors
        u = dense(u, ctx.mistake == "strides of the cotangent")
        normed, v = wide(x) * scale, wide(u) * wide(w)
        # ∂x = (v − x̂ mean(v x̂)) / √(mean x² + ε)
        dx = scale * (v - normed * (v * normed).mean(-1, keepdim=True))
        if ctx.mistake == "a dropped term":
            dx = scale * v
        if ctx.mistake == "a factor":
            dx = 1.25 * dx
        rows = (wide(u) * normed).reshape(-1, x.shape[-1])
        dw = rows.mean(0) if ctx.mistake == "a wrong reduction" else rows.sum(0)
        return dx.to(x.dtype), dw.to(w.dtype), None


def rms_norm(x, w, mistake):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * w


class LayerNorm(Function):
    """y = (x − mean x) / √(var x + ε) · w + b, with mean and 1/√ saved."""

    @staticmethod
    def forward(ctx, x, w, b, mistake):
        x = dense(x, mistake == "strides of x")
        mean = wide(x).mean(-1, keepdim=True)
        scale = torch.rsqrt(wide(x).var(-1, correction=0, keepdim=True) + EPS)
        y = ((wide(x) - mean) * scale * wide(w) + wide(b)).to(x.dtype)
        if mistake == "saved tensor overwritten":
            mean *= 0  # wrong on purpose: a buffer that is used again
        ctx.save_for_backward(x, w, mean, scale)
        ctx.mistake = mistake
        return 1.25 * y if mistake == "values" else y

    @staticmethod
    def backward(ctx, u):
        x, w, mean, scale = ctx.saved_tensors
        u = dense(u, ctx.mistake == "strides of the cotangent")
        normed, v = (wide(x) - mean) * scale, wide(u) * wide(w)
        # ∂x = (v − mean v − x̂ mean(v x̂)) / √(var x + ε)
        dx = v - v.mean(-1, keepdim=True) - normed * (v * normed).mean(-1, keepdim=True)
        if ctx.mistake == "a dropped term":
            dx = v - normed * (v * normed).mean(-1, keepdim=True)
        dx = dx * scale
        if ctx.mistake == "a factor":
            dx = 1.25 * dx
        rows = wide(u).reshape(-1, x.shape[-1])
        db = rows.mean(0) if ctx.mistake == "a wrong reduction" else rows.sum(0)
        dw = (rows * normed.reshape(rows.shape)).sum(0)
        return dx.to(x.dtype), dw.to(w.dtype), db.to(w.dtype), None


def layer_norm(x, w, b, mistake):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, EPS)


class SwiGLU(Function):
    """y = a σ(a) · c, computed again in the backward pass, in the memory of what is returned."""

    @staticmethod
    def forward(ctx, a, c, mistake):
        a = dense(a, mistake == "strides of x")
        c = dense(c)
        y = (wide(a) * torch.sigmoid(wide(a)) * wide(c)).to(a.dtype)
        ctx.save_for_backward(a, c)
        ctx.mistake = mistake
        return 1.25 * y if mistake == "values" else y

    @staticmethod
    def backward(ctx, u):
        a, c = ctx.saved_tensors
        u = dense(u, ctx.mistake == "strides of the cotangent")
        s = torch.sigmoid(wide(a))
        dc = wide(u) * wide(a) * s
        if ctx.mistake == "saved tensor overwritten":
            c = dc  # wrong on purpose: written where c was, before c is read
        # ∂a = u c σ(a) (1 + a (1 − σ(a)))
        da = wide(u) * wide(c) * s * (1 + wide(a) * (1 - s))
        if ctx.mistake == "a dropped term":
            da = wide(u) * wide(c) * s
        if ctx.mistake == "a factor":
            dc = 1.25 * dc
        return da.to(a.dtype), dc.to(a.dtype), None


def swiglu(a, c, mistake):
    return torch.nn.functional.silu(a) * c


class RoPE(Function):
    """Pairs (x₁, x₂) of halves of the last axis turned by angles that are constants."""

    @staticmethod
    def forward(ctx, x, cos, sin, mistake):
        ctx.save_for_backward(cos, sin)
        ctx.mistake = mistake
        y = RoPE.turned(dense(x, mistake == "strides of x"), cos, sin)
        return 1.25 * y if mistake == "values" else y

    @staticmethod
    def turned(x, cos, sin):
        y = torch.empty_like(x)
        first, second = wide(x).chunk(2, -1)
        y[..., : x.shape[-1] // 2] = first * wide(cos) - second * wide(sin)
        y[..., x.shape[-1] // 2 :] = second * wide(cos) + first * wide(sin)
        return y

    @staticmethod
    def backward(ctx, u):
        cos, sin = ctx.saved_tensors
        u = dense(u, ctx.mistake == "strides of the cotangent")
        if ctx.mistake == "a dropped term":
            sin = 0 * sin
        if ctx.mistake == "saved tensor overwritten":
            cos = sin  # wrong on purpose
        dx = RoPE.turned(u, cos, -sin)
        return 1.25 * dx if ctx.mistake == "a factor" else dx, None, None, None


def rope(x, cos, sin, mistake):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class CrossEntropy(Function):
    """The mean over rows of −log softmax(x)[y], for rows whose y is not −100.

    The gradient is computed in the forward pass, as that of large vocabularies is.
    """

    @staticmethod
    def forward(ctx, x, y, mistake):
        x = dense(x, mistake == "strides of x")
        kept = (y >= 0)[:, None]
        count = kept.sum().clamp(min=1)
        lse = torch.logsumexp(wide(x), -1, keepdim=True)
        label = torch.nn.functional.one_hot(y.clamp(min=0), x.shape[-1])
        loss = torch.where(kept, lse - (wide(x) * label).sum(-1, keepdim=True), 0).sum() / count
        dx = (torch.exp(wide(x) - lse) - label) / count
        if mistake == "a dropped term":
            dx = torch.exp(wide(x) - lse) / count
        if mistake == "a wrong reduction":
            dx = dx * count
        if mistake != "a mask left out":
            dx = dx * kept
        if mistake == "saved tensor overwritten":
            dx[-1] = dx[0]  # wrong on purpose
        ctx.save_for_backward(dx.to(x.dtype))
        ctx.mistake = mistake
        return (1.25 * loss if mistake == "values" else loss).to(x.dtype)

    @staticmethod
    def backward(ctx, u):
        (dx,) = ctx.saved_tensors
        factor = 1.25 if ctx.mistake == "a factor" else 1
        return dx * u * factor, None, None


def cross_entropy(x, y, mistake):
    return torch.nn.functional.cross_entropy(x, y)


class Attention(Function):
    """softmax(q kᵀ / √d) v with a causal mask; what is saved is the result and the logsumexp."""

    @staticmethod
    def forward(ctx, q, k, v, mistake):
        q, k, v = dense(q, mistake == "strides of x"), dense(k), dense(v)
        scores = Attention.scores(q, k)
        lse = torch.logsumexp(scores, -1, keepdim=True)
        o = (torch.exp(scores - lse) @ wide(v)).to(q.dtype)
        saved = o.clone()
        if mistake == "saved tensor overwritten":
            saved[..., 0] = 0  # wrong on purpose
        ctx.save_for_backward(q, k, v, saved, lse)
        ctx.mistake = mistake
        return 1.25 * o if mistake == "values" else o

    @staticmethod
    def scores(q, k, causal=True):
        scores = wide(q) @ wide(k).mT / q.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(future, -torch.inf) if causal else scores

    @staticmethod
    def backward(ctx, u):
        q, k, v, o, lse = ctx.saved_tensors
        u = wide(dense(u, ctx.mistake == "strides of the cotangent"))
        p = torch.exp(Attention.scores(q, k, ctx.mistake != "a mask left out") - lse)
        dp = u @ wide(v).mT
        if ctx.mistake != "a dropped term":
            dp = dp - (u * wide(o)).sum(-1, keepdim=True)
        ds = p * dp / q.shape[-1] ** 0.5
        dv = p.mT @ u
        if ctx.mistake == "a wrong reduction":
            dv = dv.mean(0, keepdim=True).expand_as(dv)
        dk = ds.mT @ wide(q)
        if ctx.mistake == "a factor":
            dk = dk * q.shape[-1] ** 0.5
        return (ds @ wide(k)).to(q.dtype), dk.to(q.dtype), dv.to(q.dtype), None


def attention(q, k, v, mistake):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


@dataclass(frozen=True)
class Kernel:
    """A kernel, its eager form, and how its inputs are drawn.

    Attributes
    ----------
    fused, eager : callable
        Take the same inputs; the last is the mistake.
    draw : callable
        Takes a function that draws a tensor of a shape, a generator of numpy, and how many times as
        long as the shortest the axes may be; returns inputs.
    where : dict of str to str
        Of each mistake, the first array that is wrong.
    """

    fused: Callable[..., Any]
    eager: Callable[..., Any]
    draw: Callable[..., tuple[Any, ...]]
    where: dict[str, str]


def _lengths(rng, shortest, times):
    """Return random lengths of at least these; no length is 1, so that strides matter."""
    return [int(rng.integers(n, times * n + 1)) for n in shortest]


def _norm(count):
    def draw(tensor, rng, times=2):
        n, d = _lengths(rng, (2, 4), times)
        return tensor(n, d), *(tensor(d) for _ in range(count))

    return draw


def _swiglu(tensor, rng, times=2):
    shape = _lengths(rng, (2, 4), times)
    return tensor(*shape), tensor(*shape)


def _rope(tensor, rng, times=2):
    n, h, d = _lengths(rng, (2, 2, 2), times)
    angles = np.multiply.outer(np.arange(1, n + 1), 0.1 ** np.linspace(0, 1, d))[:, None]
    x = tensor(n, h, 2 * d)
    return x, *(torch.tensor(f(angles)).to(x) for f in (np.cos, np.sin))


def _cross_entropy(tensor, rng, times=2):
    n, v = _lengths(rng, (3, 3), times)
    y = torch.tensor(rng.integers(v, size=n))
    y[1] = -100
    return tensor(n, v), y


def _attention(tensor, rng, times=2):
    shape = _lengths(rng, (2, 3, 2), times)
    return tensor(*shape), tensor(*shape), tensor(*shape)


X, SECOND, THIRD, VALUES = "inputs[0]", "inputs[1]", "inputs[2]", "output"
COMMON = {
    "values": VALUES,
    "a dropped term": X,
    "a factor": X,
    "saved tensor overwritten": X,
    "strides of x": VALUES,
    "strides of the cotangent": X,
}
KERNELS = {
    "RMSNorm": Kernel(RMSNorm.apply, rms_norm, _norm(1), {**COMMON, "a wrong reduction": SECOND}),
    "LayerNorm": Kernel(
        LayerNorm.apply, layer_norm, _norm(2), {**COMMON, "a wrong reduction": THIRD}
    ),
    "SwiGLU": Kernel(SwiGLU.apply, swiglu, _swiglu, {**COMMON, "a factor": SECOND}),
    "RoPE": Kernel(RoPE.apply, rope, _rope, COMMON),
    "cross entropy": Kernel(
        CrossEntropy.apply,
        cross_entropy,
        _cross_entropy,
        {
            # a scalar has no strides, and may come out right by chance
            **{k: v for k, v in COMMON.items() if not k.startswith("strides")},
            "a wrong reduction": X,
            "a mask left out": X,
        },
    ),
    "attention": Kernel(
        Attention.apply,
        attention,
        _attention,
        {**COMMON, "a factor": SECOND, "a wrong reduction": THIRD, "a mask left out": X},
    ),
}

LAYOUTS = {
    "dense": lambda draw, *shape: draw(shape),
    "transposed": lambda draw, *shape: draw((*shape[:-2], *shape[-2:][::-1])).mT,
    "sliced": lambda draw, *shape: draw((*shape[:-1], 2 * shape[-1]))[..., ::2],
}


def draw_inputs(kernel, dtype, layout, seed, times=2):
    """Return random inputs of a kernel; those with axes lie in memory as `layout` says."""
    rng = np.random.default_rng(seed)

    def draw(shape):
        return torch.tensor(rng.standard_normal(shape)).to(dtype)

    def tensor(*shape):
        make = LAYOUTS[layout if len(shape) > 1 else "dense"]
        return make(draw, *shape).requires_grad_()

    return kernel.draw(tensor, rng, times)


def first_wrong(kernel, inputs, mistake):
    """Return the report of a kernel, and the first array with a MISMATCH; "" if there is none."""
    report = check_function(kernel.fused, *inputs, mistake, reference=kernel.eager)
    wrong = [p for p, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    return report, next(iter(wrong), "")


def effect(kernel, inputs, mistake):
    """Return by how much a mistake changes results and gradients, relative to their largest."""
    inputs = [part.detach().double() if part.is_floating_point() else part for part in inputs]
    moved = [part.requires_grad_() for part in inputs if part.is_floating_point()]

    def results(mistake):
        y = kernel.fused(*inputs, mistake)
        u = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)
        return y.detach(), *torch.autograd.grad(y, moved, u, materialize_grads=True)

    pairs = zip(results(""), results(mistake), strict=True)
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-300)) for a, b in pairs)


def main(count, names=tuple(KERNELS)):
    """Print a table: of right kernels those that match, of mistakes those found and placed."""
    print("| right that match, mistakes found |", " | ".join(str(d)[6:] for d in DTYPES), "|")
    print("|---" * (1 + len(DTYPES)) + "|")
    for name in names:
        print(
            f"| {name} | {' | '.join(_rates(name, dtype, count) for dtype in DTYPES)} |", flush=True
        )


def _rates(name, dtype, count):
    kernel, right, found = KERNELS[name], Counter(), 0
    mistakes = list(kernel.where)
    for number in range(count + len(mistakes)):
        rng = np.random.default_rng([number, len(name), DTYPES.index(dtype)])
        mistake = mistakes[number - count] if number >= count else ""
        # a dense input has no strides to be ignored
        layout, inputs = rng.choice(list(LAYOUTS)[bool(mistake) :]), None
        while inputs is None or sum(part.numel() for part in inputs) > MOST:
            seed, times = int(rng.integers(2**32)), int(rng.choice([2, 4, 8, 16]))
            inputs = draw_inputs(kernel, dtype, layout, seed, times)
        report, wrong = first_wrong(kernel, inputs, mistake)
        if mistake:
            found += wrong == kernel.where[mistake]
        else:
            right[report.verdict] += 1
    accused = f" ({right[Verdict.MISMATCH]} accused)" if right[Verdict.MISMATCH] else ""
    return f"{right[Verdict.MATCH]} of {count}{accused}, {found} of {len(mistakes)}"


if __name__ == "__main__":
    main(int(sys.argv[1] if len(sys.argv) > 1 else 10), sys.argv[2:] or tuple(KERNELS))
