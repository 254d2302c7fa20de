"""What the rounds learn: a representation from the samples, relevance from the heads.

A learner has ``update(X, y, codes, is_last)``, ``transform(X)``, ``heads`` (k, T, m) and
``is_usable`` (T, m), which says whose head can be trusted.
"""

from contextlib import nullcontext

import numpy as np

from minimalml.multioutput._lasso_task_selection._relevance import (
    without_convergence_warnings,
)
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    fit_shared_representation,
)
from minimalml.multioutput._lasso_task_selection._task_selector import (
    relevance_by_strategy,
)
from minimalml.multioutput._lasso_task_selection._task_statistics import task_statistics


class LinearLearner:
    """The shared linear representation, warm started from round to round."""

    def __init__(self, n_components, n_tasks, reuse_data, **settings):
        self.n_components, self.n_tasks = n_components, n_tasks
        self.reuse_data, self._settings = reuse_data, settings
        self._statistics = self.basis = None

    def update(self, X, y, codes, is_last):
        """Fit to the new samples and, with ``reuse_data``, all earlier ones."""
        new = task_statistics(X, y, codes)
        is_added = self.reuse_data and self._statistics is not None
        self._statistics = self._statistics + new if is_added else new
        # A later round goes on from here.
        with nullcontext() if is_last else without_convergence_warnings():
            shared = fit_shared_representation(
                self._statistics,
                self.n_components,
                init="spectral" if self.basis is None else self.basis,
                **self._settings,
            )
        self.basis, self.loss = shared.basis, shared.losses[-1]
        self.n_iter = len(shared.losses) - 1
        heads = shared.heads.reshape(*shared.heads.shape[:2], -1)
        self.heads, self.is_usable = spread_heads(
            self._statistics, heads, shared.reliable, self.n_tasks
        )

    def transform(self, X):
        """Map rows into the representation."""
        return X @ self.basis.astype(X.dtype, copy=False)


def spread_heads(statistics, heads, is_reliable, n_tasks):
    """Place heads among all tasks; those without rows or with one label are barred."""
    squares = statistics.moments(center=True).squares
    spread = np.zeros((len(heads), n_tasks, heads.shape[2]))
    spread[:, statistics.tasks] = heads
    is_usable = np.zeros(spread.shape[1:], dtype=bool)
    is_usable[statistics.tasks] = is_reliable[:, None] & (squares > 0)
    return spread, is_usable


def fit_target_head(features, targets, center):
    """Fit the target's head by least squares; return it, its intercept and its error.

    The error is the length of each column's, estimated as textbooks do.
    """
    features, targets = features.astype(np.float64), targets.astype(np.float64)
    means = features.mean(axis=0), targets.mean(axis=0)
    if not center:
        means = 0 * means[0], 0 * means[1]
    features, targets = features - means[0], targets - means[1]
    head = np.linalg.lstsq(features, targets, rcond=None)[0]
    error = head_error(features, targets, head)
    return head, means[1] - means[0] @ head, error


def head_error(features, targets, head):
    """Estimate the length of the error of each column of a least-squares head."""
    n_free = max(len(features) - len(head), 1)
    spread = np.linalg.norm(targets - features @ head, axis=0) / np.sqrt(n_free)
    return spread * np.linalg.norm(np.linalg.pinv(features))


def task_relevance(
    heads, is_usable, target_head, error, *, sample_cost, task_cost, **parameters
):
    """Write the target's heads (k, m) with the usable heads (k, T, m) of the sources.

    Signed (T,) for one output, else the norm over all pairs of outputs; ``parameters``
    are those of `relevance_by_strategy`.
    """
    nu = np.zeros((*is_usable.shape, len(error)))
    if not is_usable.any():
        return nu[:, 0, 0]
    owners = np.nonzero(is_usable)[0]
    prices, openings = (
        None if cost is None else np.broadcast_to(cost, len(nu))[owners]
        for cost in (sample_cost, task_cost)
    )
    columns = [
        relevance_by_strategy(
            heads[:, is_usable],
            column,
            sample_cost=prices,
            task_cost=openings,
            head_error=length,
            **parameters,
        )
        for column, length in zip(target_head.T, error, strict=True)
    ]
    nu[is_usable] = np.array(columns).T
    return nu[:, 0, 0] if nu[0].size == 1 else np.linalg.norm(nu, axis=(1, 2))
