"""Names the mistake of a gradient from the structure of its errors."""

from collections.abc import Mapping, Sequence

from checks._types import FloatArray
from checks.diagnosis.case import Case, Fit
from checks.diagnosis.hypotheses import fits
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
        The arrays of a report, by path.
    values
        The parameters, by path.
    rtol
        The tolerance of the claim, relative to the largest entry of an array.

    Returns
    -------
    tuple of Diagnosis
        One mistake, if it explains every array that is a MISMATCH, each entry to within its
        interval. Several, if each of them explains all these arrays equally well, or if different
        arrays have different mistakes. Empty, if some array cannot be explained.
    """
    wrong = {path: a for path, a in arrays.items() if a.verdict is Verdict.MISMATCH}
    found = {
        path: fits(Case(array, values[path], rtol * array.largest, arrays))
        for path, array in wrong.items()
    }
    if not found or not all(found.values()):
        return ()
    right = [path for path, array in arrays.items() if array.verdict is Verdict.MATCH]
    shared = _shared(list(found.values()))
    if shared:
        texts = [_text(dict(zip(found, per_array, strict=True)), right) for per_array in shared]
        names = [per_array[0].name for per_array in shared]
        if len(texts) > 1:
            texts = [f"{text} Nothing here tells {listed(names)} apart." for text in texts]
        return tuple(Diagnosis(*pair) for pair in zip(names, texts, strict=True))
    return tuple(
        Diagnosis(next(iter(group.values())).name, _text(group, right)) for group in _groups(found)
    )


def _groups(found: Mapping[str, list[Fit]]) -> list[dict[str, Fit]]:
    """Choose a fit for each array, and group the arrays that have the same mistake.

    Return nothing if an array is left with weak fits only.
    """
    groups: list[dict[str, Fit]] = []
    # arrays whose first fit is weak come last, so that they can join the group of another array
    for path, candidates in sorted(found.items(), key=lambda item: item[1][0].weak):
        best = next((fit for fit in candidates if not fit.weak), None)
        for group in groups:
            first = next(iter(group.values()))
            joining = next((fit for fit in candidates if fit.agrees(first)), None)
            if joining and (best is None or joining.rank <= best.rank):
                group[path] = joining
                break
        else:
            if best is None:
                return []
            groups.append({path: best})
    return groups


def _shared(found: Sequence[list[Fit]]) -> list[list[Fit]]:
    """Return the hypotheses that explain all arrays, each as a list of one fit per array.

    Only those with the least freedom are returned.
    """
    shared = []
    for first in found[0]:
        per_array = [first]
        for candidates in found[1:]:
            per_array += [fit for fit in candidates if fit.agrees(first)][:1]
        if len(per_array) == len(found) and not all(fit.weak for fit in per_array):
            shared.append(per_array)
    least = min((max(fit.rank for fit in per_array) for per_array in shared), default=0)
    return [per_array for per_array in shared if max(fit.rank for fit in per_array) == least]


def _text(group: Mapping[str, Fit], right: list[str]) -> str:
    """Say what is wrong with the arrays of a group, and which arrays are right."""
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
    return text + (f" {listed(right)} {'is' if len(right) == 1 else 'are'} right." if right else "")
