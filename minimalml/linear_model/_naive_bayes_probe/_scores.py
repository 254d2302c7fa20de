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
FLOAT32 = np.finfo(np.float32)


def linear_scores(X, coef, intercept, centre=None):
    """Return ``X @ coef.T + intercept``: float64 for float64, else float32.

    A centre (n_features,) is taken off the rows first, so that a float32 keeps the
    digits below a large common offset; what it adds to the intercepts is summed in
    float64.
    """
    if centre is not None:
        intercept = intercept + coef @ centre
    if is_torch_tensor(X):
        return tensor_scores(X, coef, intercept, centre)
    wide = np.float64 if leaves_float32(coef) else X.dtype
    weights, intercept = coef.T.astype(wide), intercept.astype(wide)
    if sparse.issparse(X):
        return np.asarray(X @ weights + intercept, dtype=X.dtype)
    if centre is None and wide == X.dtype:
        scores = X @ weights
        scores += intercept
        return scores
    centre = np.zeros(1) if centre is None else centre
    scores = np.empty((len(X), len(coef)), dtype=X.dtype)
    for batch in row_batches(X):
        scores[batch] = (X[batch] - centre.astype(wide)) @ weights + intercept
    return scores


def tensor_scores(X, coef, intercept, centre):
    import torch

    dtype = torch.promote_types(X.dtype, torch.float32)
    wide = torch.float64 if leaves_float32(coef) else dtype
    coef, intercept = (
        torch.as_tensor(a, dtype=wide, device=X.device) for a in (coef, intercept)
    )
    X = X.to(wide)
    if centre is not None:
        X = X - torch.as_tensor(centre, dtype=wide, device=X.device)
    return (X @ coef.T + intercept).to(dtype)


def leaves_float32(coef):
    """Whether the largest coefficient is too large or too small for a float32."""
    largest = np.abs(coef).max()
    return largest > FLOAT32.max or 0 < largest < FLOAT32.tiny


def joint_log_likelihood(X, theta, var, log_prior):
    """Return log p(x, y), from the differences x - theta themselves, in float64.

    Shapes are those of `NaiveBayesProbe`; rows of a CSR matrix are expanded some at a
    time. The result is float64 for float64, else float32.
    """
    constant = log_prior - 0.5 * np.log(2 * np.pi * var).sum(axis=-1)
    if is_torch_tensor(X):
        return tensor_log_likelihood(X, theta, var, constant)
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


def tensor_log_likelihood(X, theta, var, constant):
    import torch

    wide = torch.float32 if X.device.type == "mps" else torch.float64
    theta, deviation, constant = (
        torch.as_tensor(a, dtype=wide, device=X.device)
        for a in (theta, np.broadcast_to(np.sqrt(var), theta.shape).copy(), constant)
    )
    parts = []
    for batch in row_batches(X):
        rows = X[batch].to(wide)
        columns = [
            ((rows - mean) / scale).square().sum(dim=1)
            for mean, scale in zip(theta, deviation, strict=True)
        ]
        parts.append(constant - 0.5 * torch.stack(columns, dim=1))
    return torch.cat(parts).to(torch.promote_types(X.dtype, torch.float32))


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
        if scores.ndim == 1:
            return log_odds_pair(scores).sigmoid()
        return scores.softmax(1)
    return expit(log_odds_pair(scores)) if scores.ndim == 1 else softmax(scores, axis=1)


def log_probabilities(scores):
    """Return the log posterior, of shape (n_samples, n_classes)."""
    if is_torch_tensor(scores):
        from torch.nn.functional import logsigmoid

        if scores.ndim == 1:
            return logsigmoid(log_odds_pair(scores))
        return scores.log_softmax(1)
    if scores.ndim == 1:
        logs = log_expit(log_odds_pair(scores))
    else:
        logs = log_softmax(scores, axis=1)
    if logs.dtype == np.float32:
        # near 1 a float32 probability is coarse; scikit-learn wants its log
        likely = np.exp(logs) > 0.5
        logs[likely] = np.log(probabilities(scores)[likely])
    return logs


def log_odds_pair(scores):
    """Return the log odds of both classes, of shape (n_samples, 2)."""
    signs = [-1.0, 1.0]
    if is_torch_tensor(scores):
        return scores[:, None] * scores.new_tensor(signs)
    return scores[:, None] * np.array(signs, dtype=scores.dtype)
