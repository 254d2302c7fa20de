"""What every selector of rows keeps to: budget, target, order, containers."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from minimalml.resampling import OpenSetCoresetSelector, TransportCoresetSelector

SELECTORS = [
    OpenSetCoresetSelector(30, stopping_ratio=None),
    TransportCoresetSelector(),
]
NESTED = [OpenSetCoresetSelector]  # smaller budgets are prefixes of larger ones
N_POOL, N_TARGET = 60, 15

pytestmark = pytest.mark.parametrize("selector", SELECTORS, ids=repr)


@pytest.fixture
def pool(rng):
    return rng.normal(size=(N_POOL, 3))


@pytest.fixture
def target(rng):
    return rng.normal(0.5, 0.5, size=(N_TARGET, 3))


def selected(selector, X, **params):
    return clone(selector).fit(X, **params).sample_indices_


@pytest.mark.parametrize("budget", [1, 7, 0.2, N_POOL, 1.0])
def test_budget_is_spent_on_different_rows(selector, pool, target, budget):
    fitted = clone(selector).set_params(n_samples_to_select=budget)
    rows = fitted.fit(pool, X_target=target).sample_indices_
    n_expected = int(budget * N_POOL) if isinstance(budget, float) else budget
    assert len(rows) == len(set(rows)) == fitted.support_.sum() == n_expected
    assert fitted.n_samples_in_ == N_POOL
    assert fitted.get_support(indices=True).tolist() == sorted(rows)


def test_both_ways_to_give_a_target_select_the_same(selector, pool, target):
    mixed = np.vstack([target[:5], pool[:20], target[5:], pool[20:]])
    domain = np.repeat([-1, 1, -1, 1], [5, 20, 10, 40])
    rows = selected(selector, mixed, sample_domain=domain)
    of_pool = np.flatnonzero(domain > 0)
    assert rows.tolist() == of_pool[selected(selector, pool, X_target=target)].tolist()


def test_order_of_rows_changes_nothing(selector, pool, target, rng):
    order = rng.permutation(N_POOL)
    moved = selected(selector, pool[order], X_target=target[::-1])
    assert order[moved].tolist() == selected(selector, pool, X_target=target).tolist()


def test_no_target_means_the_pool_itself(selector, pool):
    rows = selected(selector, pool)
    assert rows.tolist() == selected(selector, pool, X_target=pool).tolist()


def test_smaller_budgets_are_prefixes(selector, pool, target):
    if type(selector) not in NESTED:
        return
    few, many = (
        selected(selector.set_params(n_samples_to_select=n), pool, X_target=target)
        for n in (5, 25)
    )
    assert few.tolist() == many[:5].tolist()


def test_containers_precision_and_pickles(selector, pool, target):
    narrow = pool.astype(np.float32), target.astype(np.float32)
    rows = selected(selector, narrow[0], X_target=narrow[1])
    assert rows.tolist() == selected(selector, pool, X_target=target).tolist()
    frame = pd.DataFrame(pool, columns=list("abc"), index=np.arange(N_POOL) * 2)
    labels = pd.Series(np.arange(N_POOL), index=frame.index)
    frame_selected, labels_selected = clone(selector).fit_resample(
        frame, labels, X_target=pd.DataFrame(target, columns=list("abc"))
    )
    assert frame_selected.index.tolist() == (2 * rows).tolist()
    assert labels_selected.tolist() == rows.tolist()
    fitted = clone(selector).fit(pool, X_target=target)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.sample_indices_.tolist() == rows.tolist()


def test_targets_that_make_no_sense_are_refused(selector, pool, target):
    for params, message in [
        (dict(X_target=target, sample_domain=np.ones(N_POOL)), "give one of them"),
        (dict(X_target=target[:, :2]), "X_target has 2 features, but X has 3"),
        (dict(X_target=target[:0]), "X_target has no rows"),
        (dict(X_target=np.full((2, 3), np.inf)), "X_target contains infinity"),
        (dict(sample_domain=np.ones(N_POOL)), "60 source rows .* 0 target rows"),
        (dict(sample_domain=-np.ones(N_POOL)), "0 source rows .* 60 target rows"),
        (dict(sample_domain=np.ones(3)), r"shape \(3,\) but X has 60 rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            clone(selector).fit(pool, **params)
    with pytest.warns(UserWarning, match="61 is more than the 60 rows"):
        fitted = clone(selector).set_params(n_samples_to_select=61).fit(pool)
    assert fitted.support_.all()
    with pytest.raises(ValueError, match="n_samples_to_select"):
        clone(selector).set_params(n_samples_to_select=0).fit(pool)
