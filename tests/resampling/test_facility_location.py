"""Lazy greedy facility location beside plain greedy."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from minimalml.resampling._facility_location import (
    LazyGreedy,
    column_shares,
    greedy_facility_location,
)

pytestmark = pytest.mark.kernel


def plain_greedy(similarity, n_picks, weights):
    """Evaluate every row for every pick."""
    current, picks = None, []
    for _ in range(n_picks):
        rise = similarity if current is None else np.maximum(similarity - current, 0)
        gains = rise @ weights
        gains[picks] = -np.inf
        picks.append(int(gains.argmax()))
        best = similarity[picks[-1]]
        current = best if current is None else np.maximum(current, best)
    return picks


@given(st.integers(1, 25), st.integers(1, 9), st.booleans(), st.integers(0, 10**6))
def test_lazy_picks_are_those_of_plain_greedy(n_rows, n_columns, is_weighted, seed):
    # whole numbers: no rounding, and many ties
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-4, 5, size=(n_rows, n_columns)).astype(float)
    weights = 2.0 ** rng.integers(-2, 3, size=n_columns) if is_weighted else None
    expected = plain_greedy(
        similarity, n_rows, np.ones(n_columns) if weights is None else weights
    )
    shares = np.ones(n_columns) if weights is None else weights
    assert LazyGreedy(similarity, shares).add(n_rows).tolist() == expected
    stepwise = LazyGreedy(np.ascontiguousarray(-similarity), shares, sign=-1.0)
    for _ in range(n_rows):
        stepwise.add(1)
    assert stepwise.indices.tolist() == expected


def test_many_picks_need_few_evaluations_and_no_threads():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(1500, 16)), rng.normal(size=(300, 16))
    similarity = -np.linalg.norm(points[:, None] - targets, axis=2)
    greedy = LazyGreedy(similarity, column_shares(None, 300))
    picks = greedy.add(300)
    assert greedy.n_evaluations <= 1500 * 300 / 20
    assert picks.tolist() == plain_greedy(similarity, 300, np.full(300, 1 / 300))
    assert greedy_facility_location(similarity, 50).tolist() == picks[:50].tolist()
    with threadpool_limits(1):
        assert (greedy_facility_location(similarity, 300) == picks).all()
    similarity.flags.writeable = False
    narrow = similarity.astype(np.float32)
    assert greedy_facility_location(similarity, 9).tolist() == picks[:9].tolist()
    assert greedy_facility_location(narrow, 9).tolist() == picks[:9].tolist()


@given(st.integers(2, 7), st.integers(1, 3), st.integers(0, 10**6))
def test_value_is_at_least_63_percent_of_the_best(n_rows, n_picks, seed):
    n_picks = min(n_picks, n_rows)
    similarity = np.random.default_rng(seed).uniform(size=(n_rows, 5))

    def value(rows):
        return similarity[list(rows)].max(axis=0).sum()

    best = max(map(value, combinations(range(n_rows), n_picks)))
    ours = value(greedy_facility_location(similarity, n_picks))
    assert (1 - 1 / np.e) * best <= ours <= best + 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n_samples_to_select=0), "from 1 to the 3 rows .* got 0"),
        (dict(n_samples_to_select=4), "from 1 to the 3 rows .* got 4"),
        (dict(n_samples_to_select=1.0), "integer"),
        (dict(n_samples_to_select=1, weights=[1, 2]), "each of the 4 columns"),
        (dict(n_samples_to_select=1, weights=[1, -2, 0, 0]), "at least 0"),
        (dict(n_samples_to_select=1, weights=[0, 0, 0, 0]), "not all 0"),
        (
            dict(n_samples_to_select=1, weights=[0, 0, 0, np.nan]),
            "weights contains NaN",
        ),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        greedy_facility_location(np.ones((3, 4)), **arguments)
    with pytest.raises(ValueError, match="similarity contains NaN"):
        greedy_facility_location([[np.nan]], 1)
