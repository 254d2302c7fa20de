"""Logits pressed into few numbers, with the lengths that they have on average.

A subsampled randomised Hartley transform on each side of a sample's logits. It is applied
as a matrix: for some hundred coordinates a product is faster than a fast transform of all.
"""

from dataclasses import dataclass

import numpy as np

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy


@dataclass(frozen=True)
class LogitProjection:
    """``z = vec(positions @ L @ classes.T)``; None stands for no matrix."""

    n_positions: int
    n_classes: int
    positions: object = None  # (d2, n_positions)
    classes: object = None  # (d1, n_classes)

    @classmethod
    def draw(cls, n_positions, n_classes, n_components, random_state):
        """Draw both sides; a side that is no longer than its components stays as it is."""
        classes = subsampled_hartley(n_classes, n_components[1], random_state)
        positions = subsampled_hartley(n_positions, n_components[0], random_state)
        return cls(n_positions, n_classes, positions, classes)

    @property
    def n_components(self):
        """Length of a projected sample."""
        n_rows = self.n_positions if self.positions is None else len(self.positions)
        n_columns = self.n_classes if self.classes is None else len(self.classes)
        return n_rows * n_columns

    def like(self, array):
        """Return the projection for arrays such as this one."""
        sides = [
            m if m is None else as_like(m, array)
            for m in (self.positions, self.classes)
        ]
        return LogitProjection(self.n_positions, self.n_classes, *sides)

    def __call__(self, logits):
        """Project logits (n_samples, N, n_classes), N up to ``n_positions``."""
        xp, (n_samples, n_given, _) = array_namespace(logits), logits.shape
        if self.positions is not None:  # the smaller side first: fewer operations
            logits = self.positions[:, :n_given] @ logits
        if self.classes is not None:
            logits = logits @ self.classes.T
        z = logits.reshape(n_samples, -1)
        n_missing = self.n_components - z.shape[1]  # of the last positions
        zeros = xp.zeros((n_samples, n_missing), dtype=z.dtype, device=z.device)
        return xp.concatenate([z, zeros], 1) if n_missing else z


def subsampled_hartley(length, n_components, random_state):
    """Draw a matrix (n_components, length) that keeps squared lengths on average.

    Signs of the inputs, then rows of the orthonormal Hartley transform ``cos + sin``, drawn
    without replacement and scaled. None where there is nothing to press.
    """
    if n_components >= length:
        return None
    signs = random_state.choice([-1.0, 1.0], size=length)
    rows = random_state.permutation(length)[:n_components]
    turns = np.outer(rows, np.arange(length)) % length / length
    # cos t + sin t
    waves = np.sqrt(2) * np.cos(2 * np.pi * (turns - 0.125))
    return waves * signs / np.sqrt(n_components)


def as_like(array, like):
    """Return ``array`` in the type, precision and place of ``like``."""
    if is_torch_tensor(like):
        return as_tensor(array, dtype=like.dtype, device=like.device)
    return to_numpy(array).astype(like.dtype, copy=False)
