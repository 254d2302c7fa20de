"""What the rounds learn: a representation from the samples, relevance from the heads.

A learner has ``update(X, y, codes, is_last)``, ``basis``, ``heads`` (T, k, m) and
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
from minimalml.multioutput._lasso_task_selection._task_statistics import gather


class LinearLearner:
    """The shared linear representation, warm started from round to round."""

    def __init__(self, n_tasks, n_components, *, reuse_data, **settings):
        self._n_tasks, self._n_components = n_tasks, n_components
        self._reuse_data, self._settings = reuse_data, settings
        self._statistics = self.basis = None

    def update(self, X, y, codes, is_last):
        """Fit to the new samples and, with ``reuse_data``, all earlier ones."""
        new = gather(X, y, codes)
        is_added = self._reuse_data and self._statistics is not None
        self._statistics = self._statistics + new if is_added else new
        init = "spectral" if self.basis is None else self.basis
        # A later round goes on from here.
        with nullcontext() if is_last else without_convergence_warnings():
            shared = fit_shared_representation(
                self._statistics, self._n_components, init=init, **self._settings
            )
        self.basis, self.loss = shared.basis, shared.losses[-1]
        self.n_iter = len(shared.losses) - 1
        self.heads, self.is_usable = spread_heads(
            self._statistics, shared.heads.swapaxes(0, 1), self._n_tasks
        )


def spread_heads(statistics, heads, n_tasks):
    """Place heads (T, k, m) among all tasks; usable need k rows and two labels."""
    spread = np.zeros((n_tasks, *heads.shape[1:]))
    spread[statistics.tasks] = heads
    is_usable = np.zeros((n_tasks, heads.shape[2]), dtype=bool)
    has_rows = statistics.counts[:, None] >= heads.shape[1]
    is_usable[statistics.tasks] = has_rows & (statistics.target_scatter > 0)
    return spread, is_usable


def fit_target_head(features, targets, center):
    """Fit the target's head by least squares; also its intercept and its error."""
    means = features.mean(axis=0), targets.mean(axis=0)
    if not center:
        means = 0 * means[0], 0 * means[1]
    features, targets = features - means[0], targets - means[1]
    head = np.linalg.lstsq(features, targets, rcond=None)[0]
    return head, means[1] - means[0] @ head, head_error(features, targets, head)


def head_error(features, targets, head):
    """Estimate the length of the error of each column of a least-squares head."""
    n_free = max(len(features) - len(head), 1)
    noise = np.linalg.norm(targets - features @ head, axis=0) / np.sqrt(n_free)
    return noise * np.linalg.norm(np.linalg.pinv(features))


def task_relevance(learner, target_head, error, *, sample_cost, task_cost, **settings):
    """Write the target's heads (k, m) with usable ones; the norm for several outputs."""
    nu = np.zeros((*learner.is_usable.shape, len(error)))
    owners = np.nonzero(learner.is_usable)[0]
    prices, openings = (
        None if cost is None else np.broadcast_to(cost, len(nu))[owners]
        for cost in (sample_cost, task_cost)
    )
    sources = learner.heads.swapaxes(1, 2)[learner.is_usable].T  # (k, n_usable)
    for output, (head, length) in enumerate(zip(target_head.T, error, strict=True)):
        if len(owners):
            nu[learner.is_usable, output] = relevance_by_strategy(
                sources, head, sample_cost=prices, task_cost=openings,
                head_error=length, **settings,
            )  # fmt: skip
    return nu[:, 0, 0] if nu[0].size == 1 else np.linalg.norm(nu, axis=(1, 2))
