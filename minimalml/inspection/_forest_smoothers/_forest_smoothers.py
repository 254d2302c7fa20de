"""Forests, boosting and other models as smoothers: weights over training rows.

Curth, Jeffares, van der Schaar: "Why do Random Forests Work? Understanding Tree Ensembles
as Self-Regularizing Adaptive Smoothers", 2024.
"""

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _num_samples

# Kinds of models register themselves
import minimalml.inspection._forest_smoothers._boosted_leaves
import minimalml.inspection._forest_smoothers._combined_smoothers
import minimalml.inspection._forest_smoothers._other_smoothers  # noqa: F401
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.validation import (
    HasMethods,
    Integral,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_params,
)
from minimalml.inspection._forest_smoothers._smoother import (
    as_rows,
    checked_smoother,
    known_smoother,
    smoother_of,
)

# An array of weights above this is refused; sparse ones and norms need far less.
MOST_DENSE_BYTES = 2e9


@validate_params(
    {"oob": ["boolean"], "output": [StrOptions({"dense", "sparse"})]},
    prefer_skip_nested_validation=True,
)
def smoother_weights(
    model,
    X_eval=None,
    *,
    X_train,
    y_train=None,
    sample_weight=None,
    oob=False,
    output="dense",
):
    """Tell how much each training row counts in each prediction of a model.

    Predictions are ``weights @ y_train``; of classifiers, ``predict_proba`` is, with an
    indicator of each class for ``y_train``. Time and memory are those of the rows that
    share leaves; boosting takes O(n_train^2) a stage.

    Parameters
    ----------
    model : estimator
        Fitted: trees, random forests and extra trees of both kinds;
        GradientBoostingRegressor of squared errors; bagging, voting and stacking of
        those; LinearRegression, Ridge, nearest neighbours; a Pipeline or search that
        ends in one; any class with a method ``smoother_weights(X_eval, X_train)``.

    X_eval : array-like of shape (n_rows, n_features), default=None
        Rows to predict; None for the training rows.

    X_train : array-like of shape (n_train, n_features)
        What the model was fitted on. Trees notice other rows.

    y_train : array-like of shape (n_train,) or (n_train, n_outputs), default=None
        If given, weights are compared with predictions on up to 1,000 training rows, to
        1e-6. Needed where classes have weights.

    sample_weight : array-like of shape (n_train,), default=None
        That of the fit; of the last step of a pipeline.

    oob : bool, default=False
        Whether a training row is left to the trees that did not see it, which gives
        ``oob_prediction_``. A row that all trees saw gets NaN, with a warning.

    output : {"dense", "sparse"}, default="dense"
        An array, or a CSR array.

    Returns
    -------
    weights : ndarray or csr_array of shape (n_rows, n_train)
        Of trees, forests and neighbours at least 0 and with sum 1 in each row.

    Raises
    ------
    ValueError
        If predictions are no weighted sums of ``y_train``, the data can't be those of
        the fit, ``oob=True`` comes with other rows or a model without bootstrap, or a
        dense array would take more than 2 GB.
    TypeError, sklearn.exceptions.NotFittedError
        If the model is of another kind, or not fitted.

    References
    ----------
    .. [1] Curth et al., "Why do Random Forests Work?", 2024. arXiv:2402.01502

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from minimalml.inspection import smoother_weights
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(random_state=0).fit(X[:400], y[:400])
    >>> weights = smoother_weights(forest, X[400:], X_train=X[:400])
    >>> np.allclose(weights @ y[:400], forest.predict(X[400:]))
    True
    """
    smoother = checked_smoother(model, X_train, y_train, sample_weight)
    return weights_of_rows(smoother, X_eval, oob, output)


@validate_params(
    {"oob": ["boolean"], "per_row": ["boolean"], "staged": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def effective_parameters(
    model,
    X_eval=None,
    *,
    X_train,
    y_train=None,
    sample_weight=None,
    oob=False,
    per_row=False,
    staged=False,
):
    """Measure how much a model smooths at given rows: its effective parameters there.

    With weights s(x) over n training rows it is the mean of ``n ||s(x)||^2`` over rows: 1
    where all training rows count alike, n where one counts alone, and for least squares
    on its training rows the number of coefficients. The weights of forests are not
    formed: time and memory are those of the leaves.

    Parameters
    ----------
    model, X_eval, X_train, y_train, sample_weight
        As in `smoother_weights`.

    oob : bool, default=False
        Whether a training row is left to the trees that did not see it. Rows that all
        saw are NaN, and left out of the mean.

    per_row : bool, default=False
        Whether to return a number for each row.

    staged : bool, default=False
        Whether to go along the first 1, 2, ... trees of an ensemble.

    Returns
    -------
    float or ndarray of shape (n_rows,), (n_trees,) or (n_trees, n_rows)
        By ``per_row`` and ``staged``. A mean over no rows is NaN.

    Raises
    ------
    ValueError, TypeError, sklearn.exceptions.NotFittedError
        As `smoother_weights` does, and for ``staged=True`` without an ensemble.

    Notes
    -----
    At fixed weights, noise of variance v in ``y_train`` gives a prediction the variance
    ``v * effective_parameters / n_train``.

    Examples
    --------
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> from minimalml.datasets import make_mars
    >>> from minimalml.inspection import effective_parameters
    >>> X, y = make_mars(1000, random_state=0)
    >>> trees = ExtraTreesRegressor(random_state=0).fit(X[:500], y[:500])
    >>> round(effective_parameters(trees, X_train=X[:500]))
    500
    >>> effective_parameters(trees, X[500:], X_train=X[:500]) < 60
    True
    """
    smoother = checked_smoother(model, X_train, y_train, sample_weight)
    return parameters_of_rows(smoother, X_eval, oob, per_row, staged)


def weights_of_rows(smoother, X, oob=False, output="dense"):
    """Return the weights of rows as `smoother_weights` does."""
    X = eval_rows(X, oob)
    n_rows = _num_samples(smoother.training.X if X is None else X)
    n_train = smoother.training.n_rows
    needed = 8 * n_rows * n_train
    if output == "dense" and needed > MOST_DENSE_BYTES:
        raise ValueError(
            f"output='dense' would take {needed / 1e9:.1f} GB for {n_rows} x {n_train} "
            "weights: use output='sparse', fewer rows, or effective_parameters."
        )
    weights = smoother.weights(X, oob) if n_rows else np.empty((0, n_train))
    if output == "dense":
        return weights.toarray() if issparse(weights) else weights
    return csr_array(weights)


def parameters_of_rows(smoother, X=None, oob=False, per_row=False, staged=False):
    """Return the effective parameters of rows as `effective_parameters` does."""
    X = eval_rows(X, oob)
    if X is not None and _num_samples(X) == 0:
        return np.empty(0) if per_row else np.nan
    norms = smoother.row_norms(X, oob=oob, staged=staged)
    parameters = smoother.training.n_rows * norms.T
    if per_row:
        return parameters
    means = np.nanmean(parameters, axis=-1)
    return means if staged else float(means)


def eval_rows(X, oob):
    """Return rows to predict, None for the training rows, which alone are out of bag."""
    if oob and X is not None:
        raise ValueError(
            "oob=True is about the training rows: X_eval must be None, as new rows are "
            "in no bag."
        )
    return X if X is None else as_rows(X)


class SmootherAnalysis(DelegatingMixin, MetaEstimatorMixin, BaseEstimator):
    """Fit a model, and ask how much it smooths and which rows made its predictions.

    Keeps the training rows, so that nothing has to be passed again; predicts as
    ``estimator`` does, in pipelines and searches too. Costs the fit, and n_train numbers
    for each tree; boosting, n_train^2.

    Parameters
    ----------
    estimator : estimator, default=None
        A clone is fitted: any model that `smoother_weights` takes. None is
        ``RandomForestRegressor()``.

    random_state : int, RandomState instance or None, default=None
        Seed for ``random_state`` of the estimator and its parts; None leaves those as
        they are.

    n_jobs : int, default=None
        ``n_jobs`` for the estimator and its parts; None leaves those as they are.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.

    p0_train_ : float
        Effective parameters on the training rows.

    classes_ : ndarray of shape (n_classes,)
        Of classifiers.

    n_features_in_ : int
        Number of features.

    See Also
    --------
    effective_parameters, smoother_weights : The same for models that are fitted.
    smoothness_scorer : To search for the smoothest model.

    References
    ----------
    .. [1] Curth et al., "Why do Random Forests Work?", 2024. arXiv:2402.01502

    Examples
    --------
    >>> from minimalml.datasets import make_mars
    >>> from minimalml.inspection import SmootherAnalysis
    >>> X, y = make_mars(1000, random_state=0)
    >>> analysis = SmootherAnalysis(random_state=0).fit(X[:500], y[:500])
    >>> analysis.effective_parameters(X[500:]) < analysis.p0_train_ / 4
    True
    >>> rows, weights = analysis.nearest_training_rows(X[500:502], k=3)
    >>> rows.shape
    (2, 3)
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(self, estimator=None, *, random_state=None, n_jobs=None):
        self.estimator = estimator
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit the model, and keep the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows, where the estimator takes them.

        Returns
        -------
        self : SmootherAnalysis

        Raises
        ------
        ValueError, TypeError
            As `smoother_weights` does.
        """
        model = clone(self._estimator())
        model.set_params(**self._shared_parameters(model))
        params = {}
        if sample_weight is not None:
            name = "sample_weight" if _routing_enabled() else weight_parameter(model)
            params = self._route("fit", {name: sample_weight})
        self.estimator_ = model.fit(X, y, **params)
        self._take_feature_names()
        self._smoother = checked_smoother(model, X, y, sample_weight)
        self.p0_train_ = self.effective_parameters()
        return self

    def _estimator(self):
        return RandomForestRegressor() if self.estimator is None else self.estimator

    def _shared_parameters(self, model):
        """Return values for all parameters called random_state and n_jobs."""
        given = {"n_jobs": self.n_jobs}
        if self.random_state is not None:
            given["random_state"] = check_random_state(self.random_state).randint(
                2**31 - 1
            )
        return {
            name: given[name.split("__")[-1]]
            for name in model.get_params()
            if given.get(name.split("__")[-1]) is not None
        }

    def weights(self, X=None):
        """Tell how much each training row counts in each prediction.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), default=None
            Rows to predict; None for the training rows.

        Returns
        -------
        ndarray of shape (n_rows, n_train)
        """
        check_is_fitted(self)
        return weights_of_rows(self._smoother, X)

    def effective_parameters(self, X=None, *, per_row=False, staged=False):
        """Measure how much the model smooths at given rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), default=None
            Rows to predict; None for the training rows.

        per_row, staged : bool, default=False
            Whether to return a number for each row, and along the trees.

        Returns
        -------
        float or ndarray of shape (n_rows,), (n_trees,) or (n_trees, n_rows)
        """
        check_is_fitted(self)
        return parameters_of_rows(self._smoother, X, per_row=per_row, staged=staged)

    def nearest_training_rows(self, X, k=5):
        """Find the training rows that count most in each prediction.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows to predict.

        k : int, default=5
            Number of training rows, at most n_train.

        Returns
        -------
        indices : ndarray of int of shape (n_rows, k)
            The largest weight first; of equal ones, the lower row.

        weights : ndarray of shape (n_rows, k)
        """
        check_is_fitted(self)
        n_train = self._smoother.training.n_rows
        if not isinstance(k, Integral) or not 1 <= k <= n_train:
            raise ValueError(f"k must be an integer from 1 to {n_train}, got {k!r}.")
        weights = self.weights(X)
        indices = np.argsort(-weights, axis=1, kind="stable")[:, :k]
        return indices, np.take_along_axis(weights, indices, axis=1)


@known_smoother.register(SmootherAnalysis)
def _(model, training):
    return smoother_of(model.estimator_, training)


def weight_parameter(model):
    """Name the sample weights of a model in its fit: those of a pipeline's last step."""
    if not isinstance(model, Pipeline):
        return "sample_weight"
    return f"{model.steps[-1][0]}__{weight_parameter(model[-1])}"


def smoothness_scorer(analysis, X, y=None):
    """Score a `SmootherAnalysis` by how much it smooths, to be used as ``scoring``.

    Parameters
    ----------
    analysis : SmootherAnalysis
        Fitted; or a Pipeline that ends in one.

    X : array-like of shape (n_rows, n_features)
        Rows to predict.

    y : None
        Not read.

    Returns
    -------
    float
        Minus the effective parameters at X: greater is smoother.
    """
    if isinstance(analysis, Pipeline):
        X, analysis = analysis[:-1].transform(X), analysis[-1]
    return -analysis.effective_parameters(X)
