"""Fastfood: a random map of any size in O(L log L) time and O(L) memory."""

import math

import numpy as np
from scipy.sparse.linalg import LinearOperator
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral
from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard import (
    power_of_two,
    transform_inplace,
)


class FastfoodProjection(LinearOperator):
    r"""Map few numbers to many by a random matrix that is never formed.

    Its columns have unit length (exactly where ``n_features`` is a power of two, in
    expectation elsewhere) and are nearly orthogonal, as those of a normalised Gaussian
    matrix, whose product takes O(n_components n_features).

    Parameters
    ----------
    n_components : int
        Length of the vectors that are mapped, at least 1.

    n_features : int
        Length of what they are mapped to, at least 1.

    random_state : int, RandomState instance or None, default=None
        An int draws the same map everywhere.

    Attributes
    ----------
    shape : tuple of int
        ``(n_features, n_components)``.

    Raises
    ------
    ValueError
        If a size is no integer of at least 1.

    Notes
    -----
    A ``scipy.sparse.linalg.LinearOperator``: ``P @ v``, ``P.T @ u`` and scipy's solvers
    work. With L the least power of two that is at least both sizes,

    .. math:: P v = \frac{1}{\sqrt{n_{features}} \, \|G\|}
       \left[ H G \, \Pi H B [v, 0] \right]_{1, ..., n_{features}}.

    The inner transform is one of the length of v: that of a vector that ends in zeros
    repeats itself.

    References
    ----------
    Le et al., "Fastfood: approximating kernel expansions in loglinear time", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.training_dynamics import FastfoodProjection
    >>> P = FastfoodProjection(3, 1000, random_state=0)
    >>> (P @ np.ones(3)).shape
    (1000,)
    >>> np.linalg.norm(P.to_dense(), axis=0).round(1)
    array([1., 1., 1.])
    """

    def __init__(self, n_components, n_features, random_state=None):
        refuse_no_count("n_components", n_components)
        refuse_no_count("n_features", n_features)
        rng = np.random.default_rng(draw_seed(random_state))
        length = power_of_two(int(max(n_components, n_features)))
        signs = rng.integers(0, 2, length) * 2 - 1
        self._signs = signs[:n_components].astype(np.int8)
        self._permutation = rng.permutation(length).astype(np.int32)
        gaussians = rng.standard_normal(length)
        # of whole columns exactly, in expectation where rows are cut off
        norm = math.sqrt(n_features) * np.linalg.norm(gaussians)
        self._gaussians = gaussians / norm
        super().__init__(np.float64, (int(n_features), int(n_components)))

    def _matvec(self, x):
        short = power_of_two(self.shape[1])
        v = _transformed(self._signs * np.ravel(x), short)
        places = self._permutation & (short - 1)  # a padded vector's repeats itself
        y = v[places] * self._gaussians.astype(v.dtype, copy=False)
        return _transformed(y, len(y))[: self.shape[0]]

    def _rmatvec(self, x):
        u = _transformed(np.ravel(x), len(self._gaussians))
        y = np.empty_like(u)
        y[self._permutation] = u * self._gaussians.astype(u.dtype, copy=False)
        y = y.reshape(-1, power_of_two(self.shape[1])).sum(axis=0)
        return _transformed(y, len(y))[: self.shape[1]] * self._signs

    def to_dense(self):
        """Return the matrix itself, an ndarray of shape (n_features, n_components)."""
        return self @ np.eye(self.shape[1])


def _transformed(x, length):
    """Transform a vector, padded with zeros, in single or double precision."""
    y = np.zeros((1, length), dtype=np.float32 if x.dtype == np.float32 else np.float64)
    y[0, : len(x)] = x
    transform_inplace(y)
    return y[0]


def refuse_no_count(name, value):
    """Raise a ValueError for all but integers of at least 1; a bool is none."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")


def draw_seed(random_state):
    """Return an int as it is, and one drawn from anything else."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
