"""What is written down while a network trains: losses, and how far its features moved."""

import numpy as np

from minimalml._core.array_checks import as_tensor
from minimalml.training_dynamics._grokking._curves import detect_grokking, log_spaced
from minimalml.training_dynamics._grokking._tangent_kernel import (
    empirical_ntk,
    kernel_target_alignment,
)

N_RECORDS = 60
NAMES = (
    "epoch", "train_loss", "test_loss", "kernel_alignment", "kernel_drift",
    "parameter_distance",
)  # fmt: skip


class RunRecords:
    """Records of a `LazyRichRegressor` in its fit.

    ``train`` and ``test`` are pairs of rows and standardised targets; ``test`` may be
    None.
    """

    def __init__(self, model, train, test):
        self.model, self.train, self.test, self.records = model, train, test, []
        n_rows = model.kernel_rows
        self.kernel_rows, self.kernel_targets = (part[:n_rows] for part in train)
        self.epochs = set(log_spaced(model.max_epochs, N_RECORDS).tolist())

    def write(self, epoch):
        """Write down the present network, unless its loss is not finite."""
        train_loss, test_loss = self._loss(self.train), self._loss(self.test)
        if np.isfinite(train_loss):
            self.records.append((epoch, train_loss, test_loss, *self._features()))
        return train_loss

    def watch(self, state):
        """Write down an epoch if it is one of those; return a score for the loop."""
        is_due = state.epoch in self.epochs
        return -self.write(state.epoch) if is_due else -self.records[-1][1]

    def _loss(self, rows):
        if rows is None:
            return np.nan
        X, targets = rows
        outputs = self.model._map_rows(self.model._outputs, X)
        losses = self.model._loss_of_outputs(outputs, as_tensor(targets).to(outputs))
        return float(losses.mean())

    def _features(self):
        network = self.model.module_
        kernel = empirical_ntk(network.network, self.kernel_rows.astype(np.float64))
        if not self.records:
            self.first_kernel = kernel
        drift = np.linalg.norm(kernel - self.first_kernel)
        return (
            kernel_target_alignment(kernel, self.kernel_targets),
            drift / np.linalg.norm(self.first_kernel),
            float(network.distance()),
        )

    def history(self, n_epochs):
        """Return the records of the first epochs, by name."""
        kept = [record for record in self.records if record[0] <= n_epochs]
        return dict(zip(NAMES, map(np.array, zip(*kept, strict=True)), strict=True))

    def verdict(self, history):
        """Return what `detect_grokking` says, or None where it can't."""
        if self.test is None or len(history["epoch"]) < 3:
            return None
        return detect_grokking(*(history[name] for name in NAMES[:3]), scale=1)
