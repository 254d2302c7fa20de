"""Soft targets: the mean of teachers' probabilities, the loss on it, and its short form."""

import numpy as np
from scipy.sparse import issparse, vstack
from scipy.special import log_softmax
from sklearn.utils import check_array

from minimalml._core.array_checks import check_rows, check_targets, check_weights
from minimalml._core.arrays import is_torch_tensor
from minimalml._core.top_k import top_k_stable
from minimalml._core.validation import Integral

# By how much a row of probabilities may miss a sum of 1.
SUM_TOLERANCE = 1e-3
FLOATS = [np.float64, np.float32]
COMPRESSIONS = ("smoothing", "renorm")


def soft_targets(probas, *, weights=None):
    """Average the class probabilities of several models, as targets of a student.

    Probabilities are averaged, not logits: a model that is sure of one class does not
    outvote all others.

    Parameters
    ----------
    probas : array-like of shape (n_teachers, n_samples, n_classes)
        Class probabilities, or a list of one array (n_samples, n_classes) a teacher.

    weights : array-like of shape (n_teachers,), default=None
        What a teacher counts, at least 0; divided by their sum. None: all the same.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Rows sum to 1; float32 if all of ``probas`` are.

    Raises
    ------
    ValueError
        If shapes differ, rows are no probabilities, or weights are negative or all 0.

    Notes
    -----
    Time and memory O(n_teachers n_samples n_classes).

    References
    ----------
    .. [1] Z. Shen, M. Savvides, "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy
       on ImageNet without Tricks", 2020. arXiv:2009.08453

    Examples
    --------
    >>> from minimalml.ensemble import soft_targets
    >>> soft_targets([[[0.5, 0.5]], [[1.0, 0.0]]], weights=[3, 1])
    array([[0.625, 0.375]])
    """
    arrays = [check_probabilities(p, name=f"probas[{i}]") for i, p in enumerate(probas)]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise ValueError(
            "probas must hold arrays of one shape (n_samples, n_classes), at least one, "
            f"got {sorted(shapes)}."
        )
    mean = mean_of_teachers(arrays, weights, name="weights")
    return mean / mean.sum(axis=1, keepdims=True)


def mean_of_teachers(arrays, weights, *, name="teacher_weights"):
    """Return the weighted mean of predictions of the same shape, in their float type."""
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        is_right = weights.shape == (len(arrays),) and np.isfinite(weights).all()
        if not is_right or (weights < 0).any() or not weights.any():
            raise ValueError(
                f"{name} must be one number of at least 0 for each of {len(arrays)} "
                f"teachers, one of them above, got {weights.tolist()}."
            )
    mean = np.average(arrays, axis=0, weights=weights)
    return mean.astype(np.result_type(*arrays), copy=False)


def mix_labels(targets, labels, share, rows):
    """Return targets with a share of the labels, where the rows' numbers have some."""
    if share == 0 or labels is None:
        return targets
    mixed, known = targets.copy(), rows < len(labels)
    mixed[known] = (1 - share) * targets[known] + share * labels[rows[known]]
    return mixed


def join_rows(X, extra, sample_weight, share):
    """Put rows without labels, which weigh ``share`` each, after the others."""
    if extra is None:
        return X, sample_weight
    if sample_weight is not None or share < 1:
        ones = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        sample_weight = np.concatenate([ones, np.full(extra.shape[0], share)])
    if issparse(X) or issparse(extra):
        return vstack([X, extra], format="csr"), sample_weight
    return np.concatenate([X, extra]), sample_weight


def distillation_loss(student_logits, targets, *, sample_weight=None):
    """Compute the cross-entropy of a student with soft targets.

    It is the entropy of the targets more than the divergence KL(targets || student), so
    both have the same gradient: softmax of the logits less the targets.

    Parameters
    ----------
    student_logits : array-like or tensor of shape (n_samples, n_classes)
        Outputs before the softmax.

    targets : array-like or tensor of shape (n_samples, n_classes)
        Probabilities.

    sample_weight : array-like or tensor of shape (n_samples,), default=None
        What a row counts in the mean.

    Returns
    -------
    float or tensor
        The mean over rows; tensors carry gradients.

    Raises
    ------
    ValueError
        If shapes differ, targets are no probabilities, or numbers are not finite.

    Examples
    --------
    >>> from minimalml.ensemble import distillation_loss
    >>> round(distillation_loss([[0.0, 0.0]], [[0.9, 0.1]]), 4)
    0.6931
    """
    logits = check_rows(student_logits, name="student_logits")
    targets = check_targets(targets, logits, name="targets")
    if targets.shape != logits.shape:
        raise ValueError(
            f"targets must have the shape of student_logits, {tuple(logits.shape)}, got "
            f"{tuple(targets.shape)}."
        )
    _refuse_no_probabilities(targets, "targets")
    weights = check_weights(sample_weight, logits)
    if is_torch_tensor(logits):
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(logits, targets, reduction="none")
    else:
        losses = -(targets * log_softmax(logits, axis=1)).sum(axis=1)
    if weights is None:
        mean = losses.mean()
    else:
        mean = (losses * weights).sum() / weights.sum()
    return mean if is_torch_tensor(mean) else float(mean)


def compress_targets(P, k, how="smoothing"):
    """Keep the largest probabilities of each row, to store targets of many classes.

    Parameters
    ----------
    P : array-like of shape (n_samples, n_classes)
        Probabilities.

    k : int
        Classes to keep, at least 1; with ``n_classes`` or more nothing is lost.

    how : {"smoothing", "renorm"}, default="smoothing"
        Whether the mass of the other classes is spread evenly over them, or dropped and
        the kept probabilities divided by their sum.

    Returns
    -------
    indices : ndarray of shape (n_samples, min(k, n_classes))
        Columns of the largest, in falling order; of ties the lower first.

    values : ndarray of shape (n_samples, min(k, n_classes))
        Their probabilities, as ``how`` says.

    Raises
    ------
    ValueError
        If ``P`` is no probabilities, ``k`` is below 1, or ``how`` is unknown.

    Notes
    -----
    Time O(n_samples n_classes).

    Examples
    --------
    >>> from minimalml.ensemble import compress_targets, expand_targets
    >>> indices, values = compress_targets([[0.1, 0.6, 0.1, 0.2]], 2)
    >>> indices, values
    (array([[1, 3]]), array([[0.6, 0.2]]))
    >>> expand_targets(indices, values, 4).round(2)
    array([[0.1, 0.6, 0.1, 0.2]])
    """
    _check_how(how)
    if not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
    P = check_probabilities(P, name="P")
    indices = top_k_stable(P, min(k, P.shape[1]))
    values = np.take_along_axis(P, indices, axis=1)
    if how == "renorm":
        values = values / values.sum(axis=1, keepdims=True)
    return indices, values


def expand_targets(indices, values, n_classes, how="smoothing"):
    """Undo `compress_targets`, up to what it dropped.

    Parameters
    ----------
    indices, values : array-like of shape (n_samples, k)
        As `compress_targets` returns them.

    n_classes : int
        Columns of the result.

    how : {"smoothing", "renorm"}, default="smoothing"
        As in `compress_targets`.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Probabilities.

    Raises
    ------
    ValueError
        If shapes differ, indices are no columns, or ``how`` is unknown.

    Examples
    --------
    >>> from minimalml.ensemble import expand_targets
    >>> expand_targets([[1]], [[0.8]], 3)
    array([[0.1, 0.8, 0.1]])
    """
    _check_how(how)
    values = check_array(values, dtype=FLOATS, input_name="values")
    indices = check_array(indices, dtype=None, input_name="indices")
    if indices.shape != values.shape or indices.dtype.kind not in "iu":
        raise ValueError(
            f"indices must be integers of the shape of values, {values.shape}, got "
            f"{indices.dtype} of shape {indices.shape}."
        )
    if indices.min() < 0 or indices.max() >= n_classes:
        raise ValueError(
            f"indices must be from 0 to n_classes - 1 = {n_classes - 1}, got "
            f"{indices.min()} to {indices.max()}."
        )
    n_others = n_classes - indices.shape[1]
    rest = np.zeros((len(values), 1), values.dtype)
    if how == "smoothing" and n_others > 0:
        rest = (1 - values.sum(axis=1, keepdims=True)).clip(min=0) / n_others
    P = np.repeat(rest, n_classes, axis=1)
    np.put_along_axis(P, indices, values, axis=1)
    return P


def check_probabilities(P, *, name):
    """Return rows of floats that are at least 0 and sum to 1."""
    P = check_array(P, dtype=FLOATS, input_name=name)
    _refuse_no_probabilities(P, name)
    return P


def _refuse_no_probabilities(P, name):
    lowest, sums = float(P.min()), P.sum(1)
    if lowest < 0 or float(abs(sums - 1).max()) > SUM_TOLERANCE:
        raise ValueError(
            f"{name} must be at least 0 and sum to 1 in each row, got {lowest:.3g} as the "
            f"smallest and sums from {float(sums.min()):.4g} to {float(sums.max()):.4g}."
        )


def _check_how(how):
    if how not in COMPRESSIONS:
        raise ValueError(f"how must be one of {COMPRESSIONS}, got {how!r}.")
