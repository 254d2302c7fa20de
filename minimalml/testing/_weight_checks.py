"""Checks of what a sample weight means: so many copies of the row.

Opt-in, as the symmetries are: each docstring says for whom the property holds.
"""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import _num_samples

from minimalml.testing._applicability import applies_to, deterministic, weighted
from minimalml.testing._comparison import (
    ROW_ATTRIBUTES,
    assert_unchanged,
    fit_after,
    shorten,
)
from minimalml.testing._data_sets import run_on_data, take_rows

LARGEST_REPEAT = 3


@applies_to(deterministic, weighted)
def check_sample_weight_is_repetition(
    estimator, X=None, y=None, *, rtol=None, atol=1e-7, data=None, examples=10
):
    """Check that a weight of two means the same as the row twice.

    True of methods that sum a loss over rows, the penalty being held against the sum
    of the weights. Not true where the number of rows itself counts: bootstraps,
    cross-validation inside, neighbour counts, quantile sketches, weights that are
    normalised to the number of rows. scikit-learn's own check covers one data set,
    at the tolerance of an exact solver.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`.

    Raises
    ------
    AssertionError
        If the property does not hold: which output changed, by how much and where.
    unittest.SkipTest
        If ``fit`` has no ``sample_weight``.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_sample_weight_is_repetition
    >>> check_sample_weight_is_repetition(Ridge())
    """

    def body(X, y, reference):
        rng = np.random.default_rng(0)
        copies = rng.integers(1, LARGEST_REPEAT + 1, size=_num_samples(X))
        changes = (
            "rows were repeated",
            f"rows were weighted by {shorten(copies)} instead of repeated",
        )
        _assert_copies(estimator, X, y, copies, changes, rtol, atol)

    run_on_data(body, estimator, X, y, data=data, examples=examples)


@applies_to(deterministic, weighted)
def check_zero_weight_is_removal(
    estimator, X=None, y=None, *, rtol=None, atol=1e-7, data=None, examples=10
):
    """Check that a row of weight zero might as well not be there.

    True of nearly all methods that take weights; the usual bugs are a mean over all
    rows, a count of rows in the penalty, and a scale or a set of thresholds learnt
    without the weights. Not true of bootstraps and of cross-validation inside. Each
    class keeps a row whose weight is not zero.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`.

    Raises
    ------
    AssertionError
        If the property does not hold: which output changed, by how much and where.
    unittest.SkipTest
        If ``fit`` has no ``sample_weight``.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from minimalml.testing import check_zero_weight_is_removal
    >>> check_zero_weight_is_removal(LinearRegression())
    """

    def body(X, y, reference):
        copies = _ones_and_zeros(estimator, y, _num_samples(X))
        gone = shorten(np.flatnonzero(copies == 0))
        changes = (
            f"rows {gone} were removed",
            f"rows {gone} had weight zero instead of being removed",
        )
        _assert_copies(estimator, X, y, copies, changes, rtol, atol)

    run_on_data(body, estimator, X, y, data=data, examples=examples)


def _assert_copies(estimator, X, y, copies, changes, rtol, atol):
    """Compare a fit on so many copies of each row with a weighted fit."""
    copying, weighting = changes
    index = np.repeat(np.arange(len(copies)), copies)
    there = np.flatnonzero(copies)
    first_copies = (np.cumsum(copies) - copies)[there]
    X_copied, y_copied = take_rows(X, index), take_rows(y, index)
    copied = fit_after(copying, estimator, X_copied, y_copied, X).outputs
    weights = copies.astype(float)
    weighted = fit_after(weighting, estimator, X, y, X, weights).outputs
    before = _row_attributes_at(first_copies, copied)
    after = _row_attributes_at(there, weighted)
    assert_unchanged(estimator, before, after, weighting, X=X, rtol=rtol, atol=atol)


def _row_attributes_at(rows, outputs):
    """Keep the given training rows of what a model learnt row by row."""
    outputs = {k: v for k, v in outputs.items() if k != "sample_indices_"}
    for name in ROW_ATTRIBUTES:
        if name in outputs:
            outputs[name] = outputs[name][rows]
    return outputs


def _ones_and_zeros(estimator, y, n_samples):
    """Ones and, for up to a third of the rows, zeros; never for a whole class."""
    copies = np.ones(n_samples, dtype=int)
    order = np.random.default_rng(0).permutation(n_samples)
    if is_classifier(estimator):
        classes = np.asarray(y)[order].reshape(n_samples, -1)
        firsts = [np.unique(column, return_index=True)[1] for column in classes.T]
        order = np.delete(order, np.unique(np.concatenate(firsts)))
    copies[order[: max(1, n_samples // 3)]] = 0
    return copies
