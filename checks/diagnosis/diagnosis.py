"""Names the mistake of a gradient from the structure of its errors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from checks._types import FloatArray
from checks.diagnosis.case import Case, Fit
from checks.diagnosis.hypotheses import fits
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.verdict import Verdict
from checks.report.wording import listed

__all__ = ["diagnose"]

# A hypothesis is named if its agreement with the claim is worth so many bits more than its numbers
# and alternatives cost: by chance, that happens once in 4,096 times.
LEAST_EVIDENCE = 12.0
# Of two hypotheses that explain the same arrays, one is far likelier if it takes so many bits less.
# Otherwise both are named.
MUCH_LIKELIER = 6.0
MAX_NAMES = 3


def diagnose(
    arrays: Mapping[str, ArrayReport], values: Mapping[str, FloatArray]
) -> tuple[Diagnosis, ...]:
    """Name what is wrong with a gradient, array by array.

    Parameters
    ----------
    arrays
        The arrays of a report, by path.
    values
        The parameters, by path.

    Returns
    -------
    tuple of Diagnosis
        Each explains one or more of the arrays that are a MISMATCH, each entry to within its
        interval. Several that explain the same arrays equally well say so. The text of the last
        tells which arrays are right, and which are wrong without being explained. Empty if no
        array is explained.
    """
    wrong = {path: a for path, a in arrays.items() if a.verdict is Verdict.MISMATCH}
    found = {path: fits(Case.of(array, values[path], arrays)) for path, array in wrong.items()}
    explanations = list(_explanations(found))
    diagnoses = [
        diagnosis
        for alternatives in sorted(explanations, key=lambda a: list(found).index(a[0].paths[0]))
        for diagnosis in _texts(alternatives)
    ]
    explained = {path for alternatives in explanations for path in alternatives[0].paths}
    if not diagnoses:
        return ()
    right = [path for path, array in arrays.items() if array.verdict is Verdict.MATCH]
    rest = [path for path in wrong if path not in explained]
    text = diagnoses[-1].text
    if rest:
        text += f" Not explained by this: {listed(rest)}; {wrong[rest[0]].worst}."
    if right:
        text += f" {listed(right)} {'is' if len(right) == 1 else 'are'} right."
    return (*diagnoses[:-1], Diagnosis(diagnoses[-1].name, text))


@dataclass(frozen=True)
class _Explanation:
    """One hypothesis with one number, and the arrays that it explains."""

    fits: Mapping[str, Fit]

    @property
    def name(self) -> str:
        return next(iter(self.fits.values())).name

    @property
    def paths(self) -> list[str]:
        return list(self.fits)

    @property
    def rank(self) -> int:
        return max(fit.rank for fit in self.fits.values())

    @property
    def cost(self) -> float:
        """In bits: of a formula once, of which entries are wrong for each array."""
        costs = [fit.cost for fit in self.fits.values()]
        return sum(costs) if self.rank else max(costs)

    @property
    def is_supported(self) -> bool:
        evidence = sum(fit.evidence for fit in self.fits.values())
        return evidence - self.cost >= LEAST_EVIDENCE

    def of(self, paths: Sequence[str]) -> "_Explanation":
        return _Explanation({path: self.fits[path] for path in paths if path in self.fits})


def _explanations(found: Mapping[str, list[Fit]]) -> Iterator[list[_Explanation]]:
    """Yield explanations until no array is left that has one; alternatives come together.

    A formula comes before a description, what explains more arrays before what explains fewer,
    and the likelier before the less likely.
    """
    everywhere = []
    for path, candidates in found.items():
        for fit in candidates:
            agreeing = {
                other: next((f for f in theirs if f.agrees(fit)), None)
                for other, theirs in found.items()
            }
            agreeing[path] = fit
            everywhere.append(_Explanation({p: f for p, f in agreeing.items() if f is not None}))
    rest = list(found)
    while True:
        possible = [explanation.of(rest) for explanation in everywhere]
        possible = [e for e in possible if e.fits and e.is_supported]
        if not possible:
            return
        possible.sort(key=lambda e: (e.rank, -len(e.fits), e.cost))
        best = possible[0]
        alternatives: dict[str, _Explanation] = {}
        for e in possible:
            is_as_good = e.rank == best.rank and e.cost <= best.cost + MUCH_LIKELIER
            if e.paths == best.paths and is_as_good:
                alternatives.setdefault(e.name, e)
        yield list(alternatives.values())
        rest = [path for path in rest if path not in best.fits]


def _texts(alternatives: Sequence[_Explanation]) -> list[Diagnosis]:
    """Return what is wrong with some arrays, once for each hypothesis that explains them."""
    names = [explanation.name for explanation in alternatives]
    if len(names) > MAX_NAMES:
        text = (
            f"{_text(alternatives[0].fits)} Or: {listed(names[1:])}; the entries are too few, or "
        )
        text += "too much alike, to tell. Check at a point where they differ."
        return [Diagnosis(names[0], text)]
    remark = f" Nothing here tells {listed(names)} apart." if len(names) > 1 else ""
    return [Diagnosis(e.name, _text(e.fits) + remark) for e in alternatives]


def _text(group: Mapping[str, Fit]) -> str:
    paths_by_clause: dict[str, list[str]] = {}
    for path, fit in group.items():
        paths_by_clause.setdefault(fit.clause, []).append(path)
    parts = [
        f"{listed(paths)} {'is' if len(paths) == 1 else 'are'} {clause}"
        for clause, paths in paths_by_clause.items()
    ]
    text = "; ".join(parts) + "."
    if all(fit.single for fit in group.values()):
        text = text.replace(" in every entry", "")
    return text
