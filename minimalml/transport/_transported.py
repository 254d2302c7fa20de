"""Learn where labels are, predict where they are not: domain adaptation by a mapper.

A mapper has ``fit(X, y=None, sample_domain=None)`` and ``transform(X)``, which moves source
rows to where targets are. Courty, Flamary, Tuia, Rakotomamonjy: "Optimal Transport for
Domain Adaptation", TPAMI 2017.
"""

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import check_array, check_consistent_length, get_tags

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import DelegatingMixin
from minimalml._core.sample_domain import split_domains
from minimalml._core.validation import (
    HasMethods,
    _fit_context,
    check_method_params,
    check_y,
    validate_data,
)
from minimalml.transport._sparse_transport._mapper import SparseTransportMapper

FLOATS = [np.float64, np.float32]


class TransportedEstimator(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Learn from labelled source rows, moved to where rows to predict are.

    For rows whose labels are known in one place (a scanner, a season, a plant) and wanted
    in another. The estimator learns from moved source rows with their labels, and predicts
    target rows as they are. Goes into pipelines and searches, where ``sample_domain``
    is split with the rows.

    Parameters
    ----------
    estimator : estimator
        What learns: a classifier, a regressor, or anything with ``fit``. It is cloned.

    mapper : estimator, default=None
        Has ``fit(X, sample_domain=...)`` and ``transform(X)``. None is
        ``SparseTransportMapper()``; a search over ``mapper__max_nonzeros`` needs it given.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on moved source rows.

    mapper_ : estimator
        The fitted mapper.

    classes_ : ndarray of shape (n_classes,)
        Of classifiers: the classes of source rows.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the features, where X had some.

    See Also
    --------
    SparseTransportMapper : Moves rows, each target served by few sources.

    Notes
    -----
    A search or cross-validation scores all rows of its test part, source rows too, which
    the estimator was not made for: give splits whose test parts hold target rows alone,
    or a scorer that looks at them.

    References
    ----------
    .. [1] N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, "Optimal Transport for
       Domain Adaptation", IEEE TPAMI 39(9), 2017. arXiv:1507.00504

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from minimalml.transport import TransportedEstimator
    >>> X, y = make_moons(200, noise=0.05, random_state=0)
    >>> domain = np.repeat([1, -1], 100)
    >>> X[domain < 0] += 2.0  # the second half moves away, and we know no labels there
    >>> model = TransportedEstimator(KNeighborsClassifier(1))
    >>> model.fit(X, y, sample_domain=domain).score(X[domain < 0], y[domain < 0]) > 0.9
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "mapper": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(self, estimator, mapper=None):
        self.estimator = estimator
        self.mapper = mapper

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_domain=None, **params):
        """Fit the mapper on all rows, and the estimator on moved source rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of both places.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets; those of target rows are not looked at, and may be NaN.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for source rows, below 0 for target rows. None: every row is both.

        **params : dict
            Passed to the estimator's ``fit``, by metadata routing where that is on; of
            what has a value a row, those of source rows.

        Returns
        -------
        self : TransportedEstimator

        Raises
        ------
        ValueError
            If ``sample_domain`` has no source row or no target row, or what the mapper
            and the estimator refuse.
        """
        X = validate_data(self, X, dtype=FLOATS)
        check_consistent_length(X, y)
        source, _ = split_domains(sample_domain, len(X))
        params = check_method_params(X, self._route("fit", params), source)
        if y is not None:
            multi_output = get_tags(self.estimator).target_tags.multi_output
            y = check_array(y, dtype=None, ensure_2d=False, ensure_all_finite=False)
            y = check_y(y[source], multi_output=multi_output)
        mapper = SparseTransportMapper() if self.mapper is None else clone(self.mapper)
        estimator = clone(self.estimator)
        with fit_task(self, X, y, 2) as task:
            with task.step("map", inner=mapper):
                self.mapper_ = mapper.fit(X, sample_domain=sample_domain)
            moved = mapper.transform(X[source])
            with task.step(
                "fit", attributes={"estimator_": estimator}, inner=estimator
            ):
                self.estimator_ = estimator.fit(moved, y, **params)
        return self

    def _rows_for_estimator(self, X):
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = False
        return tags
