"""Draw partners by the closeness of labels, exactly and without an n x n matrix.

The distribution of C-Mixup (Yao et al. 2022): row j is the partner of row i with
probability ~ w_j exp(-|y_i - y_j|^2 / (2 h^2)).
"""

import math
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array, check_consistent_length, check_random_state

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from minimalml.resampling._c_mixup._candidates import (
    check_indices,
    check_labels,
    check_weights,
    group_codes,
    in_bandwidths,
    on_host,
    order_candidates,
    standardize,
)
from minimalml.resampling._c_mixup._documentation import document_mixing
from minimalml.resampling._c_mixup._partner_draws import (
    all_masses,
    build_neighbors,
    draw_by_blocks,
    draw_by_neighbors,
    draw_by_sorting,
    near_masses,
)

SAMPLER_CONSTRAINTS = {
    "bandwidth": [Interval(Real, 0, None, closed="right")],  # infinity is allowed
    "kernel": [StrOptions({"gaussian", "tophat", "uniform"})],
    "standardize_target": ["boolean"],
    "metric": [StrOptions({"target", "input", "target_and_input"})],
    "input_bandwidth": [Interval(Real, 0, None, closed="right"), None],
    "exclude_self": ["boolean"],
    "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
}
# Draws at a time: bounds what a call needs beyond its result.
CHUNK = 2**16


@document_mixing
class TargetKernelSampler:
    """Draw partners for mixup by the closeness of their labels.

    The partner of row i is row j with probability ~ ``w_j k(i, j)``, where k falls with
    the distance of the labels (or of the inputs). It is exact, and builds no matrix of
    n x n. For one column of labels it takes O(n log n) to fit, O(log n) a draw and some
    40 bytes a row; for several, or distances of inputs, O(n) a draw.

    Attributes
    ----------
    n_samples_ : int
        Number of rows seen by `fit`.

    target_scale_ : array of shape (n_targets,)
        What the columns of the target were divided by.

    See Also
    --------
    CMixup : Resample a data set by mixing partners.
    sample_partners : The same in one call.

    Notes
    -----
    With one column the labels are sorted once. For a draw, the line around the label is
    cut into shells that are h / 2 wide, on both sides. A shell is drawn by a bound on its
    mass, its weight times the kernel at its inner edge, then a row in it by weight, which
    is accepted with probability kernel / bound; else all is drawn again. Labels of the
    same quarter of a bandwidth share their shells, whose bounds allow for the h / 8 that
    a label may be off the centre. Shells end where all that lies beyond weighs less than
    2^-54 of the bounds so far, below one rounding of their sum: 20 or so shells a side at
    a million rows. Weights below 1e-16 of their sum count as none.

    A row of weight 0 is never drawn. A row without any candidate (alone in its group and
    ``exclude_self``, or alone in its tophat) is its own partner.

    Draws run on the CPU. Of torch tensors `fit` takes the values there once, and
    `sample` returns partners to the device of the labels.

    References
    ----------
    .. [1] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022. arXiv:2210.05775

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import TargetKernelSampler
    >>> y = np.array([0.0, 0.1, 5.0, 5.1])
    >>> sampler = TargetKernelSampler(bandwidth=0.2).fit(y)
    >>> sampler.sample([0, 1, 2, 3], random_state=0) >= 2
    array([False, False,  True,  True])
    >>> sampler.probabilities(0).round(3)
    array([0.505, 0.495, 0.   , 0.   ])
    """

    def __init__(
        self,
        bandwidth=0.5,
        *,
        kernel="gaussian",
        standardize_target=True,
        metric="target",
        input_bandwidth=None,
        exclude_self=False,
        max_neighbors=None,
    ):
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.standardize_target = standardize_target
        self.metric = metric
        self.input_bandwidth = input_bandwidth
        self.exclude_self = exclude_self
        self.max_neighbors = max_neighbors

    def __repr__(self):
        parameters = kernel_parameters(self).items()
        return f"TargetKernelSampler({', '.join(f'{k}={v!r}' for k, v in parameters)})"

    def fit(self, y, X=None, sample_weight=None, groups=None):
        """Sort the labels, once for all draws.

        Parameters
        ----------
        y : array-like or tensor of shape (n_samples,) or (n_samples, n_targets)
            Labels.

        X : array-like, CSR matrix or tensor of shape (n_samples, n_features), \
                default=None
            Inputs; needed if ``metric`` compares them.

        sample_weight : array-like of shape (n_samples,), default=None
            Partners are drawn in proportion to it.

        groups : array-like of shape (n_samples,), default=None
            Partners come from the row's own group only.

        Returns
        -------
        self : TargetKernelSampler

        Raises
        ------
        ValueError
            If a parameter is out of range, a label isn't finite, or lengths differ.
        """
        validate_parameter_constraints(
            SAMPLER_CONSTRAINTS, kernel_parameters(self), type(self).__name__
        )
        self._device = y.device if is_torch_tensor(y) else None
        y, X, sample_weight, groups = map(on_host, (y, X, sample_weight, groups))
        labels = check_labels(y)
        check_consistent_length(labels, X, sample_weight, groups)
        weights = check_weights(sample_weight, labels)
        if weights is not None:  # only ratios count: sums then can't overflow
            weights = np.ldexp(weights, -np.frexp(weights.max())[1])
        self.n_samples_ = len(labels)
        labels, self.target_scale_ = standardize(
            labels, weights, self.standardize_target
        )
        views = self._make_views(labels, X)
        # parameters may be set anew after fit: what draws look at is kept apart
        self._is_sorted = self.max_neighbors is None and _is_single_column(views)
        self._candidates = order_candidates(
            views, weights, group_codes(groups),
            exclude_self=self.exclude_self, by_label=self._is_sorted,
        )  # fmt: skip
        self._neighbors = None
        if self.max_neighbors is not None:
            self._neighbors = build_neighbors(self._candidates, self.max_neighbors)
        return self

    def sample(self, indices=None, random_state=None, n_threads=None):
        """Draw one partner a row.

        Parameters
        ----------
        indices : array-like or tensor of int of shape (n_draws,), default=None
            Rows that get a partner, repeats allowed; None stands for all rows.

        random_state : int, RandomState instance or None, default=None
            Makes the draws repeatable.

        n_threads : int, default=None
            Threads; None decides by the size. The result doesn't depend on it.

        Returns
        -------
        ndarray or tensor of int of shape (n_draws,)
            Row of each partner; a tensor if the labels were one.
        """
        self._require_fit()
        indices = check_indices(on_host(indices), self.n_samples_)
        seeds = check_random_state(random_state).randint(
            0, 2**64 - 1, size=len(indices), dtype=np.uint64
        )
        partners = np.empty_like(indices)
        for start in range(0, len(indices), CHUNK):
            chunk = slice(start, start + CHUNK)
            # neighbours in the order of candidates search from each other's edges
            order = np.argsort(self._candidates.position[indices[chunk]])
            rows = indices[chunk][order]
            partners[chunk][order] = self._draw(rows, seeds[chunk][order], n_threads)
        if self._device is None:
            return partners
        import torch

        return torch.from_numpy(partners).to(self._device)

    def _draw(self, rows, seeds, n_threads):
        candidates = self._candidates
        queries = candidates.queries(rows)
        if self._is_sorted:
            positions = draw_by_sorting(candidates, queries, seeds, n_threads)
        elif self._neighbors is None:
            positions = draw_by_blocks(candidates, queries, seeds, n_threads)
        else:
            positions = draw_by_neighbors(candidates, self._neighbors, queries, seeds)
        return np.where(positions >= 0, candidates.rows[positions], rows)

    def probabilities(self, i):
        """Probability of each row to be the partner of row ``i``.

        For plots and tests: O(n) time and memory.

        Parameters
        ----------
        i : int
            Row that gets a partner.

        Returns
        -------
        ndarray of shape (n_samples,)
            They sum to 1.
        """
        self._require_fit()
        rows = check_indices([i], self.n_samples_)
        candidates = self._candidates
        queries = candidates.queries(rows)
        if self._neighbors is None:
            positions, log_mass = all_masses(candidates, queries)
        else:
            positions, log_mass = near_masses(candidates, self._neighbors, queries)
        result = np.zeros(self.n_samples_)
        if log_mass.max(initial=-math.inf) == -math.inf:
            result[i] = 1.0
        else:
            result[candidates.rows[positions[0]]] = softmax(log_mass[0])
        return result

    def _require_fit(self):
        if not hasattr(self, "n_samples_"):
            raise NotFittedError("This TargetKernelSampler is not fitted: call fit(y).")

    def _make_views(self, labels, X):
        """Features in units of the bandwidth, for each of the kernels to multiply."""
        views = []
        if self.metric != "input":
            views.append(
                in_bandwidths(labels, self.bandwidth, self.kernel, "bandwidth")
            )
        if self.metric != "target":
            if X is None:
                raise ValueError(f"metric={self.metric!r} needs X, got None.")
            name = "bandwidth" if self.input_bandwidth is None else "input_bandwidth"
            inputs = check_array(
                X, accept_sparse="csr", dtype=np.float64, input_name="X"
            )
            views.append(in_bandwidths(inputs, getattr(self, name), self.kernel, name))
        # a kernel that is 1 everywhere needs no distances
        needed = [view for view in views if not math.isinf(view.reach)]
        return needed or (views[:1] if self.max_neighbors is None else views)


def _is_single_column(views):
    """Whether the kernel sees a single column, or none as it is 1 everywhere."""
    features, reach = views[0]
    if len(views) > 1 or sparse.issparse(features):
        return False
    return features.shape[1] == 1 or math.isinf(reach)


def kernel_parameters(owner):
    """Return the parameters of a sampler that an estimator has by the same names."""
    return {n: getattr(owner, n) for n in SAMPLER_CONSTRAINTS if hasattr(owner, n)}


def sample_partners(
    y,
    indices=None,
    *,
    X=None,
    sample_weight=None,
    groups=None,
    random_state=None,
    **kernel_options,
):
    """Draw a partner for each row by the closeness of labels, in one call.

    For many draws from the same labels fit a `TargetKernelSampler` once.

    Parameters
    ----------
    y : array-like or tensor of shape (n_samples,) or (n_samples, n_targets)
        Labels.

    indices : array-like or tensor of int of shape (n_draws,), default=None
        Rows that get a partner; None stands for all rows.

    X, sample_weight, groups : default=None
        As in `TargetKernelSampler.fit`.

    random_state : int, RandomState instance or None, default=None
        Makes the draws repeatable.

    **kernel_options
        Parameters of `TargetKernelSampler`, such as ``bandwidth`` and ``kernel``.

    Returns
    -------
    ndarray or tensor of int of shape (n_draws,)
        Row of each partner; a tensor if the labels were one.

    Raises
    ------
    ValueError
        As `TargetKernelSampler.fit`, or if ``indices`` are no row numbers.

    Examples
    --------
    >>> from minimalml.resampling import sample_partners
    >>> sample_partners([0.0, 0.0, 9.0, 9.0], bandwidth=0.1, random_state=0) // 2
    array([0, 0, 1, 1])
    """
    sampler = TargetKernelSampler(**kernel_options)
    sampler.fit(y, X=X, sample_weight=sample_weight, groups=groups)
    return sampler.sample(indices, random_state=random_state)
