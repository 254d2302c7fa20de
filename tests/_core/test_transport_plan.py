"""Exact transport plans and the potentials that prove them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from minimalml._core import transport_plan as module
from minimalml._core.transport_plan import transport_plan

TOLERANCE = 1e-9  # rounding of sums of masses


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([1e-200, 1e-9, 1.0, 1e200]),
    st.integers(0, 10**6),
)
def test_plan_is_optimal_and_potentials_prove_it(n_rows, n_columns, scale, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 4, size=n).astype(float) for n in (n_rows, n_columns))
    a[0], b[0] = a[0] + 1, b[0] + 1
    b *= a.sum() / b.sum()
    cost = rng.normal(size=(n_rows, n_columns)).round(1)

    value, plan, u, v = transport_plan(a, b, cost * scale, who="test")
    value, u, v = value / scale, u / scale, v / scale
    dense = plan.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), a, atol=TOLERANCE)
    np.testing.assert_allclose(dense.sum(axis=0), b, atol=TOLERANCE)
    gaps = cost - u[:, None] - v
    assert gaps.min() >= -TOLERANCE
    assert np.abs(gaps[dense > 0]).max() <= TOLERANCE
    assert value == pytest.approx((dense * cost).sum(), abs=TOLERANCE)
    assert value == pytest.approx(_by_linear_programme(a, b, cost), abs=1e-7)
    far = cost + 1e6 * rng.uniform(size=(n_rows, 1))  # changes no plan
    moved = transport_plan(a, b, far, who="test").plan.toarray()
    assert (moved * cost).sum() == pytest.approx(value, abs=1e-7)


def _by_linear_programme(a, b, cost):
    rows = np.kron(np.eye(len(a)), np.ones(len(b)))
    columns = np.kron(np.ones(len(a)), np.eye(len(b)))
    limits = np.concatenate([a, b])
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=limits).fun


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 1.0], [1.0, 1.1], "same total, got 2.0 and 2.1"),
        ([-1.0, 2.0], [0.5, 0.5], "at least 0"),
        ([0.0, 0.0], [0.0, 0.0], "one above 0"),
        ([1.0, np.nan], [0.5, 0.5], "finite"),
        ([1.0], [1.0], "shape"),
    ],
)
def test_masses_that_cannot_be_moved_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        transport_plan(a, b, np.zeros((2, 2)), who="test")


def test_plan_that_was_not_found_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    cost = np.random.default_rng(0).uniform(size=(30, 30))
    masses = np.full(30, 1 / 30)
    with pytest.raises(RuntimeError, match=r"30 to 30 .* within 1 iterations"):
        transport_plan(masses, masses, cost, who="test")
