"""Regions of an array, and the factors of directions against the same hash in Python's integers."""

from itertools import pairwise

import numpy as np
import pytest

from checks.parameters.random_directions import MIN_VISIBLE_SHARE, PIECE, Direction, Region

WORD = 0xFFFFFFFF


def hashed(h):
    """Hash a word of 32 bits by "lowbias32", in integers that never overflow."""
    h = (h ^ h >> 16) * 0x7FEB352D & WORD
    h = (h ^ h >> 15) * 0x846CA68B & WORD
    return h ^ h >> 16


def factor(place, keys):
    """Return one factor: the hash as a signed word, scaled to [½, 1) or [−1, −½)."""
    word = hashed(hashed(place + int(keys[0]) & WORD) ^ int(keys[1]))
    signed = word - 2**32 if word >= 2**31 else word
    return signed / 2**32 + (0.5 if signed >= 0 else -0.5)


@pytest.mark.parametrize("seed", [0, 7, 2**40])
@pytest.mark.parametrize("scale", [1.0, 2.0**-9, -3.0])
def test_factors_are_hashes_of_seed_array_round_and_place(seed, scale):
    region = Region(3, 9, 5, 16)
    direction = Direction(seed, 4, 2, region, scale)
    keys = np.random.SeedSequence(seed, spawn_key=(4, 2)).generate_state(2)
    assert direction.keys.tolist() == keys.tolist()
    r, c = direction.factors
    assert r.tolist() == [scale * factor(i, keys) for i in range(3, 9)]
    assert c.tolist() == [factor(WORD - j, keys) for j in range(5, 16)]
    assert np.array_equal(direction.values_in(region), np.outer(r, c))
    piece = Region(4, 6, 7, 15)
    assert np.array_equal(direction.values_in(piece), np.outer(r, c)[1:3, 2:10])


def test_factors_of_more_places_than_are_hashed_at_once():
    n = PIECE + 3
    (row,), columns = Direction(1, 0, 0, Region(0, 1, 0, n)).factors
    keys = Direction(1, 0, 0, Region(0, 1, 0, n)).keys
    assert row == factor(0, keys)
    for j in (0, PIECE - 2, PIECE - 1, PIECE, n - 1):
        assert columns[j] == factor(WORD - j, keys)


@pytest.mark.parametrize(
    ("shape", "whole"),
    [
        ((), (0, 1, 0, 1)),
        ((7,), (0, 1, 0, 7)),
        ((3, 4), (0, 3, 0, 4)),
        ((3, 4, 5), (0, 3, 0, 20)),
        ((1, 1), (0, 1, 0, 1)),
    ],
)
def test_the_first_axis_counts_as_rows_and_all_others_as_columns(shape, whole):
    region = Region.whole(shape)
    assert region == Region(*whole)
    assert region.shape == (whole[1], whole[3])
    assert region.size == int(np.prod(shape))


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (3, 2, 4)])
def test_every_entry_has_its_place_and_its_index(shape):
    whole = Region.whole(shape)
    places = np.arange(whole.size).reshape(shape)
    for number in range(whole.size):
        entry = whole.entry(number)
        assert entry.shape == (1, 1)
        assert places[entry.index(shape)] == number
        assert np.ravel(places.reshape(whole.shape)[entry.rows, entry.columns]) == number
    part = Region(1, 3, 2, 5)  # entries of a part are counted row by row within it
    assert [part.entry(k) for k in (0, 2, 3, 5)] == [
        Region(1, 2, 2, 3),
        Region(1, 2, 4, 5),
        Region(2, 3, 2, 3),
        Region(2, 3, 4, 5),
    ]


@pytest.mark.parametrize(("first", "last"), [(0, 2), (0, 5), (4, 8), (3, 10)])
def test_halves_are_neighbours_and_the_first_is_not_smaller(first, last):
    middle = first + -(-(last - first) // 2)
    upper, lower = Region(first, last, 7, 9).halves(0)
    assert (upper, lower) == (Region(first, middle, 7, 9), Region(middle, last, 7, 9))
    left, right = Region(7, 9, first, last).halves(1)
    assert (left, right) == (Region(7, 9, first, middle), Region(7, 9, middle, last))


@pytest.mark.parametrize(
    ("region", "sizes"),
    [
        (Region(2, 6, 1, 9), [(4, 8)]),
        (Region(0, 3, 1, 1 + PIECE), [(1, PIECE)] * 3),
        (Region(1, 3, 0, PIECE + 2), [(1, PIECE), (1, 2)] * 2),
        (Region(0, 5, 4, 4 + PIECE // 2), [(2, PIECE // 2)] * 2 + [(1, PIECE // 2)]),
    ],
)
def test_pieces_are_of_limited_size_and_cover_the_region_once(region, sizes):
    pieces = list(region.pieces())
    assert [piece.shape for piece in pieces] == sizes
    assert sum(piece.size for piece in pieces) == region.size
    for before, after in pairwise(pieces):
        assert (after.top, after.left) in [
            (before.bottom, region.left),
            (before.top, before.right),
        ]
    assert (pieces[0].top, pieces[0].left) == (region.top, region.left)


@pytest.mark.parametrize("seed", range(3))
def test_no_entry_of_a_direction_is_below_the_visible_share(seed):
    region = Region(0, 300, 0, 300)
    size = np.abs(Direction(seed, 0, 0, region).values_in(region))
    assert MIN_VISIBLE_SHARE <= size.min() < 1.05 * MIN_VISIBLE_SHARE
    assert 0.95 < size.max() <= 1
