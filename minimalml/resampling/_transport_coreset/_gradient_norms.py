"""How much a row would move the last layer of a fitted classifier."""

import numpy as np
from scipy.special import softmax
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from minimalml._core.array_checks import encode_labels
from minimalml._core.models.linear_head import linear_head


def gradient_norms(estimator, X, y):
    """Return the norm of each row's gradient in the last layer of a classifier.

    For cross-entropy the gradient is ``(p - onehot(y)) [z, 1]^T`` with the features z
    that the last affine layer acts on, which needs no automatic differentiation: its
    norm is ``|p - onehot(y)| sqrt(|z|^2 + 1)``. O(n (n_features + n_classes)) time beside
    a prediction.

    Parameters
    ----------
    estimator : classifier or torch.nn.Module
        Fitted: linear (then z is X), MLP or torch module, also after scalers in a
        Pipeline.

    X : array-like of shape (n_samples, n_features)
        Rows.

    y : array-like of shape (n_samples,)
        Their labels, among the classes of the estimator; of a torch module numbers from 0.

    Returns
    -------
    ndarray of float64 of shape (n_samples,)

    Raises
    ------
    TypeError
        If the classifier has no affine last layer that can be read.
    ValueError
        If y holds a label that is no class of the estimator.

    References
    ----------
    .. [1] T. Mei et al., "GORACS: Group-level Optimal Transport-guided Coreset Selection
       for LLM-based Recommender Systems", 2025. arXiv:2506.04015

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.resampling import gradient_norms
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> norms = gradient_norms(model, X, y)
    >>> int(norms.argmax()), norms.shape
    (83, (150,))
    """
    X = check_array(X, dtype=[np.float64, np.float32], allow_nd=True)
    codes = column_or_1d(y)
    check_consistent_length(X, codes)
    head = linear_head(estimator, X)
    rows, codes = head.prepare(X), encode_labels(codes, head.classes)
    features = head.to_numpy(head.features(rows)).astype(np.float64)
    residuals = softmax(head.to_numpy(head.logits(rows)).astype(np.float64), axis=1)
    residuals[np.arange(len(codes)), codes] -= 1
    return np.linalg.norm(residuals, axis=1) * np.sqrt((features**2).sum(axis=1) + 1)
