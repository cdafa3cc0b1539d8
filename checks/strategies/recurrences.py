"""Shapes of recurrent layers."""

from dataclasses import dataclass

from hypothesis import strategies as st

from checks.strategies.arguments import check_bounds, unlike

__all__ = ["Recurrence", "recurrences"]


@dataclass(frozen=True)
class Recurrence:
    """The shapes of a recurrent layer, samples first.

    Attributes
    ----------
    batch, steps, inputs, hidden : int
        Samples, steps in time, and the numbers of each input and of each state.
    gates : int
        1 of a plain layer, 3 of a GRU, 4 of an LSTM.
    lengths : tuple of int
        How many steps each sample has, at least one; what follows is padding.
    """

    batch: int
    steps: int
    inputs: int
    hidden: int
    gates: int
    lengths: tuple[int, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of "x", the first state "h", the weights "w_x" and "w_h", and the biases "b".

        They are (B, steps, inputs), (B, hidden), (gates · hidden, inputs), (gates · hidden, hidden)
        and (gates · hidden,).
        """
        rows = self.gates * self.hidden
        return {
            "x": (self.batch, self.steps, self.inputs),
            "h": (self.batch, self.hidden),
            "w_x": (rows, self.inputs),
            "w_h": (rows, self.hidden),
            "b": (rows,),
        }

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape (B, steps, hidden) of all states."""
        return (self.batch, self.steps, self.hidden)


def recurrences(
    *,
    min_batch: int = 1,
    max_batch: int = 3,
    min_steps: int = 1,
    max_steps: int = 4,
    min_inputs: int = 1,
    max_inputs: int = 4,
    min_hidden: int = 1,
    max_hidden: int = 3,
    gates: int = 1,
) -> st.SearchStrategy[Recurrence]:
    """Draw the shapes of a recurrent layer, with a length of each sample.

    No array is square by chance: lengths above 1 differ, if the bounds allow. Shrinks towards one
    of everything, and towards samples without padding.

    Parameters
    ----------
    min_batch, max_batch, min_steps, max_steps
        Bounds of the number of samples, and of steps.
    min_inputs, max_inputs, min_hidden, max_hidden
        Bounds of the numbers of an input, and of a state.
    gates
        1 of a plain layer, 3 of a GRU, 4 of an LSTM.

    Raises
    ------
    InvalidArgument
        A bound is no whole number of at least 1, or a minimum is above its maximum.
    """
    for name, low, high in (
        ("batch", min_batch, max_batch),
        ("steps", min_steps, max_steps),
        ("inputs", min_inputs, max_inputs),
        ("hidden", min_hidden, max_hidden),
        ("gates", gates, gates),
    ):
        check_bounds(name, low, high)

    @st.composite
    def drawn(draw: st.DrawFn) -> Recurrence:
        batch = unlike(draw, min_batch, max_batch)
        steps = unlike(draw, min_steps, max_steps, batch)
        hidden = unlike(draw, min_hidden, max_hidden, batch, steps)
        inputs = unlike(draw, min_inputs, max_inputs, batch, steps, hidden, gates * hidden)
        lengths = tuple(steps - draw(st.integers(0, steps - 1)) for _ in range(batch))
        return Recurrence(batch, steps, inputs, hidden, gates, lengths)

    return drawn()
