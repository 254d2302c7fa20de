"""From parameters to scores, and from scores to labels and probabilities.

For NumPy arrays, CSR matrices and torch tensors. Scores of classes have shape
(n_samples, n_classes), or (n_samples,) for two classes: the log odds of the second, as
scikit-learn has it.
"""

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.utils import gen_batches

from minimalml._core.arrays import is_torch_tensor

# Rows at a time where a copy of them is needed: 8 MB of float64 numbers.
BATCH_NUMBERS = 1 << 20


def linear_scores(X, coef, intercept, centre=None):
    """Return ``X @ coef.T + intercept``, in the dtype and on the device of X.

    Parameters
    ----------
    X : array, CSR matrix or tensor of shape (n_samples, n_features)
        Rows.

    coef : ndarray of shape (n_classes, n_features)
        Weights.

    intercept : ndarray of shape (n_classes,)
        Intercepts.

    centre : ndarray of shape (n_features,), default=None
        Taken off the rows first, so that a float32 keeps the digits below a large
        common offset; what it adds to the intercepts is summed in float64.
    """
    if sparse.issparse(X):
        return np.asarray(X @ coef.T.astype(X.dtype) + intercept.astype(X.dtype))
    if centre is not None:
        intercept = intercept + coef @ centre
    if is_torch_tensor(X):
        coef, intercept = tensor_like(X, coef), tensor_like(X, intercept)
        X = X if centre is None else X - tensor_like(X, centre)
        return X @ coef.T + intercept
    weights, intercept = coef.T.astype(X.dtype), intercept.astype(X.dtype)
    if centre is None:
        scores = X @ weights
        scores += intercept
        return scores
    scores = np.empty((len(X), len(coef)), dtype=X.dtype)
    for batch in row_batches(X):
        scores[batch] = (X[batch] - centre.astype(X.dtype)) @ weights + intercept
    return scores


def joint_log_likelihood(X, theta, var, log_prior):
    """Return log p(x, y), from the differences x - theta themselves.

    Parameters
    ----------
    X : array, CSR matrix or tensor of shape (n_samples, n_features)
        Rows; those of a CSR matrix are expanded some at a time.

    theta : ndarray of shape (n_classes, n_features)
        Class means.

    var : ndarray of shape (n_features,) or (n_classes, n_features)
        Variances.

    log_prior : ndarray of shape (n_classes,)
        Log priors; may be -inf.
    """
    constant = log_prior - 0.5 * np.log(2 * np.pi * var).sum(axis=-1)
    if is_torch_tensor(X):
        return tensor_like(X, constant) - 0.5 * tensor_distances(X, theta, var)
    scores = np.empty((X.shape[0], len(theta)), dtype=X.dtype)
    for batch in row_batches(X):
        rows = X[batch].toarray() if sparse.issparse(X) else X[batch]
        scores[batch] = constant - 0.5 * scaled_distances(rows, theta, var)
    return scores


def scaled_distances(rows, theta, var):
    """Return the sums over features of (x - theta)² / var."""
    if var.ndim == 1:
        return cdist(rows, theta, "seuclidean", V=var) ** 2
    columns = [
        cdist(rows, mean[None], "seuclidean", V=v)
        for mean, v in zip(theta, var, strict=True)
    ]
    return np.hstack(columns) ** 2


def tensor_distances(X, theta, var):
    import torch

    theta, var = tensor_like(X, theta), tensor_like(X, var).expand(theta.shape)
    columns = [((X - theta[k]) ** 2 / var[k]).sum(dim=1) for k in range(len(theta))]
    return torch.stack(columns, dim=1)


def tensor_like(X, array):
    """Return ``array`` as a tensor of the dtype and on the device of ``X``."""
    import torch

    return torch.as_tensor(array, dtype=X.dtype, device=X.device)


def row_batches(X):
    return gen_batches(X.shape[0], max(BATCH_NUMBERS // X.shape[1], 1))


def as_margin(scores):
    """Return scores of two classes as log odds, others as they are."""
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores


def labels(scores, classes):
    """Return the label with the largest score; the first one wins a tie.

    Numeric labels of a tensor's rows come as a tensor on its device.
    """
    if not is_torch_tensor(scores):
        codes = scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)
        return classes[codes.astype(np.intp)]
    import torch

    codes = (scores > 0).long() if scores.ndim == 1 else scores.argmax(dim=1)
    if classes.dtype.kind in "biuf":
        return torch.as_tensor(classes, device=scores.device)[codes]
    return classes[codes.cpu().numpy()]


def probabilities(scores):
    """Return the posterior, of shape (n_samples, n_classes)."""
    if is_torch_tensor(scores):
        return (
            log_odds_pair(scores).sigmoid() if scores.ndim == 1 else scores.softmax(1)
        )
    return expit(log_odds_pair(scores)) if scores.ndim == 1 else softmax(scores, axis=1)


def log_probabilities(scores):
    """Return the log posterior, of shape (n_samples, n_classes)."""
    if not is_torch_tensor(scores):
        if scores.ndim == 1:
            logs = log_expit(log_odds_pair(scores))
        else:
            logs = log_softmax(scores, axis=1)
        if logs.dtype == np.float32:
            # near 1 a float32 probability is coarse; scikit-learn wants its log
            likely = np.exp(logs) > 0.5
            logs[likely] = np.log(probabilities(scores)[likely])
        return logs
    from torch.nn.functional import logsigmoid

    if scores.ndim == 1:
        return logsigmoid(log_odds_pair(scores))
    return scores.log_softmax(1)


def log_odds_pair(scores):
    """Return the log odds of both classes, of shape (n_samples, 2)."""
    if is_torch_tensor(scores):
        return scores[:, None] * scores.new_tensor([-1.0, 1.0])
    return scores[:, None] * np.array([-1.0, 1.0], dtype=scores.dtype)
