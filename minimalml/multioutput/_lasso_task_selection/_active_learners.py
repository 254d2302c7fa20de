"""What learns from the samples bought so far: a linear representation.

A learner has ``update(X, y, codes, is_last)``, ``transform(X)``, ``heads`` (k, T, m) and
``is_usable`` (T, m), which says whose head can be trusted.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.arrays import import_torch
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    check_rank,
    fit_shared_representation,
)
from minimalml.multioutput._lasso_task_selection._task_rows import gather_tasks

NETWORK_PARAMETERS = (
    "center", "loss", "max_epochs", "batch_size", "learning_rate", "weight_decay",
    "device",
)  # fmt: skip


def make_learner(estimator, n_tasks, n_outputs, rng):
    """Make what an estimator's parameters ask for."""
    k, n_features = estimator.n_components, estimator.n_features_in_
    reuse_data = estimator.reuse_data
    if estimator.representation is not None:
        import_torch(type(estimator).__name__)
        from minimalml.multioutput._lasso_task_selection._active_network import (
            NetworkLearner,
        )

        settings = {name: getattr(estimator, name) for name in NETWORK_PARAMETERS}
        return NetworkLearner(
            estimator.representation,
            k,
            max(n_tasks, 1),
            reuse_data,
            settings | {"random_state": rng},
        )
    if not n_tasks:  # the target alone is least squares
        k = min(n_outputs, n_features)
    check_rank(k, n_features)
    settings = {
        "center": estimator.center,
        "max_iter": estimator.max_iter,
        "tol": estimator.tol if n_tasks else 0.0,
        "random_state": rng,
    }
    return LinearLearner(k, max(n_tasks, 1), reuse_data, settings)


class LinearLearner:
    """The shared linear representation, warm started from round to round."""

    def __init__(self, n_components, n_tasks, reuse_data, settings):
        self.n_components, self.n_tasks = n_components, n_tasks
        self.reuse_data, self._settings = reuse_data, settings
        self._statistics = self.basis = None

    def update(self, X, y, codes, is_last):
        """Fit to the new samples and, with ``reuse_data``, all earlier ones."""
        new = gather_tasks(X, y, codes)
        is_added = self.reuse_data and self._statistics is not None
        self._statistics = self._statistics + new if is_added else new
        with warnings.catch_warnings():
            if not is_last:  # a later round goes on from here
                warnings.simplefilter("ignore", ConvergenceWarning)
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
    _, _, squares = statistics.moments(center=True)
    spread = np.zeros((len(heads), n_tasks, heads.shape[2]))
    spread[:, statistics.tasks] = heads
    is_usable = np.zeros(spread.shape[1:], dtype=bool)
    is_usable[statistics.tasks] = is_reliable[:, None] & (squares > 0)
    return spread, is_usable
