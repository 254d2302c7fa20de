"""What learns from the samples bought so far: a network that all tasks share.

It ends in the features of the representation; each task has a linear head on them. Both
are trained together, then the heads are fitted again by least squares, so that they can
be compared as those of a linear representation are.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from minimalml._core.arrays import resolve_device
from minimalml._core.training.inference import map_batches
from minimalml._core.training.loop import train
from minimalml.multioutput._lasso_task_selection._active_learners import spread_heads
from minimalml.multioutput._lasso_task_selection._shared_representation import fit_heads
from minimalml.multioutput._lasso_task_selection._task_statistics import task_statistics

LOSSES = {
    "squared": functional.mse_loss,
    "logistic": lambda scores, y: functional.softplus(-y * scores).mean(),
}


class SharedNetwork(nn.Module):
    """A representation with a linear head for each task."""

    def __init__(self, representation, n_components, n_tasks, n_outputs, seed):
        super().__init__()
        self.representation = representation
        # Zero heads would leave the representation without a gradient at first.
        generator = torch.Generator().manual_seed(seed)
        sizes = n_tasks, n_components, n_outputs
        heads = torch.randn(sizes, generator=generator) * n_components**-0.5
        self.heads = nn.Parameter(heads)
        self.intercepts = nn.Parameter(torch.zeros(n_tasks, n_outputs))

    def forward(self, X, tasks):
        """Predict each row with the head of its task, (n, n_outputs)."""
        features = self.representation(X)  # (n, n_components)
        scores = torch.bmm(features[:, None, :], self.heads[tasks])
        return scores[:, 0] + self.intercepts[tasks]


class NetworkLearner:
    """The shared network, trained on from round to round."""

    def __init__(self, n_components, n_tasks, reuse_data, *, center, rng, settings):
        self.n_components, self.n_tasks = n_components, n_tasks
        self.reuse_data, self._center = reuse_data, center
        settings = settings.get_params(deep=False)
        self.basis = copy.deepcopy(settings.pop("module"))
        self.basis.to(resolve_device(settings["device"]), torch.float32)
        self._loss, self._settings = settings.pop("loss"), settings
        self._seeds = rng.randint(np.iinfo(np.int32).max, size=3)
        self._network = self._rows = None

    def update(self, X, y, codes, is_last):
        """Train on the new samples and, with ``reuse_data``, all earlier ones."""
        rows = X, y.reshape(len(y), -1), codes
        if self.reuse_data and self._rows is not None:
            rows = tuple(map(np.concatenate, zip(self._rows, rows, strict=True)))
        self._rows = X, y, codes = rows
        if self._network is None:
            self._check_rows(X, y)
            self._network = SharedNetwork(
                self.basis,
                self.n_components,
                self.n_tasks,
                y.shape[1],
                int(self._seeds[2]),
            )
        loss = LOSSES[self._loss]

        def step(batch, state):
            return loss(state.network(batch.X, batch.task), batch.y)

        state = train(
            step,
            self._network,
            {"X": X, "y": y, "task": codes},
            order_seed=int(self._seeds[0]),
            noise_seed=int(self._seeds[1]),
            **self._settings,
        )
        self.loss, self.n_iter = state.loss_curve[-1], state.epoch
        self._refit_heads(X, y, codes)

    def _check_rows(self, X, y):
        if self._loss == "logistic" and not np.all(np.abs(y) == 1):
            raise ValueError(
                "loss='logistic' needs targets of -1 and 1, got others: set "
                "loss='squared'."
            )
        shape = tuple(self.transform(X[:2]).shape)
        if shape != (len(X[:2]), self.n_components):
            raise ValueError(
                f"representation must give n_components={self.n_components} features "
                f"a row, got shape {shape} for {len(X[:2])} rows."
            )

    def _refit_heads(self, X, y, codes):
        statistics = task_statistics(self.transform(X), y, codes)
        heads = fit_heads(statistics, np.eye(self.n_components), center=self._center)
        reliable = statistics.counts >= self.n_components
        self.heads, self.is_usable = spread_heads(
            statistics, heads.swapaxes(0, 1), reliable, self.n_tasks
        )

    def transform(self, X):
        """Map rows into the representation."""
        return network_features(self.basis, X)


def network_features(module, X):
    """Compute the features of NumPy rows, in double precision for least squares."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    features = map_batches(module, module, [X], device=device, dtype=torch.float32)
    return features.cpu().numpy().astype(np.float64)
