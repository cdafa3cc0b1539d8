"""The search for wrong entries, on arrays of which each entry is planted as right or wrong."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation.directional import DirectionalDerivative
from checks.evaluation.directional import DirectionalEvaluations
from checks.judgement import localisation
from checks.judgement.localisation import find_nonfinite_blocks, find_wrong_blocks, locate
from checks.parameters.random_directions import Region
from checks.report.blocks import Block, Entry


class Planted:
    """An array of discrepancies, 0 where the claim is right, and what is asked about it."""

    def __init__(self, off):
        self.off, self.regions, self.entries = np.asarray(off, float), 0, []
        self.whole = Region.whole(self.off.shape)

    def is_wrong(self, regions):
        self.regions += len(regions)
        return [bool(self.off[r.rows, r.columns].any()) for r in regions]

    def judge(self, regions):
        self.entries += regions
        found = [(r, self.off[r.rows, r.columns].item()) for r in regions]
        return [Entry(r, d, 0.0, 0.0, d != 0) for r, d in found]

    def located(self, seed=0):
        return locate(self.whole, self.is_wrong, self.judge, np.random.default_rng(seed))

    def asked(self):
        return self.regions + len(self.entries)


def regions_of(blocks):
    return [block.region for block in blocks]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (1, 5), (9, 1), (7, 6), (16, 16), (33, 20)])
def test_a_single_entry_is_found_wherever_it_is(shape):
    size = math.prod(shape)
    for place in {0, size - 1, *np.random.default_rng(0).integers(size, size=6).tolist()}:
        off = np.zeros(shape)
        off.flat[place] = -2.5
        planted = Planted(off)
        (block,) = planted.located()
        assert block.region == planted.whole.entry(place)
        assert block.throughout
        assert [entry.claimed for entry in block.entries] == [-2.5]
        # each halving asks for one half or both; an entry that is drawn may be the wrong one, and
        # then 11 others are drawn to see whether all are
        assert planted.asked() <= 3 * math.log2(size) + 4 + 12


def test_one_wrong_entry_takes_about_three_halves_of_the_logarithm():
    asked = []
    for seed in range(40):
        off = np.zeros((64, 64))
        off.flat[np.random.default_rng(seed).integers(off.size)] = 1
        planted = Planted(off)
        planted.located(seed)
        asked.append(planted.regions)
    # 12 halvings, and in half of them the second half is asked for too
    assert np.mean(asked) == pytest.approx(1.5 * 12, rel=0.1)


@pytest.mark.parametrize("count", [2, 5, 30])
def test_scattered_entries_are_found_in_the_order_of_their_places(count):
    for seed in range(5):
        rng, off = np.random.default_rng(seed), np.zeros((24, 18))
        places = rng.choice(off.size, count, replace=False)
        off.flat[places] = rng.uniform(1, 2, count) * rng.choice([-1, 1], count)
        planted = Planted(off)
        expected = [planted.whole.entry(int(place)) for place in places]
        assert regions_of(planted.located(seed)) == sorted(expected)


RECTANGLES = [
    Region(0, 24, 0, 18),
    Region(5, 6, 0, 18),
    Region(0, 24, 7, 8),
    Region(23, 24, 0, 18),
    Region(0, 24, 17, 18),
    Region(8, 10, 0, 18),
    Region(0, 24, 4, 7),
]


@pytest.mark.parametrize("region", RECTANGLES)
@pytest.mark.parametrize("seed", range(3))
def test_rows_columns_and_the_whole_are_one_block(region, seed):
    off = np.zeros((24, 18))
    off[region.rows, region.columns] = np.random.default_rng(seed).uniform(1, 2, region.shape)
    planted = Planted(off)
    (block,) = planted.located(seed)
    assert block.region == region
    assert block.throughout
    # a block is sampled by 12 entries, or by those of each of its joined parts
    assert len(block.entries) >= 12
    sizes = [entry.discrepancy for entry in block.entries]
    assert sizes == sorted(sizes, reverse=True)


def test_two_blocks_that_do_not_touch_or_differ_in_extent_stay_apart():
    off = np.zeros((24, 18))
    off[:, [2, 9]] = 1
    assert regions_of(Planted(off).located()) == [Region(0, 24, 2, 3), Region(0, 24, 9, 10)]
    off = np.zeros((24, 18))
    off[[3, 20]] = 1
    assert regions_of(Planted(off).located()) == [Region(3, 4, 0, 18), Region(20, 21, 0, 18)]


def test_every_entry_of_a_small_region_is_judged():
    for shape in ((1, 4), (4, 1), (2, 2), (1, 1), (1, 3)):
        off = np.zeros(shape)
        off.flat[-1] = 1
        planted = Planted(off)
        assert regions_of(planted.located()) == [planted.whole.entry(off.size - 1)]
        assert (planted.regions, len(planted.entries)) == (0, off.size)
    planted = Planted([[0, 0, 0, 0, 1.0]])  # five entries are halved
    planted.located()
    assert planted.regions > 0


@pytest.mark.parametrize("off", [[[1.0, 1, 1, 1]], [[1.0, 1], [1, 1]]])
def test_wrong_entries_of_a_small_array_are_named_one_by_one(off):
    blocks = Planted(off).located()
    assert len(blocks) == 4
    assert all(block.region.size == 1 for block in blocks)


def test_a_region_is_a_block_only_if_twelve_entries_of_it_are_wrong():
    # of 4,000 entries every tenth is right: with 12 samples most draws see one of them
    off = np.ones((1, 4000))
    off[0, ::10] = 0
    for seed in range(6):
        blocks = Planted(off).located(seed)
        for block in blocks:
            if block.region.size > 4:
                assert len(block.entries) >= 12
        right = [e for b in blocks if b.region.size <= 4 for e in b.entries if not e.wrong]
        assert not right
    whole = [Planted(off).located(seed)[0].region.size == 4000 for seed in range(40)]
    assert 0.1 < np.mean(whole) < 0.5  # 0.9^12 = 0.28


def test_a_checkerboard_is_found_entry_by_entry():
    off = np.indices((12, 10)).sum(axis=0) % 2.0
    found = Planted(off).located()
    assert all(block.region.size == 1 for block in found)
    assert {(b.region.top, b.region.left) for b in found} == set(
        map(tuple, np.argwhere(off).tolist())
    )


def test_the_search_is_given_up_after_so_many_comparisons(monkeypatch):
    off = np.indices((40, 40)).sum(axis=0) % 2.0
    monkeypatch.setattr(localisation, "MAX_COMPARISONS", 100)
    planted = Planted(off)
    blocks = planted.located()
    # the 16 pieces of a region, and 12 entries of each, may be asked for after the last count
    assert 100 < planted.asked() <= 100 + 16 * (1 + 12)
    left = [block for block in blocks if not block.throughout]
    assert left
    assert all(block.entries == () for block in left)
    # no wrong entry is lost: what was not searched is reported as a region
    covered = np.zeros(off.shape)
    for block in blocks:
        covered[block.region.rows, block.region.columns] += 1
    assert covered.max() == 1
    assert covered[off == 1].min() == 1
    complete = len(Planted(off).located())
    monkeypatch.setattr(localisation, "MAX_COMPARISONS", 50_000)
    assert len(Planted(off).located()) == 800 != complete


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("n", "wrong", "narrowed"),
    [
        (4, [0, 1, 2, 3], [0, 1, 2, 3]),  # fewer than 8 pieces: never too many
        (7, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        (8, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),  # three quarters
        (8, [0, 1, 2, 3, 4, 5, 6], None),
        (8, [0, 1, 2, 3, 4, 5, 7], None),
        (8, [7], [7]),
        (32, [3, 4, 31], [3, 4, 31]),
        (32, [0, 4, 8, 12, 16, 20, 24], None),  # 7 of 8 pieces of 4, though 7 of 32 single ones
        (32, [0, 4, 8, 12, 16, 20], [0, 4, 8, 12, 16, 20]),
        (9, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_halving_along_an_axis_is_given_up_where_most_pieces_are_wrong(axis, n, wrong, narrowed):
    off = np.zeros((n, 3) if axis == 0 else (3, n))
    off[(wrong, 1) if axis == 0 else (1, wrong)] = 1
    planted = Planted(off)
    (found,) = localisation._narrow([planted.whole], axis, planted.is_wrong)
    if narrowed is None:
        assert found is None
    else:
        single = [Region(k, k + 1, 0, 3) if axis == 0 else Region(0, 3, k, k + 1) for k in narrowed]
        assert found == single


def test_several_regions_are_narrowed_each_by_itself():
    off = np.zeros((8, 8))
    off[:, :8] = np.eye(8)
    regions = [Region(0, 8, 0, 8), Region(0, 1, 0, 8), Region(6, 8, 0, 8), Region(5, 6, 5, 6)]
    planted = Planted(off)
    whole, row, two, one = localisation._narrow(regions, 1, planted.is_wrong)
    assert whole is None
    assert row == [Region(0, 1, 0, 1)]
    assert two == [Region(6, 8, 6, 7), Region(6, 8, 7, 8)]
    assert one == [Region(5, 6, 5, 6)]


@pytest.mark.parametrize(
    ("region", "count"),
    [
        (Region(0, 16, 0, 16), 16),
        (Region(3, 4, 0, 16), 4),
        (Region(0, 2, 0, 8), 8),
        (Region(1, 4, 2, 3), 3),
        (Region(0, 5, 0, 5), 16),
    ],
)
def test_sixteenths_are_disjoint_and_cover_the_region(region, count):
    pieces = localisation._sixteenths(region)
    assert len(pieces) == count
    covered = np.zeros((20, 20))
    for piece in pieces:
        covered[piece.rows, piece.columns] += 1
    assert covered.max() == 1
    assert covered[region.rows, region.columns].all()
    assert covered.sum() == region.size
    if region.size == 256:
        assert {piece.shape for piece in pieces} == {(4, 4)}


def block(*bounds, throughout=True, off=()):
    region = Region(*bounds)
    return Block(region, tuple(Entry(region.entry(0), d, 0.0, 0.0, True) for d in off), throughout)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        ([(0, 1, 0, 5), (1, 2, 0, 5)], [(0, 2, 0, 5)]),
        ([(1, 3, 0, 5), (0, 1, 0, 5), (3, 4, 0, 5)], [(0, 4, 0, 5)]),
        ([(0, 5, 2, 3), (0, 5, 3, 4)], [(0, 5, 2, 4)]),
        ([(0, 2, 0, 1), (5, 6, 0, 5), (6, 7, 0, 5)], [(0, 2, 0, 1), (5, 7, 0, 5)]),
        ([(0, 1, 0, 2), (1, 2, 0, 2)], [(0, 2, 0, 2)]),
        ([(0, 1, 0, 5), (2, 3, 0, 5)], None),  # not adjacent
        ([(0, 1, 0, 5), (1, 2, 0, 4)], None),
        ([(0, 1, 0, 5), (1, 2, 1, 5)], None),
        ([(0, 5, 2, 3), (0, 4, 3, 4)], None),
        ([(0, 5, 2, 3), (1, 5, 3, 4)], None),
        ([(0, 5, 2, 3), (0, 5, 4, 5)], None),
        ([(0, 1, 0, 1), (0, 1, 1, 2)], None),  # single entries stay single
        ([(0, 1, 0, 1), (0, 1, 1, 3)], None),
        ([(0, 1, 0, 2), (0, 1, 2, 3)], None),
    ],
)
def test_adjacent_blocks_of_the_same_extent_are_joined(parts, joined):
    found = localisation._joined([block(*part) for part in parts])
    expected = sorted(parts) if joined is None else joined
    assert [(r.top, r.bottom, r.left, r.right) for r in regions_of(found)] == expected


def test_only_blocks_that_are_wrong_throughout_are_joined_and_the_worst_entry_is_first():
    parts = (0, 1, 0, 5), (1, 2, 0, 5)
    for one, other in ((True, False), (False, True), (False, False)):
        blocks = [block(*parts[0], throughout=one), block(*parts[1], throughout=other)]
        assert len(localisation._joined(blocks)) == 2
    blocks = [block(*parts[0], off=(1.0, -5.0)), block(*parts[1], off=(3.0,))]
    (both,) = localisation._joined(blocks)
    assert [entry.claimed for entry in both.entries] == [-5, 3, 1]


# What regions and entries are compared by: claims and estimates along directions.


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", ["central", "complex-step"])
@pytest.mark.parametrize("error", [0.0, 1e-4])
def test_an_entry_is_wrong_beyond_its_error_and_its_part_of_the_tolerance(sign, method, error):
    x = np.full((5, 6), -2.0)  # of scale 2
    slopes = sign * np.linspace(1, 2, 30).reshape(5, 6)
    tolerance = 1e-3
    # along a direction an entry moves by at least a quarter of the scale
    least = tolerance / (0.25 * 2)
    for off, wrong in ((0.99, False), (1.01, True)):
        claim = slopes.copy()
        claim[3, 4] += 1.0
        claim[1, 2] -= sign * off * least  # moved by v the error is divided by |v| ≥ ½
        evaluations = DirectionalEvaluations(lambda p: np.sum(slopes * p), x, claim, 0)

        def central(path, moves, evaluations=evaluations):
            v = moves["params"]
            part = slopes[v.region.rows, v.region.columns]
            numeric = float(np.sum(part * v.values_in(v.region)))
            # the error of a single entry is planted relative to its direction
            size = np.abs(v.values_in(v.region)).sum() if v.region.size == 1 else 0
            return DirectionalDerivative(
                evaluations.claimed_slope(moves), numeric, error * float(size), "central"
            )

        estimator = SimpleNamespace(
            evaluations=evaluations, central=central, rng=np.random.default_rng(0)
        )
        whole = DirectionalDerivative(0.0, 0.0, 0.0, method)
        judged = []
        locate_as_before = locate

        def keep(whole, is_wrong, judge, rng, judged=judged, before=locate_as_before):
            judged += judge([whole.entry(k) for k in range(whole.size)])
            return before(whole, is_wrong, judge, rng)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(localisation, "locate", keep)
            blocks = find_wrong_blocks(estimator, "params", whole, tolerance)
        allowed = error if method == "central" else 0.0
        for entry, true, claimed in zip(judged, slopes.flat, claim.flat, strict=True):
            assert entry.numeric == pytest.approx(true)
            assert entry.claimed == pytest.approx(claimed)
            assert entry.error == pytest.approx(allowed)
        places = [entry.region for entry in judged if entry.wrong]
        found = Region(3, 4, 4, 5)
        is_wrong = wrong and off * least - allowed > least
        assert places == ([Region(1, 2, 2, 3)] if is_wrong else []) + [found]
        assert found in regions_of(blocks)


def test_an_entry_on_a_kink_is_not_wrong():
    x = np.ones((1, 3))
    evaluations = DirectionalEvaluations(np.sum, x, np.full((1, 3), 5.0), 0)

    def central(path, moves):
        claimed = evaluations.claimed_slope(moves)
        kink = moves["params"].region.left == 1
        return DirectionalDerivative(claimed, claimed / 5, 0.0, "central", kink=kink)

    estimator = SimpleNamespace(
        evaluations=evaluations, central=central, rng=np.random.default_rng(0)
    )
    whole = DirectionalDerivative(0.0, 0.0, 0.0, "central")
    blocks = find_wrong_blocks(estimator, "params", whole, 1e-3)
    assert regions_of(blocks) == [Region(0, 1, 0, 1), Region(0, 1, 2, 3)]


def test_the_error_of_a_region_counts():
    evaluations = DirectionalEvaluations(np.sum, np.ones((1, 8)), np.full((1, 8), 2.0), 0)
    for error, found in ((0.9, True), (1.1, False)):
        off = []

        def central(path, moves, error=error, off=off):
            claimed = evaluations.claimed_slope(moves)
            if moves["params"].region.size > 1:
                off.append(1)
            numeric = claimed + (1 + 1e-3 if moves["params"].region.size > 1 else 0)
            return DirectionalDerivative(claimed, numeric, error, "central")

        estimator = SimpleNamespace(
            evaluations=evaluations, central=central, rng=np.random.default_rng(0)
        )
        whole = DirectionalDerivative(0.0, 0.0, 0.0, "central")
        assert find_wrong_blocks(estimator, "params", whole, 0.05) == []
        # halves that are not wrong are not compared further: 8 = 4 + 4, and 4 = 2 + 2
        assert (len(off) > 2) == found


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_entries_that_are_not_finite_are_found_without_a_call(bad):
    claim = np.ones((9, 7))
    claim[4, 5] = bad
    evaluations = DirectionalEvaluations(np.sum, np.ones((9, 7)), claim, 0)
    before = evaluations.count
    estimator = SimpleNamespace(evaluations=evaluations, rng=np.random.default_rng(0))
    (block,) = find_nonfinite_blocks(estimator, "params")
    assert block.region == Region(4, 5, 5, 6)
    (entry,) = block.entries
    assert entry.wrong
    assert not np.isfinite(entry.claimed)
    assert np.isnan(entry.numeric)
    assert entry.error == np.inf
    assert evaluations.count == before
