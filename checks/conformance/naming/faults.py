"""The catalogue of faults: wrong backpropagations as people really write them.

Each fault is the `Textbook` with a step replaced. To add one, add a row: its name, where to look,
and the step, marked ``# wrong on purpose``. The tests, `name_fault` and the detection benchmark use
every row. The texts cite the four factors of the chain rule in docs/notes.md: ① ∂C/∂a^L,
② ∂a^L/∂a^{l+1}, ③ ∂a^{l+1}/∂a^l, ④ ∂a^l/∂w^l or ∂a^l/∂b^l.
"""

# ruff: noqa: E741 — the notes' letter l
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from checks.conformance.naming import wrong_steps as wrong
from checks.conformance.naming.textbook import Step, Textbook
from checks.conformance.targets.target import Target

__all__ = ["FAULTS", "PLUS", "Fault", "in_some_layers", "right_target", "together"]

PLUS = " + "  # joins the names of two faults


@dataclass(frozen=True, eq=False)
class Fault:
    """A row of the catalogue.

    Attributes
    ----------
    name : str
        Short, as "σ for σ'": what is done in place of what.
    text : str
        One sentence: what is wrong, and in which formula ① – ④ or line of the recursion to look.
    steps : dict of str to function
        Functions that replace the methods of `Textbook` of these names.
    constant : str
        The name of the one of `Constants` that the fault uses; empty if it uses none.
    """

    name: str
    text: str
    steps: Mapping[str, Step]
    constant: str = ""

    def textbook(
        self,
        activation: str = "logistic",
        cost_name: str = "mean_squared",
        output: str = "",
        **constants: float,
    ) -> Textbook:
        """Return a textbook that has this fault."""
        return Textbook(activation, cost_name, output, self.steps, **constants)

    def target(
        self, activation: str = "logistic", cost_name: str = "mean_squared", output: str = ""
    ) -> Target:
        """Return a target that has this fault and has not been called before."""
        book = self.textbook(activation, cost_name, output)
        return _target(self.name, book, activation, cost_name)


def right_target(activation: str = "logistic", cost_name: str = "mean_squared") -> Target:
    """Return a target without a fault."""
    return _target("textbook", Textbook(activation, cost_name), activation, cost_name)


def together(*faults: Fault) -> Fault | None:
    """Combine faults into one; return None if several replace the same step.

    Only ``finish`` may be replaced by several: one is then applied after the other.
    """
    if len(faults) == 1:
        return faults[0]
    steps: dict[str, Step] = {}
    for fault in faults:
        for name, step in fault.steps.items():
            if name in steps and name != "finish":
                return None
            steps[name] = partial(_finish_twice, steps[name], step) if name in steps else step
    return Fault(
        PLUS.join(fault.name for fault in faults),
        " And: ".join(fault.text for fault in faults),
        steps,
        # a penalty's λ is known already, from the cost
        next((f.constant for f in faults if f.constant and "penalty" not in f.steps), ""),
    )


# Steps that are taken layer by layer, with the layer as the last argument.
_BY_LAYER = {"slope", "hidden_slope", "upstream_error", "weight_gradient", "bias_gradient"}
_PLACES: Mapping[str, Callable[[Textbook, int], bool]] = {
    "in the last layer only": lambda net, l: l == net.L,
    "below the last layer only": lambda net, l: l < net.L,
    "in the first layer only": lambda net, l: l == 1,
    "above the first layer only": lambda net, l: l > 1,
}


def in_some_layers(fault: Fault) -> list[Fault]:
    """Return a fault as it is if only some layers have it; none if it is not of single layers."""
    if not fault.steps.keys() <= _BY_LAYER:
        return []

    def restricted(name: str, step: Step, holds: Callable[[Textbook, int], bool]) -> Step:
        def here(net: Textbook, *arguments: Any) -> Any:
            right: Step = getattr(Textbook, name)
            return (step if holds(net, arguments[-1]) else right)(net, *arguments)

        return here

    return [
        Fault(
            fault.name,
            f"{fault.text} This is so {place}.",
            {name: restricted(name, step, holds) for name, step in fault.steps.items()},
            fault.constant,
        )
        for place, holds in _PLACES.items()
    ]


def _target(name: str, book: Textbook, activation: str, cost_name: str) -> Target:
    names = frozenset({"activation", "cost_name"})
    return Target(name, book.cost, book.gradient, book.step, activation, cost_name, names=names)


def _finish_twice(first: Step, second: Step, net: Textbook, dw: Any, db: Any) -> Any:
    return second(net, *first(net, dw, db))


def _fault(name: str, text: str, constant: str = "", **steps: Step) -> Fault:
    return Fault(name, text, steps, constant)


_CATALOGUE = (
    # ① ∂C/∂a^L: its terms, its sign, and the number that it is divided by
    _fault(
        "factor 2 missing",
        "① is half of what it should be: the 2 of the derivative of a square was dropped.",
        output_error=lambda net: Textbook.output_error(net) / 2,  # wrong on purpose
    ),
    _fault(
        "factor 2 extra",
        "① is twice what it should be: a 2 that the cost does not have.",
        output_error=lambda net: Textbook.output_error(net) * 2,  # wrong on purpose
    ),
    _fault(
        "y − a for a − y",
        "① has the wrong sign: it is a^L − y for every cost, not y − a^L.",
        output_error=lambda net: -Textbook.output_error(net),  # wrong on purpose
    ),
    _fault(
        "1/B missing",
        "The samples of a batch are summed; the cost is their mean: ① needs 1/B.",
        output_error=lambda net: Textbook.output_error(net) * len(net.y),  # wrong on purpose
    ),
    _fault(
        "1/B twice",
        "The mean over the batch is taken twice: in ① and again in ④ or in the step.",
        output_error=lambda net: Textbook.output_error(net) / len(net.y),  # wrong on purpose
    ),
    _fault(
        "1/n_L missing",
        "The outputs are summed; the cost is their mean: the 2/n_L of ① lacks the 1/n_L.",
        output_error=lambda net: Textbook.output_error(net) * net.y.shape[1],  # wrong on purpose
    ),
    _fault(
        "1/n_L extra",
        "① is divided by n_L once more than the cost is.",
        output_error=lambda net: Textbook.output_error(net) / net.y.shape[1],  # wrong on purpose
    ),
    _fault(
        "the cost for its derivative",
        "① is (a^L − y)² instead of its derivative 2 (a^L − y).",
        output_error=lambda net: (
            Textbook.output_error(net) * (net.a[-1] - net.y) / 2  # wrong on purpose
        ),
    ),
    _fault(
        "(B,) against (B, 1)",
        "With one output, a of shape (B,) and y of shape (B, 1) broadcast to (B, B) in ①: every "
        "sample is compared with the y of all others.",
        output_error=wrong.broadcast_error,  # wrong on purpose
    ),
    _fault(
        "softmax: diagonal of its Jacobian only",
        "∂p_i/∂a_j = p_i (1 − p_i) only where i = j; the rest, −p_i p_j, is missing in ①.",
        output_error=wrong.softmax_diagonal,  # wrong on purpose
    ),
    _fault(
        "σ' once more after a cross entropy",
        "① on logits, p − y, is ∂C/∂z^L already: δ^L has one σ'(z^L) too many.",
        output_slope=wrong.extra_output_slope,  # wrong on purpose
    ),
    # σ'(z^l): the wrong function, or the right function at the wrong argument
    _fault(
        "σ'(a) for σ'(z)",
        "The derivative is taken at the activation: δ^l has σ'(z^l), and a^l is σ(z^l) already.",
        slope=lambda net, l: net.derivative(net.a[l], l),  # wrong on purpose
    ),
    _fault(
        "σ'(upstream) for σ'(z)",
        "The derivative is taken at w^{l+1}ᵀ δ^{l+1}, the gradient that comes from above (for a "
        "relu: the gradient is cut where it is negative): δ^l has σ'(z^l).",
        slope=lambda net, l: net.derivative(net.upstream, l),  # wrong on purpose
    ),
    _fault(
        "σ' of the layer above",
        "δ^l takes σ'(z^{l+1}) where the widths agree: the slope is off by one layer.",
        hidden_slope=lambda net, l: net.slope(
            l + (l + 1 < net.L and net.z[l].shape == net.z[l + 1].shape)  # wrong on purpose
        ),
    ),
    _fault(
        "σ' omitted everywhere",
        "No δ^l has its ⊙ σ'(z^l): for a relu, relu' ≡ 1.",
        slope=lambda net, l: np.ones_like(net.z[l]),  # wrong on purpose
    ),
    _fault(
        "σ' omitted at the output",
        "δ^L is ① alone: ⊙ σ'(z^L) is missing. (Only a cross entropy on logits has none.)",
        output_slope=lambda net: 1.0,  # wrong on purpose
    ),
    _fault(
        "σ' omitted at hidden layers",
        "δ^l = w^{l+1}ᵀ δ^{l+1} lacks its ⊙ σ'(z^l) for l < L.",
        hidden_slope=lambda net, l: 1.0,  # wrong on purpose
    ),
    _fault(
        "σ' omitted on the path to hidden layers",
        "The recursion passes the error before ⊙ σ' down, not δ^{l+1}: ∂C/∂w^L is right, ③ is not.",
        upstream_error=lambda net, delta, l: net.upstream @ net.w[l + 1],  # wrong on purpose
    ),
    _fault(
        "σ' omitted in the biases",
        "④ of a bias has the factor σ'(z^l) too: ∂C/∂b^l = δ^l, not the error before ⊙ σ'.",
        bias_gradient=lambda net, delta, l: net.upstream.sum(axis=0),  # wrong on purpose
    ),
    _fault(
        "σ' twice at hidden layers",
        "δ^l is multiplied by σ'(z^l) twice: in δ and again in ④.",
        hidden_slope=lambda net, l: net.slope(l) ** 2,  # wrong on purpose
    ),
    _fault(
        "σ for σ'",
        "The activation itself stands where its derivative belongs, as in tanh' = tanh.",
        slope=lambda net, l: net.activation_of(l).value(net.z[l]),  # wrong on purpose
    ),
    _fault(
        "1 − a for σ'",
        "A factor of the derivative is lost: logistic' = a (1 − a), tanh' = 1 − a².",
        slope=lambda net, l: 1 - net.a[l],  # wrong on purpose
    ),
    _fault(
        "a (1 − a) for σ'",
        "The logistic's derivative under another activation: σ' has to belong to σ.",
        slope=wrong.logistic_formula,  # wrong on purpose
    ),
    _fault(
        "1 − a² for σ'",
        "The tanh's derivative under another activation: σ' has to belong to σ.",
        slope=wrong.tanh_formula,  # wrong on purpose
    ),
    _fault(
        "1 or 0 for σ'",
        "The relu's derivative, 1 where z > 0 and 0 elsewhere, under another activation, as of a "
        "leaky relu: σ' has to belong to σ.",
        slope=lambda net, l: np.where(net.z[l] > 0, 1.0, 0.0),  # wrong on purpose
    ),
    _fault(
        "σ' in terms of a, taken of z",
        "logistic' = a (1 − a) and tanh' = 1 − a² take a^l; they were given z^l.",
        slope=lambda net, l: wrong.slope_from_value(net, net.z[l], l),  # wrong on purpose
    ),
    _fault(
        "a (1 − a) loses digits",
        "The formula is right, but where a rounds to 1, 1 − a (tanh: 1 − a²) has no digit left. "
        "With t = e^{−|z|}, logistic' = t/(1 + t)².",
        slope=lambda net, l: wrong.slope_from_value(net, net.a[l], l),  # wrong on purpose
    ),
    # the recursion δ^l = (w^{l+1}ᵀ δ^{l+1}) ⊙ σ'(z^l), which stands for ② and ③
    _fault(
        "w for wᵀ",
        "The recursion multiplies by w^{l+1} and not by w^{l+1}ᵀ, which raises no error where it "
        "is square: ③ is σ'(z_j^{l+1}) w_jA^{l+1}, summed over j.",
        upstream_error=lambda net, delta, l: (
            delta @ wrong.transposed_if_square(net.w[l + 1])
        ),  # wrong on purpose
    ),
    _fault(
        "w of the layer below",
        "The recursion takes w^l for w^{l+1} where the shapes agree: off by one layer in ③.",
        upstream_error=lambda net, delta, l: (
            delta @ wrong.if_same_shape(net.w[l], net.w[l + 1])
        ),  # wrong on purpose
    ),
    _fault(
        "w left out",
        "δ^l = δ^{l+1} ⊙ σ'(z^l) where w^{l+1} is square: w^{l+1}ᵀ is missing, ③.",
        upstream_error=lambda net, delta, l: wrong.if_same_shape(
            delta, delta @ net.w[l + 1]
        ),  # wrong on purpose
    ),
    _fault(
        "updated w in the backward pass",
        "w^{l+1} is updated before the recursion uses it: all of ∂C/∂w first, then the step.",
        constant="learning_rate",
        upstream_error=lambda net, delta, l: (
            delta @ (net.w[l + 1] - net.learning_rate * net.dw[l + 1])  # wrong on purpose
        ),
    ),
    _fault(
        "updated sample by sample",
        "All parameters are updated after each sample, and the next sample sees the updated ones: "
        "the sum over the batch comes first, then the step.",
        constant="learning_rate",
        gradient=lambda net, w, b, x, y: wrong.sample_by_sample(
            net, w, b, x, y, 1 / len(x)
        ),  # wrong on purpose
    ),
    _fault(
        "updated sample by sample, 1/B missing",
        "All parameters are updated after each sample, by the whole gradient of that sample: the "
        "mean over the batch comes first, then the step.",
        constant="learning_rate",
        gradient=lambda net, w, b, x, y: wrong.sample_by_sample(
            net, w, b, x, y, 1.0
        ),  # wrong on purpose
    ),
    _fault(
        "upstream gradient dropped",
        "The local derivative is passed down alone: δ^{l+1} is missing from w^{l+1}ᵀ δ^{l+1}.",
        upstream_error=lambda net, delta, l: np.ones_like(delta) @ net.w[l + 1],  # wrong on purpose
    ),
    _fault(
        "δ^L for δ^{l+1}",
        "The recursion starts from the output again in every layer where shapes allow it: with "
        "three or more layers, δ^{l+1} has to be carried down, ②.",
        upstream_error=wrong.output_error_again,  # wrong on purpose
    ),
    _fault(
        "biases left out of z",
        "The backward pass computes z^l again as w^l a^{l−1}, without + b^l.",
        weighted_input=lambda net, a, l: a @ net.w[l].T,  # wrong on purpose
    ),
    _fault(
        "stale cache",
        "The activations of the previous call are used where the shapes agree: run the forward "
        "pass first.",
        forward=wrong.stale_cache,  # wrong on purpose
    ),
    _fault(
        "one buffer for layers of one width",
        "a^l is overwritten by a later layer of the same width: ④ needs the old a^{l−1}.",
        forward=wrong.shared_buffer,  # wrong on purpose
    ),
    # the factor ④ of ∂C/∂w^l = δ^l a^{l−1}ᵀ
    _fault(
        "z for a",
        "∂C/∂w^l takes z^{l−1}: ④ has a^{l−1}.",
        weight_gradient=lambda net, delta, l: delta.T @ net.z[l - 1],  # wrong on purpose
    ),
    _fault(
        "a^l for a^{l−1}",
        "∂C/∂w^l takes the activations of its own layer where the widths agree: ④ has a^{l−1}.",
        weight_gradient=lambda net, delta, l: (
            delta.T @ wrong.if_same_shape(net.a[l], net.a[l - 1])  # wrong on purpose
        ),
    ),
    _fault(
        "σ'(z^{l−1}) written over a^{l−1}",
        "The derivative is computed in place, in the memory of a^{l−1}, which ④ still needs.",
        weight_gradient=lambda net, delta, l: (
            delta.T @ (net.slope(l - 1) if l > 1 else net.a[0])  # wrong on purpose
        ),
    ),
    _fault(
        "outer product transposed",
        "∂C/∂w^l is a^{l−1} δ^lᵀ, which raises no error where w^l is square: ④ is δ^l a^{l−1}ᵀ.",
        weight_gradient=lambda net, delta, l: wrong.transposed_if_square(
            delta.T @ net.a[l - 1]
        ),  # wrong on purpose
    ),
    _fault(
        "column-major for row-major",
        "∂C/∂w^l is flattened in one order and filled in again in the other (order='F').",
        weight_gradient=lambda net, delta, l: (
            (delta.T @ net.a[l - 1])
            .reshape(-1, order="F")
            .reshape(net.w[l].shape)  # wrong on purpose
        ),
    ),
    _fault(
        "weights averaged where biases are summed",
        "∂C/∂w^l is divided by B once more than ∂C/∂b^l: ① has the 1/B already.",
        weight_gradient=lambda net, delta, l: (
            delta.T @ net.a[l - 1] / len(delta)  # wrong on purpose
        ),
    ),
    _fault(
        "1/B missing in the weights",
        "∂C/∂w^l is a sum over the batch where ∂C/∂b^l is a mean: both need the 1/B.",
        weight_gradient=lambda net, delta, l: (
            delta.T @ net.a[l - 1] * len(delta)  # wrong on purpose
        ),
    ),
    _fault(
        "last sample only, weights",
        "∂C/∂w^l is overwritten sample by sample: it is a sum over the batch, += and not =.",
        weight_gradient=lambda net, delta, l: np.outer(
            delta[-1], net.a[l - 1][-1]
        ),  # wrong on purpose
    ),
    # the factor ④ of ∂C/∂b^l = δ^l, which is summed over the batch
    _fault(
        "biases averaged where weights are summed",
        "∂C/∂b^l is divided by B once more than ∂C/∂w^l: ① has the 1/B already.",
        bias_gradient=lambda net, delta, l: delta.mean(axis=0),  # wrong on purpose
    ),
    _fault(
        "1/B missing in the biases",
        "∂C/∂b^l is a sum over the batch where ∂C/∂w^l is a mean: both need the 1/B.",
        bias_gradient=lambda net, delta, l: delta.sum(axis=0) * len(delta),  # wrong on purpose
    ),
    _fault(
        "last sample only, biases",
        "∂C/∂b^l is δ^l of the last sample: it is the sum over the batch.",
        bias_gradient=lambda net, delta, l: delta[-1],  # wrong on purpose
    ),
    _fault(
        "first sample only, biases",
        "∂C/∂b^l is δ^l of the first sample: it is the sum over the batch.",
        bias_gradient=lambda net, delta, l: delta[0],  # wrong on purpose
    ),
    _fault(
        "biases summed over the wrong axis",
        "∂C/∂b^l sums over the nodes where B = n_l, which raises no error; the batch is axis 0.",
        bias_gradient=lambda net, delta, l: wrong.if_same_shape(
            delta.sum(axis=1), delta.sum(axis=0)
        ),  # wrong on purpose
    ),
    _fault(
        "biases summed over every axis",
        "∂C/∂b^l is one number for the layer: .sum() for .sum(axis=0).",
        bias_gradient=lambda net, delta, l: np.full_like(delta[0], delta.sum()),  # wrong on purpose
    ),
    _fault(
        "batch of one squeezed",
        "With B = 1, .squeeze() turns δ^l into (n_l,), and the sum over axis 0 is over the nodes.",
        bias_gradient=lambda net, delta, l: (
            delta.sum(axis=0) if len(delta) > 1 else np.full_like(delta[0], delta.sum())
        ),  # wrong on purpose
    ),
    _fault(
        "biases not summed",
        "∂C/∂b^l is returned as (B, n_l), one row a sample: sum over the batch.",
        bias_gradient=lambda net, delta, l: delta,  # wrong on purpose
    ),
    _fault(
        "biases forgotten",
        "∂C/∂b^l is zero: it is δ^l, summed over the batch.",
        bias_gradient=lambda net, delta, l: 0 * delta[0],  # wrong on purpose
    ),
    # the gradient as a whole, and penalties
    _fault(
        "last sample only",
        "∂C/∂w^l and ∂C/∂b^l are overwritten sample by sample: both are sums over the batch.",
        weight_gradient=lambda net, delta, l: np.outer(
            delta[-1], net.a[l - 1][-1]
        ),  # wrong on purpose
        bias_gradient=lambda net, delta, l: delta[-1],  # wrong on purpose
    ),
    _fault(
        "penalty in the gradient only",
        "∂C/∂w^l has + λ w^l; the cost has no ½ λ Σ w².",
        constant="decay",
        finish=lambda net, dw, db: (
            wrong.penalized(dw, net.decay, net.w),
            db,
        ),  # wrong on purpose
    ),
    _fault(
        "penalty in the gradient only, biases too",
        "∂C/∂w^l has + λ w^l and ∂C/∂b^l has + λ b^l; the cost has no ½ λ Σ θ².",
        constant="decay",
        finish=lambda net, dw, db: (
            wrong.penalized(dw, net.decay, net.w),
            wrong.penalized(db, net.decay, net.b),
        ),  # wrong on purpose
    ),
    _fault(
        "penalty in the cost only",
        "The cost has ½ λ Σ w²; ∂C/∂w^l lacks + λ w^l.",
        constant="decay",
        penalty=wrong.penalty,  # wrong on purpose
    ),
    _fault(
        "penalty twice",
        "∂C/∂w^l has + 2 λ w^l; the derivative of the cost's ½ λ w² is λ w.",
        constant="decay",
        penalty=wrong.penalty,
        finish=lambda net, dw, db: (
            wrong.penalized(dw, 2 * net.decay, net.w),
            db,
        ),  # wrong on purpose
    ),
    _fault(
        "penalty with the wrong sign",
        "∂C/∂w^l has − λ w^l; the derivative of the cost's ½ λ w² is + λ w.",
        constant="decay",
        penalty=wrong.penalty,
        finish=lambda net, dw, db: (
            wrong.penalized(dw, -net.decay, net.w),
            db,
        ),  # wrong on purpose
    ),
    _fault(
        "penalty of biases too",
        "∂C/∂b^l has + λ b^l; the cost's ½ λ Σ w² is of the weights alone.",
        constant="decay",
        penalty=wrong.penalty,
        finish=lambda net, dw, db: (
            wrong.penalized(dw, net.decay, net.w),
            wrong.penalized(db, net.decay, net.b),  # wrong on purpose
        ),
    ),
    _fault(
        "layers in reverse order",
        "The list is built from l = L down and never reversed, which raises no error where shapes "
        "agree.",
        finish=lambda net, dw, db: (
            wrong.in_reverse_order(dw),
            wrong.in_reverse_order(db),
        ),  # wrong on purpose
    ),
    _fault(
        "first layer zero",
        "∂C/∂w^1 and ∂C/∂b^1 are zero: the loop over the layers stops one too early.",
        finish=lambda net, dw, db: ([0 * dw[0], *dw[1:]], [0 * db[0], *db[1:]]),  # wrong on purpose
    ),
    _fault(
        "one entry zero",
        "One entry of the last weights is never written: an index or a slice is one too short.",
        finish=lambda net, dw, db: (wrong.last_entry_zero(dw), db),  # wrong on purpose
    ),
    _fault(
        "clipped by value",
        "Entries are cut to ± a limit: clip in training, after the gradient is returned.",
        constant="limit",
        finish=lambda net, dw, db: (
            [np.clip(g, -net.limit, net.limit) for g in dw],
            [np.clip(g, -net.limit, net.limit) for g in db],
        ),  # wrong on purpose
    ),
    _fault(
        "clipped by norm",
        "The gradient is scaled down to a limit of its norm: clip in training, not here.",
        constant="limit",
        finish=wrong.clipped_by_norm,  # wrong on purpose
    ),
    _fault(
        "float32 inside",
        "δ^L is cast to float32: sixteen digits become seven.",
        output_error=lambda net: Textbook.output_error(net).astype(np.float32),  # wrong on purpose
    ),
    _fault(
        "float16 inside",
        "Activations are cast to float16: three digits are left of them.",
        forward=wrong.half_precision,  # wrong on purpose
    ),
    _fault(
        "integer gradient",
        "The gradient is written into arrays of integers, such as zeros_like of integers, and is "
        "truncated.",
        finish=lambda net, dw, db: (
            [np.trunc(g) for g in dw],
            [np.trunc(g) for g in db],
        ),  # wrong on purpose
    ),
)

FAULTS = {fault.name: fault for fault in _CATALOGUE}
