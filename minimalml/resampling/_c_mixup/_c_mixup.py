"""C-Mixup as a resampler: more rows for regression, mixed from rows of close labels.

Yao, Wang, Zhang, Zou, Finn: "C-Mixup: Improving Generalization in Regression",
NeurIPS 2022.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state

from minimalml._core.validation import Interval, StrOptions, _fit_context
from minimalml.resampling._c_mixup._candidates import check_weights
from minimalml.resampling._c_mixup._documentation import document_mixing
from minimalml.resampling._c_mixup._mixed_table import (
    check_table,
    is_frame,
    mix_table,
    stack_mixed,
)
from minimalml.resampling._c_mixup._mixing import MIXING_CONSTRAINTS, draw_mixing
from minimalml.resampling._c_mixup._target_kernel import (
    SAMPLER_CONSTRAINTS,
    TargetKernelSampler,
    kernel_parameters,
)

RESAMPLER_CONSTRAINTS = {
    "ratio": [Interval(Real, 0, None, closed="left")],
    "keep_original": ["boolean"],
    **MIXING_CONSTRAINTS,
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    **SAMPLER_CONSTRAINTS,
    "random_state": ["random_state"],
}


@document_mixing
class CMixup(BaseEstimator):
    """Add rows mixed from pairs of rows whose labels are close.

    A resampler for regression in the style of imbalanced-learn: it goes before the
    regressor in ``imblearn.pipeline.Pipeline``. It regularises where rows are few, noisy
    or shifted between training and use; on clean tables of moderate size plain training
    is often as good. In scikit-learn's own pipelines use `CMixupRegressor`. It costs
    O(n log n) time for one target column and the kernel of labels.

    Attributes
    ----------
    sampler_ : TargetKernelSampler
        The distribution of partners.

    sample_indices_ : ndarray of int of shape (n_mixed, 2)
        Row and partner of each mixed row.

    mixing_ : ndarray of shape (n_mixed,)
        Share of the row, lambda; the partner has the rest.

    sample_weight_ : ndarray of shape (n_new,) or None
        Weights of the new rows: of a mixed row, its pair's weights mixed alike. None
        if no weights were given.

    See Also
    --------
    CMixupRegressor : A regressor fitted on the mixed rows.
    TargetKernelSampler : The draws of partners alone.

    Notes
    -----
    For lambda ~ Beta(alpha, alpha) and partner j ~ w_j k(y_i, y_j) the mixed row is
    ``lambda x_i + (1 - lambda) x_j`` with label ``lambda y_i + (1 - lambda) y_j``.
    Data that are exactly affine stay so. A number that is missing (NaN) in either row
    is missing in the mixed row. Rows of weight 0 count as absent: they are neither
    mixed nor kept. With Dask, mix partition by partition.

    References
    ----------
    .. [1] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022. arXiv:2210.05775

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from minimalml.resampling import CMixup
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_new, y_new = CMixup(ratio=0.5, random_state=0).fit_resample(X, y)
    >>> X.shape, X_new.shape
    ((442, 10), (663, 10))
    """

    _parameter_constraints = RESAMPLER_CONSTRAINTS

    def __init__(
        self,
        ratio=1.0,
        *,
        keep_original=True,
        alpha=2.0,
        lambda_per="pair",
        categorical_features=None,
        bandwidth=0.5,
        kernel="gaussian",
        standardize_target=True,
        metric="target",
        input_bandwidth=None,
        exclude_self=False,
        max_neighbors=None,
        random_state=None,
    ):
        self.ratio = ratio
        self.keep_original = keep_original
        self.alpha = alpha
        self.lambda_per = lambda_per
        self.categorical_features = categorical_features
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.standardize_target = standardize_target
        self.metric = metric
        self.input_bandwidth = input_bandwidth
        self.exclude_self = exclude_self
        self.max_neighbors = max_neighbors
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Check the data and learn the distribution of partners.

        Parameters
        ----------
        X, y, sample_weight, groups
            As in `fit_resample`.

        Returns
        -------
        self : CMixup
        """
        self._fit_table(X, y, sample_weight, groups)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_resample(self, X, y, sample_weight=None, groups=None):
        """Return the data with mixed rows added.

        Parameters
        ----------
        X : array-like, CSR matrix or DataFrame of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Partners are drawn in proportion to it; rows of weight 0 count as absent.

        groups : array-like of shape (n_samples,), default=None
            Partners come from the row's own group only. A group of a single row mixes
            it with itself.

        Returns
        -------
        X_new : ndarray, CSR matrix or DataFrame of shape (n_new, n_features)
            A frame keeps its columns and the dtypes of categories; integers that are
            mixed become floats.

        y_new : ndarray, Series or DataFrame of shape (n_new,) or (n_new, n_targets)
            Floats.
        """
        table, numbers, is_category, labels, weights = self._fit_table(
            X, y, sample_weight, groups
        )
        rng = check_random_state(self.random_state)
        present = np.arange(len(labels))
        if weights is not None:
            present = np.flatnonzero(weights)
        sources = self._draw_sources(present, rng)
        partners = self.sampler_.sample(sources, random_state=rng)
        self.mixing_ = draw_mixing(len(sources), self.alpha, self.lambda_per, rng)
        self.sample_indices_ = np.column_stack([sources, partners])  # (n_mixed, 2)

        kept = present if self.keep_original else present[:0]
        pairs = (kept, sources, partners, self.mixing_)
        self.sample_weight_ = None if weights is None else stack_mixed(weights, *pairs)
        y_new = stack_mixed(labels, *pairs)
        return mix_table(table, numbers, is_category, *pairs), _like_target(y_new, y)

    def _fit_table(self, X, y, sample_weight, groups):
        X, numbers, labels, is_category = check_table(
            self, X, y, self.categorical_features
        )
        check_consistent_length(labels, sample_weight, groups)
        weights = check_weights(sample_weight, labels)
        n_present = len(labels) if weights is None else np.count_nonzero(weights)
        if round(self.ratio * n_present) == 0 and not self.keep_original:
            raise ValueError(
                f"ratio={self.ratio!r} with keep_original=False leaves no rows of "
                f"{n_present}: raise ratio or keep the original rows."
            )
        self.sampler_ = TargetKernelSampler(**kernel_parameters(self)).fit(
            labels,
            X=None if self.metric == "target" else numbers,
            sample_weight=weights,
            groups=groups,
        )
        return X, numbers, is_category, labels, weights

    def _draw_sources(self, present, rng):
        """Rows to mix: all of them as often as ``ratio`` says, a part for the rest."""
        n_mixed = round(self.ratio * len(present))
        whole, rest = divmod(n_mixed, len(present))
        part = np.sort(rng.permutation(len(present))[:rest]) if rest else []
        return np.concatenate([np.tile(present, whole), present[part]]).astype(np.intp)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.metric == "target"  # no distance of NaN
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


def _like_target(values, y):
    """Give labels the pandas type and names that they came with."""
    if not is_frame(y):
        return values
    if values.ndim == 1:
        return type(y)(values, name=y.name)
    return type(y)(values, columns=y.columns)
