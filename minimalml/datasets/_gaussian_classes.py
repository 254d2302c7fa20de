"""The mixture of Gaussians on which generative and discriminative learning differ.

Zheng et al., "Revisiting Discriminative vs. Generative Classifiers", ICML 2023.
"""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import Interval, StrOptions, validate_params

# The "hard" covariance is the same whatever the seed of the sample.
COVARIANCE_SEED = 0


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "mode": [StrOptions({"easy", "hard"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_gaussian_classes(
    n_samples, n_features, n_classes, *, mode="easy", random_state=None
):
    """Draw classes that are Gaussian with a shared covariance.

    The mean of class 0 is -1 in every coordinate, that of class k >= 1 is
    ``2 ** (k - 1)``. The first half of the features has variance ``n_features``, the
    others 1: with "easy" naive Bayes' assumption holds, with "hard" it doesn't.

    Parameters
    ----------
    n_samples : int
        Number of rows; classes differ by one row at most.

    n_features : int
        Number of features.

    n_classes : int
        Number of classes.

    mode : {"easy", "hard"}, default="easy"
        "easy" has independent features. "hard" has the covariances of the matrix
        ``A.T @ A``, A uniform in [-1, 1] from a stream of its own, beside the "easy"
        variances. Such a matrix need not be a covariance, so its negative eigenvalues
        are set to 0, which raises the variances a little.

    random_state : int, RandomState instance or None, default=None
        Seed of the sample.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Features.

    y : ndarray of shape (n_samples,)
        Classes, in random order.

    Examples
    --------
    >>> from minimalml.datasets import make_gaussian_classes
    >>> X, y = make_gaussian_classes(100, 20, 3, random_state=0)
    >>> X.shape, [int((y == k).sum()) for k in range(3)]
    ((100, 20), [34, 33, 33])
    """
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    means = np.concatenate([[-1.0], 2.0 ** np.arange(n_classes - 1)])
    X = rng.standard_normal((n_samples, n_features))
    if mode == "easy":
        X *= np.sqrt(easy_variances(n_features))
    else:
        X = X @ hard_root(n_features).T
    X += means[y, None]
    return X, y


def easy_variances(n_features):
    """Return the variances: ``n_features`` in the first half, 1 in the other."""
    return np.where(np.arange(n_features) < n_features // 2, float(n_features), 1.0)


def hard_root(n_features):
    """Return R such that ``R @ R.T`` is the covariance nearest to the "hard" matrix."""
    A = np.random.RandomState(COVARIANCE_SEED).uniform(-1, 1, (n_features, n_features))
    covariance = A.T @ A
    np.fill_diagonal(covariance, easy_variances(n_features))
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(eigenvalues.clip(0))
