"""The name of a mistake, from the structure of a gradient's errors alone."""

from collections.abc import Mapping, Sequence

from checks._types import FloatArray
from checks.diagnosis.hypotheses import Case, Fit, fits
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.verdict import Verdict
from checks.report.wording import listed

__all__ = ["diagnose"]


def diagnose(
    arrays: Mapping[str, ArrayReport], values: Mapping[str, FloatArray], rtol: float
) -> tuple[Diagnosis, ...]:
    """Name what is wrong with a gradient.

    Parameters
    ----------
    arrays
        Of a report, by path.
    values
        The parameters, by path.
    rtol
        The accuracy that the claim owed.

    Returns
    -------
    tuple of Diagnosis
        One that explains every array that is a MISMATCH, every entry of it within its interval. If
        several do and leave equally little open, all of them. If it takes several to explain all
        arrays, these. Empty if nothing does.
    """
    wrong = {path: a for path, a in arrays.items() if a.verdict is Verdict.MISMATCH}
    found = {
        path: fits(Case(array, values[path], rtol * array.largest, arrays))
        for path, array in wrong.items()
    }
    if not found or not all(found.values()):
        return ()
    rest = [path for path, array in arrays.items() if array.verdict is Verdict.MATCH]
    shared = _shared(list(found.values()))
    if shared:
        texts = [_worded(dict(zip(found, chain, strict=True)), rest) for chain in shared]
        names = [chain[0].name for chain in shared]
        if len(texts) > 1:
            texts = [f"{text} Nothing here tells {listed(names)} apart." for text in texts]
        return tuple(Diagnosis(*pair) for pair in zip(names, texts, strict=True))
    return tuple(
        Diagnosis(next(iter(group.values())).name, _worded(group, rest))
        for group in _grouped(found)
    )


def _grouped(found: Mapping[str, list[Fit]]) -> list[dict[str, Fit]]:
    """Return one fit an array, by hypothesis; nothing if an array has none that is confirmed."""
    groups: list[dict[str, Fit]] = []
    for path, some in sorted(found.items(), key=lambda item: item[1][0].weak):
        best = next((fit for fit in some if not fit.weak), None)
        for group in groups:
            first = next(iter(group.values()))
            joining = next((fit for fit in some if fit.agrees(first)), None)
            if joining and (best is None or joining.rank <= best.rank):
                group[path] = joining
                break
        else:
            if best is None:
                return []
            groups.append({path: best})
    return groups


def _shared(found: Sequence[list[Fit]]) -> list[list[Fit]]:
    """Return the hypotheses that explain all arrays, as one fit an array; the least open ones."""
    chains = []
    for first in found[0]:
        chain = [first]
        for some in found[1:]:
            chain += [fit for fit in some if fit.agrees(first)][:1]
        if len(chain) == len(found) and not all(fit.weak for fit in chain):
            chains.append(chain)
    least = min((max(fit.rank for fit in chain) for chain in chains), default=0)
    return [chain for chain in chains if max(fit.rank for fit in chain) == least]


def _worded(group: Mapping[str, Fit], rest: list[str]) -> str:
    clauses: dict[str, list[str]] = {}
    for path, fit in group.items():
        clauses.setdefault(fit.clause, []).append(path)
    parts = [
        f"{listed(paths)} {'is' if len(paths) == 1 else 'are'} {clause}"
        for clause, paths in clauses.items()
    ]
    text = "; ".join(parts) + "."
    if all(fit.single for fit in group.values()):
        text = text.replace(" in every entry", "")
    return text + (f" {listed(rest)} {'is' if len(rest) == 1 else 'are'} right." if rest else "")
