"""A network that all tasks share, as what learns from the samples bought so far.

It ends in the features of the representation; each task has a linear head on them. Both
are trained together, then the heads are fitted again by least squares, so that they can
be compared as those of a linear representation are.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from minimalml._core.training.inference import map_batches
from minimalml._core.training.loop import train
from minimalml.multioutput._lasso_task_selection._active_learners import spread_heads
from minimalml.multioutput._lasso_task_selection._shared_representation import fit_heads
from minimalml.multioutput._lasso_task_selection._task_statistics import gather


class SharedNetwork(nn.Module):
    """A representation with a linear head for each task."""

    def __init__(self, representation, sizes, seed):
        super().__init__()
        n_tasks, n_components, n_outputs = sizes
        generator = torch.Generator().manual_seed(seed)
        # Zero heads would leave the representation without a gradient at first.
        heads = torch.randn(sizes, generator=generator) * n_components**-0.5
        self.representation, self.heads = representation, nn.Parameter(heads)
        self.intercepts = nn.Parameter(torch.zeros(n_tasks, n_outputs))

    def forward(self, X, tasks):
        """Predict each row with the head of its task, (n, n_outputs)."""
        features = self.representation(X)  # (n, n_components)
        scores = torch.bmm(features[:, None, :], self.heads[tasks])
        return scores[:, 0] + self.intercepts[tasks]


class NetworkLearner:
    """The shared network, trained on from round to round, where its weights are."""

    def __init__(self, sizes, module, rng, is_logistic, reuse_data, center, **options):
        self.basis = copy.deepcopy(module).to(torch.float32)
        self._sizes, self._reuse_data, self._center = sizes, reuse_data, center
        self._is_logistic, self._options = is_logistic, options
        seeds = rng.randint(np.iinfo(np.int32).max, size=3).tolist()
        self._options |= {"order_seed": seeds[0], "noise_seed": seeds[1]}
        self._network = SharedNetwork(self.basis, sizes, seeds[2])
        self._rows = None

    def update(self, X, y, codes, is_last):
        """Train on the new samples and, with ``reuse_data``, all earlier ones."""
        rows = X, y, codes
        if self._rows is None:
            self._check_width(X[:2])
        elif self._reuse_data:
            rows = tuple(map(np.concatenate, zip(self._rows, rows, strict=True)))
        self._rows = X, y, codes = rows
        state = train(
            self._loss,
            self._network,
            {"X": X, "y": y, "task": codes},
            device=device_of(self.basis),
            **self._options,
        )
        self.loss, self.n_iter = state.loss_curve[-1], state.epoch
        statistics = gather(network_features(self.basis, X), y, codes)
        n_tasks, n_components, _ = self._sizes
        heads = fit_heads(statistics, np.eye(n_components), center=self._center)
        self.heads, self.is_usable = spread_heads(statistics, heads, n_tasks)

    def _loss(self, batch, state):
        scores = state.network(batch.X, batch.task)
        if self._is_logistic:
            return functional.softplus(-batch.y * scores).mean()
        return functional.mse_loss(scores, batch.y)

    def _check_width(self, X):
        shape = network_features(self.basis, X).shape
        if shape != (len(X), self._sizes[1]):
            raise ValueError(
                f"representation must give n_components={self._sizes[1]} features a "
                f"row, got shape {shape} for {len(X)} rows."
            )


def network_features(module, X):
    """Compute the features of NumPy rows, in double precision for least squares."""
    device = device_of(module)
    features = map_batches(module, module, [X], device=device, dtype=torch.float32)
    return features.cpu().numpy().astype(np.float64)


def device_of(module):
    """Return where the weights of a module are."""
    return next((weight.device for weight in module.parameters()), torch.device("cpu"))
