"""Small changes of a Python file, one after the other: what `benchmarks.mutation` draws from.

Changed are comparisons, operators, constants and conditions; abs is left out, min becomes max, and
a result is negated. Text, f-strings, annotations, decorators and raise statements are not changed,
nor is any byte outside of the change.
"""

import ast
import re
from itertools import accumulate, pairwise
from math import isfinite
from pathlib import Path
from typing import NamedTuple

__all__ = ["Change", "changes"]

OPERATORS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",),
    "!=": ("==",), "is": ("is not",), "is not": ("is",), "in": ("not in",), "not in": ("in",),
    "and": ("or",), "or": ("and",), "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",),
    "//": ("/",), "%": ("//",), "**": ("*",), "@": ("*",), "&": ("|",), "|": ("&",), "^": ("&",),
    "<<": (">>",), ">>": ("<<",),
}  # fmt: skip
# Comments are matched first, so that no operator is found in them.
TOKEN = re.compile(r"#.*|not\s+in\b|is\s+not\b|and|or|in|is|[<>=!]=|<<|>>|\*\*|//|[-+*/%@&|^<>]")
PAIRS = "min max, minimum maximum, fmin fmax, nanmin nanmax, argmin argmax, any all, floor ceil"
OTHER = dict(pair.split() for pair in PAIRS.split(", "))
OTHER |= {b: a for a, b in OTHER.items()}
ABS = ("abs", "absolute", "fabs")
NUMBER = re.compile(r"(float|int|complex|\w*Array)( \| (float|int|complex|\w*Array))*")


class Change(NamedTuple):
    """The bytes `start` to `end` of a file become `text`."""

    path: Path
    source: bytes
    start: int
    end: int
    text: str

    def applied(self):
        return self.source[: self.start] + self.text.encode() + self.source[self.end :]

    def __str__(self):
        first = self.source.rfind(b"\n", 0, self.start) + 1
        after_last = (self.source + b"\n").index(b"\n", self.end) - len(self.source)
        lines = (s[first : len(s) + after_last].decode() for s in (self.source, self.applied()))
        before, after = (" ".join(line.split()) for line in lines)
        line = self.source.count(b"\n", 0, self.start) + 1
        return f"{self.path.as_posix()}:{line}: {before} -> {after}"


def name(node):
    return getattr(node, "attr", getattr(node, "id", ""))  # the last of a dotted name


def is_number(operand):
    """Whether an operand may be a number, not text, a list, or None in the type `X | None`."""
    text = isinstance(operand, ast.Constant) and isinstance(operand.value, str | bytes | None)
    return not text and not isinstance(operand, ast.JoinedStr | ast.List | ast.Tuple | ast.Starred)


def changes(path):
    """Return every change of a file that we know, in the order of the file."""
    source, found = path.read_bytes(), []
    begins = [0, *accumulate(map(len, source.splitlines(keepends=True)))]  # `ast` counts bytes

    def span(node):
        first, last = begins[node.lineno - 1], begins[node.end_lineno - 1]
        return first + node.col_offset, last + node.end_col_offset

    def add(start, end, *texts):
        found.extend(Change(path, source, start, end, text) for text in texts)

    def negate(node, sign):
        start, end = span(node)
        add(start, end, f"{sign}({source[start:end].decode()})")

    def change_operators(*operands):
        for left, right in pairwise(operands):
            between = source[span(left)[1] : span(right)[0]].decode()
            token = next(t for t in TOKEN.finditer(between) if t[0][0] != "#")
            start = span(left)[1] + len(between[: token.start()].encode())
            add(start, start + len(token[0]), *OPERATORS[" ".join(token[0].split())])

    def visit(node, returns):
        match node:
            case ast.JoinedStr():  # its parts have wrong positions in Python 3.11
                return
            case ast.Raise() | ast.keyword(arg="strict"):  # right results do not depend on them
                return
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Compare(left=ast.Name("__name__"))):
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                returns = ast.unparse(node.returns) if node.returns else ""
            case ast.Return(value=ast.expr()) if returns == "bool":
                negate(node.value, "not ")
            case ast.Return(value=ast.expr()) if NUMBER.fullmatch(returns):
                negate(node.value, "-")
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                if not isinstance(test, ast.Constant | ast.UnaryOp):
                    negate(test, "not ")
            case ast.Compare():
                change_operators(node.left, *node.comparators)
            case ast.BoolOp():
                change_operators(*node.values)
            case ast.BinOp(left=a, right=b) | ast.AugAssign(target=a, value=b):
                if is_number(a) and is_number(b):
                    change_operators(a, b)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
                add(span(node)[0], span(node)[0] + (3 if isinstance(node.op, ast.Not) else 1), "")
            case ast.Constant(value=bool()):
                add(*span(node), str(not node.value))
            case ast.Constant(value=int() | float() | complex() as x):
                few = isinstance(x, int) and x < 10
                near = (x + 1, x - 1) if few else (2 * x, type(x)(x / 2))
                add(*span(node), *(repr(y) for y in (near if x else [x + 1]) if isfinite(abs(y))))
            case ast.Call(func=f, args=[a], keywords=[]) if name(f) in ABS and is_number(a):
                add(*span(f), "")
            case ast.Name() | ast.Attribute() if name(node) in OTHER:
                add(span(node)[1] - len(name(node)), span(node)[1], OTHER[name(node)])
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns", "decorator_list"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        visit(child, returns)

    visit(ast.parse(source), "")
    return sorted(found, key=lambda change: change.start)
