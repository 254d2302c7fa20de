"""Checks of symmetries: what should leave a method's answers as they are.

A symmetry is true of some methods and not of others, so these checks are opt-in. Each
docstring says for whom the property holds.
"""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_features, _num_samples

from minimalml.testing._applicability import (
    classifier,
    deterministic,
    regressor,
    weighted,
)
from minimalml.testing._comparison import (
    ROW_ATTRIBUTES,
    fit_after,
    plain,
    shorten,
)
from minimalml.testing._data_sets import permutation_of, take_rows
from minimalml.testing._property_check import property_check


@property_check(deterministic, examples=10)
def check_row_permutation(estimator, X, y, reference):
    """Check that the order of the training rows does not matter.

    True of methods that reach the optimum of a sum over rows: linear models, naive
    Bayes, scalers, PCA of full rank; trees and neighbours without ties. Not true of
    stochastic gradients, bootstraps, random starts. Clusters may be renumbered.

    Parameters
    ----------
    estimator : estimator
        Instance to check; clones of it are fitted, with a fixed random state.

    X : array-like of shape (n_samples, n_features), default=None
        Data to check on. None takes a fixed data set and then generated ones.

    y : array-like of shape (n_samples,), default=None
        Target that goes with ``X``.

    rtol : float, default=None
        Allowed change in units of an output's largest absolute value. None means
        1e-6, and 1e-3 for float32; an iterative solver needs its own tolerance here.

    atol : float, default=1e-7
        Allowed change on top of it. Both 0 ask for equality bit for bit.

    data : hypothesis strategy, default=None
        Draws tuples (X, y), in place of all built-in data. Those that the estimator
        refuses before any change are passed over.

    examples : int or hypothesis.settings, default=10
        Number of generated data sets, the same ones in each run, refused ones
        included; 0 needs no hypothesis. Settings are used as they are.

    Raises
    ------
    AssertionError
        If the property does not hold: which output changed, by how much and where.
    unittest.SkipTest
        If the property has no meaning for the estimator.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_row_permutation
    >>> check_row_permutation(Ridge())
    """
    change = "the rows of X were permuted"
    order = permutation_of(_num_samples(X))
    after = fit_after(change, estimator, take_rows(X, order), take_rows(y, order), X)
    before = reference.outputs.copy()
    for name in ROW_ATTRIBUTES:
        if name in after.outputs:
            after.outputs[name] = _put_back(after.outputs[name], order)
    if "sample_indices_" in before:
        before["sample_indices_"] = np.sort(before["sample_indices_"])
        chosen = order[after.outputs["sample_indices_"]]
        after.outputs["sample_indices_"] = np.sort(chosen)
    yield change, before, after.outputs


@property_check(deterministic, examples=10)
def check_feature_permutation(estimator, X, y, reference):
    """Check that the order of the columns does not matter.

    Columns are permuted in fit and in predict; those of a transformer follow their names
    from ``get_feature_names_out``. True of linear models, distances, kernels, naive
    Bayes; not of what breaks ties by position (trees, selectors), draws a number a
    feature, or reads columns as time or pixels.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minimalml.testing import check_feature_permutation
    >>> check_feature_permutation(StandardScaler())
    """
    change = "the columns of X were permuted"
    order = permutation_of(_num_features(X))
    permuted = _safe_indexing(X, order, axis=1)
    after = fit_after(change, estimator, permuted, y, permuted)
    outputs = after.outputs
    if "get_support" in outputs:
        outputs["get_support"] = _put_back(outputs["get_support"], order)
    if "transform" in outputs:
        places = _places_by_name(reference.model, after.model, X, order)
        outputs["transform"] = outputs["transform"][:, places]
    yield change, reference.outputs, outputs


@property_check(deterministic, weighted, examples=10)
def check_sample_weight_is_repetition(estimator, X, y, reference):
    """Check that a weight of two means the same as the row twice.

    True of methods that sum a loss over rows, the penalty being held against the sum
    of the weights. Not true where the number of rows itself counts: bootstraps,
    cross-validation inside, neighbour counts, quantile sketches, weights that are
    normalised to the number of rows.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_sample_weight_is_repetition
    >>> check_sample_weight_is_repetition(Ridge())
    """
    rng = np.random.default_rng(0)
    copies = rng.integers(1, 4, size=_num_samples(X))  # up to three times
    weighting = f"rows were weighted by {shorten(copies)} instead of repeated"
    yield _weighted(estimator, X, y, copies, "rows were repeated", weighting)


@property_check(deterministic, weighted, examples=10)
def check_zero_weight_is_removal(estimator, X, y, reference):
    """Check that a row of weight zero might as well not be there.

    True of nearly all methods that take weights, not of bootstraps or cross-validation
    inside; the usual bugs are a mean over all rows, a count of rows in the penalty, a
    scale learnt without weights. Each class keeps a row whose weight is not zero.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from minimalml.testing import check_zero_weight_is_removal
    >>> check_zero_weight_is_removal(LinearRegression())
    """
    copies = _ones_and_zeros(estimator, y, _num_samples(X))
    gone = shorten(np.flatnonzero(copies == 0))
    weighting = f"rows {gone} had weight zero instead of being removed"
    yield _weighted(estimator, X, y, copies, f"rows {gone} were removed", weighting)


@property_check(deterministic, regressor, examples=10)
def check_target_affine_equivariance(
    estimator, X, y, reference, *, scale=2.5, shift=-3.0
):
    """Check that predictions follow a change of the target's unit and origin.

    Fitted on ``scale * y + shift``, the model must predict ``scale * p + shift`` where
    it predicted ``p``. True of least squares and ridge with an intercept, neighbours,
    trees; without an intercept of ``shift=0`` only, and of ``scale=1`` only where a
    penalty or a zone has an absolute size (lasso, support vectors, Huber).

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    scale : float, default=2.5
        Factor of the target; not 0.

    shift : float, default=-3.0
        Number added to the target.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.testing import check_target_affine_equivariance
    >>> check_target_affine_equivariance(Ridge())
    >>> check_target_affine_equivariance(Ridge(fit_intercept=False), shift=0)
    """
    change = f"y became {scale:g} * y {shift:+g} and predictions were turned back"
    after = fit_after(change, estimator, X, scale * np.asarray(y) + shift, X)
    before = {"predict": reference.outputs["predict"]}
    back = {"predict": (after.outputs["predict"] - shift) / scale}
    yield change, before, back


@property_check(deterministic, classifier, examples=10)
def check_label_renaming(estimator, X, y, reference, *, keep_order=True):
    """Check that what the classes are called does not matter.

    The classes get new names, which are strings. With the sorted order kept this is
    true of every classifier; with the order reversed of methods that treat classes
    alike, not of what breaks ties by position or draws numbers class by class.

    Parameters
    ----------
    estimator, X, y, rtol, atol, data, examples
        As in :func:`check_row_permutation`, and so are the errors raised.

    keep_order : bool, default=True
        Whether the new names sort as the old ones; False reverses them.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from minimalml.testing import check_label_renaming
    >>> check_label_renaming(GaussianNB())
    """
    change = (
        f"the classes were renamed in the {'same' if keep_order else 'reversed'} order"
    )
    compared = ("predict", "predict_proba", "decision_function")
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    names = np.array([f"class {code:04d}" for code in range(len(classes))])
    if not keep_order:
        names = names[::-1]
    after = fit_after(change, estimator, X, names[codes], X)
    outputs = {k: v for k, v in after.outputs.items() if k in compared}
    before = {k: v for k, v in reference.outputs.items() if k in compared}
    outputs["predict"] = _named_back(estimator, outputs["predict"], names, classes)
    if not keep_order:
        outputs = {k: _in_reversed_order(k, v) for k, v in outputs.items()}
    yield change, before, outputs


SYMMETRIES = (
    check_row_permutation,
    check_feature_permutation,
    check_sample_weight_is_repetition,
    check_zero_weight_is_removal,
    check_target_affine_equivariance,
    check_label_renaming,
)


def _put_back(permuted, order):
    restored = np.empty_like(permuted)
    restored[order] = permuted
    return restored


def _places_by_name(model, permuted_model, X, order):
    """Where each column of a transformer's output went, as far as names tell."""
    names = np.asarray(getattr(X, "columns", [f"x{j}" for j in range(len(order))]))
    if not hasattr(model, "get_feature_names_out"):
        return slice(None)
    before = list(model.get_feature_names_out(names))
    after = list(permuted_model.get_feature_names_out(names[order]))
    if set(before) != set(after):
        return slice(None)
    return [after.index(name) for name in before]


def _named_back(estimator, predicted, names, classes):
    unknown = set(np.ravel(predicted)) - set(names)
    if unknown:
        raise AssertionError(
            f"{type(estimator).__name__}.predict returned {plain(unknown.pop())!r}, which is "
            f"not a class: y held {shorten(names)}."
        )
    sorter = np.argsort(names)
    return classes[sorter[np.searchsorted(names, predicted, sorter=sorter)]]


def _in_reversed_order(output, values):
    if output == "predict":
        return values
    return -values if values.ndim == 1 else values[:, ::-1]


def _weighted(estimator, X, y, copies, copying, weighting):
    """Compare a fit to so many copies of each row with one that has weights."""
    index = np.repeat(np.arange(len(copies)), copies)
    there = np.flatnonzero(copies)
    first_copies = (np.cumsum(copies) - copies)[there]
    X_copied, y_copied = take_rows(X, index), take_rows(y, index)
    before = fit_after(copying, estimator, X_copied, y_copied, X).outputs
    weight = copies.astype(float)
    after = fit_after(weighting, estimator, X, y, X, sample_weight=weight).outputs
    before, after = _rows_of(first_copies, before), _rows_of(there, after)
    return weighting, before, after


def _rows_of(rows, outputs):
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
