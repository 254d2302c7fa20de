"""From parameters to scores, and from scores to labels and probabilities.

For NumPy arrays, CSR matrices and torch tensors. Scores of classes have shape
(n_samples, n_classes), or (n_samples,) for two classes: the log odds of the second, as
scikit-learn has it.
"""

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.special import expit, log_softmax, softmax
from sklearn.utils import gen_batches

from minimalml._core.arrays import array_namespace, is_torch_tensor

# Rows at a time where a copy of them is needed: 8 MB of float64 numbers.
BATCH_NUMBERS = 1 << 20
FLOAT32 = np.finfo(np.float32)


def linear_scores(X, coef, intercept, centre=None):
    """Return ``X @ coef.T + intercept``; a centre is taken off dense rows first."""
    # A float32 keeps the digits below a large common offset only without that offset
    dtype = score_dtype(X)
    wide = "float64" if leaves_float32(coef) else dtype
    if centre is not None and not sparse.issparse(X):
        intercept = intercept + coef @ centre
    weights, intercept = as_like(X, coef.T, wide), as_like(X, intercept, wide)
    if sparse.issparse(X) or (centre is None and X.dtype == weights.dtype):
        return as_like(X, X @ weights + intercept, dtype)
    centre = as_like(X, np.zeros(1) if centre is None else centre, wide)
    parts = [
        as_like(X, (as_like(X, X[batch], wide) - centre) @ weights + intercept, dtype)
        for batch in row_batches(X)
    ]
    return array_namespace(X).concatenate(parts)


def joint_log_likelihood(X, theta, var, log_prior):
    """Return log p(x, y), from the differences x - theta themselves, in float64."""
    constant = as_like(X, log_prior - 0.5 * np.log(2 * np.pi * var).sum(-1), "float64")
    parts = []
    for batch in row_batches(X):
        rows = X[batch].toarray() if sparse.issparse(X) else X[batch]
        scores = constant - 0.5 * scaled_distances(rows, theta, var)
        parts.append(as_like(X, scores, score_dtype(X)))
    return array_namespace(X).concatenate(parts)


def scaled_distances(rows, theta, var):
    """Return the sums over features of (x - theta)² / var, for each class."""
    if var.ndim == 2:
        classes = zip(theta[:, None], var, strict=True)
        columns = [scaled_distances(rows, mean, v) for mean, v in classes]
        return array_namespace(rows).hstack(columns)
    if not is_torch_tensor(rows):
        return cdist(rows, theta, "seuclidean", V=var) ** 2
    import torch

    rows, theta, deviation = (
        as_like(rows, a, "float64") for a in (rows, theta, np.sqrt(var))
    )
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows / deviation, theta / deviation, compute_mode=mode) ** 2


def score_dtype(X):
    """Return the dtype of scores: half precision is too narrow for logits."""
    return "float64" if str(X.dtype).endswith("float64") else "float32"


def leaves_float32(coef):
    """Whether the largest coefficient is too large or too small for a float32."""
    largest = np.abs(coef).max()
    return largest > FLOAT32.max or 0 < largest < FLOAT32.tiny


def as_like(X, array, dtype):
    """Return ``array`` as a tensor on the device of X if that is one, else an array."""
    if not is_torch_tensor(X):
        return np.asarray(array, dtype=dtype)
    import torch

    if X.device.type == "mps":  # which has no float64
        dtype = "float32"
    return torch.as_tensor(array, dtype=getattr(torch, dtype), device=X.device)


def row_batches(X):
    return gen_batches(X.shape[0], max(BATCH_NUMBERS // X.shape[1], 1))


def labels(scores, classes):
    """Return the label with the largest score; for a tensor a tensor, if numeric."""
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
    if scores.ndim == 1:
        pair = log_odds_pair(scores)
        return pair.sigmoid() if is_torch_tensor(pair) else expit(pair)
    return scores.softmax(1) if is_torch_tensor(scores) else softmax(scores, axis=1)


def log_probabilities(scores):
    """Return the log posterior, of shape (n_samples, n_classes)."""
    if scores.ndim == 1:
        pair = log_odds_pair(scores)
        logs = -array_namespace(pair).logaddexp(pair * 0, -pair)
    elif is_torch_tensor(scores):
        logs = scores.log_softmax(1)
    else:
        logs = log_softmax(scores, axis=1)
    if logs.dtype == np.float32:
        # near 1 a float32 probability is coarse; scikit-learn wants its log
        likely = np.exp(logs) > 0.5
        logs[likely] = np.log(probabilities(scores)[likely])
    return logs


def log_odds_pair(scores):
    """Return the log odds of both classes, of shape (n_samples, 2)."""
    return array_namespace(scores).stack([-scores, scores], 1)
