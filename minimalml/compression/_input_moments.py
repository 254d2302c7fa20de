"""Means and second moments of the rows that reach a layer, which add up over parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, solve

from minimalml._core.array_checks import check_rows, check_weights
from minimalml._core.arrays import is_torch_tensor, to_numpy


@dataclass(frozen=True, eq=False)
class InputMoments:
    """Weighted moments of a layer's inputs, all that a codec has to know of the data.

    Moments of parts add up to those of the whole: ``sum(InputMoments.from_rows(part) for
    part in parts)``. They stay where the rows are, NumPy arrays or tensors.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    total_weight : float
        Sum of their weights.

    mean : array of shape (n_features,)
        Mean of the rows.

    scatter : array of shape (n_features, n_features)
        Weighted sum of products of the centred rows.

    mean_reference, cross_scatter : array or None
        Of the reference rows, and of their products with the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import InputMoments
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> parts = InputMoments.from_rows(X[:1]) + InputMoments.from_rows(X[1:])
    >>> parts.hessian(damping=0)
    array([[5., 5.],
           [5., 5.]])
    """

    n_samples: int
    total_weight: float
    mean: Any
    scatter: Any
    mean_reference: Any = None
    cross_scatter: Any = None

    @classmethod
    def from_rows(cls, X, X_reference=None, sample_weight=None):
        """Compute moments of rows.

        Parameters
        ----------
        X : array-like or tensor of shape (n_samples, n_features)
            What reaches the layer.

        X_reference : array-like or tensor of shape (n_samples, n_features), default=None
            What should have reached it: the same rows through the original model.

        sample_weight : array-like or tensor of shape (n_samples,), default=None
            At least 0; a row of weight 2 counts as two rows.

        Returns
        -------
        InputMoments

        Raises
        ------
        ValueError
            If a number is not finite, or X_reference has another shape than X.
        """
        X = _wide(check_rows(X))
        weights = check_weights(sample_weight, X)
        total = float(len(X) if weights is None else weights.sum())
        mean, centred = _centred(X, weights, total)
        weighed = centred if weights is None else centred * weights[:, None]
        scatter = centred.T @ weighed
        if X_reference is None:
            return cls(len(X), total, mean, scatter)
        reference = _wide(check_rows(X_reference, name="X_reference"))
        if reference.shape != X.shape:
            raise ValueError(
                f"X_reference has shape {tuple(reference.shape)}, but X has shape "
                f"{tuple(X.shape)}."
            )
        of_reference, reference = _centred(reference, weights, total)
        return cls(len(X), total, mean, scatter, of_reference, reference.T @ weighed)

    def __add__(self, other):
        if not isinstance(other, InputMoments):
            return NotImplemented
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"moments of {self.mean.shape[0]} and of {other.mean.shape[0]} features "
                "can't be added."
            )
        if (self.mean_reference is None) != (other.mean_reference is None):
            raise ValueError(
                "moments with reference rows can't be added to moments without."
            )
        total = self.total_weight + other.total_weight
        share = other.total_weight / total
        factor = self.total_weight * share
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + factor * (step[:, None] * step)
        reference = cross = None
        if self.mean_reference is not None:
            of_reference = other.mean_reference - self.mean_reference
            reference = self.mean_reference + share * of_reference
            cross = self.cross_scatter + other.cross_scatter
            cross = cross + factor * (of_reference[:, None] * step)
        n_samples = self.n_samples + other.n_samples
        return InputMoments(
            n_samples, total, self.mean + share * step, scatter, reference, cross
        )

    def __radd__(self, other):
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def hessian(self, damping=0.01, center=True):
        """Return the damped second moments, by which codecs measure errors.

        Parameters
        ----------
        damping : float, default=0.01
            What is added to the diagonal, in units of its mean.

        center : bool, default=True
            Whether moments are taken about the mean, for layers with a bias.

        Returns
        -------
        ndarray of float64 of shape (n_features, n_features)
        """
        moments = to_numpy(self.scatter).astype(np.float64) / self.total_weight
        mean = to_numpy(self.mean).astype(np.float64)
        if not center:
            moments += np.outer(mean, mean)
        size = np.trace(moments) / len(moments)
        moments[np.diag_indices_from(moments)] += damping * (size if size > 0 else 1.0)
        return moments

    def target(self, weight, damping=0.01, center=True):
        """Return the weight that, on these inputs, does best what ``weight`` should.

        Parameters
        ----------
        weight : array-like of shape (n_outputs, n_features)
            The original weight.

        damping, center
            As in `hessian`.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_features)
            ``weight`` itself without reference rows.

        Raises
        ------
        ValueError
            If the moments are singular, without damping.
        """
        weight = np.asarray(weight, dtype=np.float64)
        if self.cross_scatter is None:
            return weight
        hessian = self.hessian(damping, center)
        cross = to_numpy(self.cross_scatter).astype(np.float64) / self.total_weight
        if not center:
            cross += np.outer(to_numpy(self.mean_reference), to_numpy(self.mean))
        plain = self.hessian(0.0, center)
        cross[np.diag_indices_from(cross)] += np.diagonal(hessian) - np.diagonal(plain)
        try:
            return solve(hessian, cross.T @ weight.T, assume_a="pos").T
        except LinAlgError as error:
            raise ValueError("the moments are singular: raise damping.") from error


def _wide(X):
    """Return float64, or float32 on devices that have no more."""
    if not is_torch_tensor(X):
        return X.astype(np.float64, copy=False)
    return X.float() if X.device.type == "mps" else X.double()


def _centred(X, weights, total):
    mean = (X.sum(0) if weights is None else weights @ X) / total
    return mean, X - mean
