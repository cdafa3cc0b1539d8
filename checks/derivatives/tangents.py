"""Jacobian–vector products, judged along tangents of x."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.derivatives.linearity import with_vector
from checks.derivatives.options import Names, Options
from checks.derivatives.rows import judged_jacobian
from checks.estimation.numeric_gradient import Doubt
from checks.evaluation.box import Box
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import describe, flatten_claim
from checks.parameters.complex_parts import ComplexPoint, product_in_parts
from checks.parameters.layouts import LAYOUTS, overwritten
from checks.parameters.nesting import rebuild
from checks.report.report import Report

__all__ = ["judged_jvp"]

TANGENTS = 4  # random directions along which a forward derivative is checked
MOST = 8  # at most so many tangents are zero but for one array of x


def judged_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    point: ComplexPoint,
    options: Options,
    names: Names,
    doubt: Doubt | None = None,
) -> tuple[Report, Evaluations]:
    """Return the report of a Jacobian–vector product, as `judged_jacobian` does."""
    results = Results(f, point.params, names.results)
    if not callable(jvp):
        raise TypeError(
            f"{names.kind} is {describe(jvp)}, wanted a function of a point and a vector: pass the "
            "function, not its value"
        )
    jvp = product_in_parts(jvp, point, point, results.complex)
    tangents = Tangents(jvp, results, options.bounds, options.seed, names)
    t = np.zeros(len(tangents.all), tangents.dtype)
    within = replace(options, bounds=tangents.bounds)
    with results.handing_back(partial(with_vector, jvp, tangents.first)):
        report, evaluations = judged_jacobian(
            partial(tangents.results_at, f),
            tangents.claimed,
            ComplexPoint(t),
            within,
            replace(names, claim=names.kind, x="t"),
            doubt and tangents.doubt(doubt),
            tangents.changed,
        )
    tried = f"{t.size} vectors v were tried"
    if not report:
        tried += (
            ": the last index of an entry says which, and t is how far the point moves along it"
        )
    return replace(report, findings=(*report.findings, f"{tried}.")), evaluations


class Tangents:
    """Tangents of x, and what is claimed along them.

    Attributes
    ----------
    all : list of dict of str to ndarray
        By path.
    bounds : tuple
        Of the t by which f(x + Σ t_j v_j) is differentiated: within them, x stays in its own.
    """

    def __init__(
        self, jvp: Callable[[Any, Any], Any], results: Results, bounds: Any, seed: int, names: Names
    ) -> None:
        self._names = names
        self._jvp, self._results, self._x = jvp, results, results.point.nesting.params
        self._point, self._change = results.point.arrays, ""
        rng = np.random.default_rng(seed)
        arrays = self._point
        self.dtype = max((a.dtype for a in arrays.values()), key=lambda d: np.finfo(d).eps)
        box = Box(arrays, flatten_bounds(self._x, arrays, bounds))
        paths = [path for path, array in arrays.items() if array.size]
        alone = paths[:MOST] if len(paths) > 1 else []
        random = 10.0 ** rng.uniform(-1, 1, TANGENTS + len(alone))
        scales = np.append(random, 0.0)
        self.all = [
            {
                path: (scale * rng.uniform(0.5, 1, end.shape) * end).astype(arrays[path].dtype)
                for path, end in box.ends(rng).items()
            }
            for scale in scales
        ]
        for kept, tangent in zip(alone, self.all[TANGENTS:], strict=False):
            for path in set(tangent) - {kept}:
                tangent[path] *= 0
        # bounds of t within which Σ t_j v_j stays in the box, whatever the signs
        forward = 0.99 / (len(scales) * np.where(scales, scales, 1))
        self.bounds = -forward * min(map(_least_share, map(box.room, arrays))), forward

    @property
    def first(self) -> Any:
        """The first tangent, nested as x."""
        return rebuild(self._x, self.all[0])

    def changed(self) -> str:
        """Return the first change that the product made to a tangent, or an empty string."""
        return self._change

    def moved(self, t: Any) -> Any:
        """Return x + Σ t_j v_j."""
        return rebuild(
            self._x,
            {
                path: a + sum(s * v[path] for s, v in zip(t, self.all, strict=True))
                for path, a in self._point.items()
            },
        )

    def results_at(self, f: Callable[[Any], Any], t: Any) -> Any:
        """Return f(x + Σ t_j v_j)."""
        return f(self.moved(t))

    def doubt(self, of_x: Doubt) -> Doubt:
        """Return what is doubtful of derivatives by t, from that of derivatives by x."""
        inverse = [
            sum(float((np.abs(v[path]) / of_x.sizes[path]).sum()) for path in v) for v in self.all
        ]
        with np.errstate(divide="ignore"):
            sizes = {"params": 1 / np.array(inverse)}
        low = None if of_x.low is None else partial(self.results_at, of_x.low)
        return replace(of_x, low=low, sizes=sizes, is_symmetric=False)

    def claimed(self, t: Any) -> Any:
        """Return jvp(x + Σ t_j v_j, v_i) for every i, along a last axis, nested as f(x)."""
        there = self.moved(t) if t.any() or t.dtype != self.dtype else self._x
        columns = [self._product(there, n, tangent) for n, tangent in enumerate(self.all)]
        stacked = {path: np.stack([c[path] for c in columns], axis=-1) for path in columns[0]}
        arrays = dict(zip(self._results.at_point, stacked.values(), strict=True))
        return self._results.nesting.rebuild(arrays)

    def _product(
        self, there: Any, number: int, tangent: Mapping[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Return what is claimed along one tangent, of which the first few have other layouts."""
        layouts = () if self._change else tuple(LAYOUTS.values())
        layout = layouts[number - 1] if 0 < number <= len(layouts) else np.array
        handed = {path: layout(array) for path, array in tangent.items()}
        result = self._jvp(there, rebuild(self._x, handed))
        self._change = self._change or overwritten(tangent, handed)
        arrays, _ = flatten_claim(
            self._results.nesting.params, result, self._names.claim, root=f".{self._names.results}"
        )
        return {path: array.copy() for path, array in arrays.items()}


def _least_share(room: tuple[FloatArray, FloatArray]) -> float:
    """Return the least room on the narrower side of an entry over that on the other."""
    narrow, wide = np.minimum(*room), np.maximum(*room)
    return float(np.divide(narrow, wide, where=wide > 0, out=np.ones(wide.shape)).min(initial=1))
