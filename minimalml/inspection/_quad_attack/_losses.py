"""Three losses that fall as k classes come to lead in order, with their gradients.

Each comes in two forms: a public function of scores, which torch can differentiate,
and a ``*_and_gradient`` that an attack calls in its loop, on NumPy and torch alike.
The quadratic loss is the squared distance to the nearest solution (Paniagua, Grainger,
Wu, NeurIPS 2023); by the envelope theorem its gradient needs no derivative of the
solver. The other two are that paper's baselines.
"""

from functools import partial

import numpy as np
from scipy.special import log_softmax

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml.inspection._quad_attack._gram import in_double
from minimalml.inspection._quad_attack._ordered_top_k import (
    checked_numbers,
    solver_for,
)
from minimalml.inspection._quad_attack._targets import check_ordered_targets, like

# The teacher's score of the first target, and its fall from one to the next.
ALPHA, BETA = 10.0, 0.3


def _value(loss_and_gradient, logits):
    """Return the loss a row, with its gradient attached where torch tracks one."""
    if not is_torch_tensor(logits):
        return loss_and_gradient(logits)[0]
    loss, gradient = loss_and_gradient(logits.detach())
    if not logits.requires_grad:
        return loss
    # adds zero, whose gradient is the loss's
    return loss + (gradient * (logits - logits.detach())).sum(1)


def _checked(logits, targets):
    """Return finite scores, and targets beside them."""
    logits = logits if is_torch_tensor(logits) else np.asarray(logits, dtype=float)
    if logits.ndim != 2:
        raise ValueError(
            f"logits must have shape (n_samples, n_classes), got {tuple(logits.shape)}."
        )
    logits = checked_numbers("logits", logits, tuple(logits.shape), logits)
    return logits, like(check_ordered_targets(targets, *logits.shape), logits)


def ordered_top_k_loss(logits, targets, gram=None, margin=0.2, *, weight=None):
    """Measure how far features are from putting k classes on top in order.

    Parameters
    ----------
    logits : array or tensor of shape (n_samples, n_classes)
        Scores ``A f + b``. Tensors can be differentiated: by the envelope theorem the
        gradient in the features is ``2 (f - v)`` with v the nearest solution.

    targets : array or tensor of int, shape (n_samples, k)
        Classes to put on top, best first.

    gram, margin, weight
        As in `solve_ordered_top_k`, taken as constant.

    Returns
    -------
    array or tensor of shape (n_samples,)
        Squared distances; infinite, without gradient, where no solution exists.

    Notes
    -----
    With u the direction of `solve_ordered_top_k`, the loss is ``u @ gram @ u`` and the
    cotangent of the scores ``-2 u``: back-propagated through the head it is
    ``-2 u @ A``, which is ``2 (f - v)``.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import ordered_top_k_loss
    >>> ordered_top_k_loss(np.array([[1.0, 0.0]]), [[1]], np.eye(2), margin=1.0)
    array([2.])
    """
    logits, targets = _checked(logits, targets)
    solver = solver_for(logits, targets, gram, margin, weight)
    return _value(partial(quad_loss_and_gradient, solver=solver), logits)


def quad_loss_and_gradient(logits, solver):
    """Return losses and gradients in the scores, from where ``solver`` was left."""
    direction, distance, *_ = solver._solve(logits)
    if is_torch_tensor(logits):
        direction, distance = direction.to(logits.dtype), distance.to(logits.dtype)
    return distance, -2.0 * direction


def cw_top_k_loss(logits, targets, confidence=0.2):
    """Sum up by how much rivals beat the targets, place by place (Carlini-Wagner).

    Parameters
    ----------
    logits, targets : array or tensor
        As in `ordered_top_k_loss`.

    confidence : float, default=0.2
        Lead that is asked for. The paper's official baseline has 0.

    Returns
    -------
    array or tensor of shape (n_samples,)

    Notes
    -----
    Mean over j = 1..k of ``max(0, max_{c not in t_1..t_j} l_c - min_{i <= j} l_{t_i}
    + confidence)``.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import cw_top_k_loss
    >>> cw_top_k_loss(np.array([[1.0, 0.0, -1.0]]), np.array([[1]]), confidence=0.0)
    array([1.])
    """
    logits, targets = _checked(logits, targets)
    if not 0.0 <= confidence < np.inf:
        raise ValueError(f"confidence must be finite and at least 0, got {confidence}.")
    return _value(
        partial(cw_loss_and_gradient, targets=targets, confidence=confidence), logits
    )


def cw_loss_and_gradient(logits, targets, confidence):
    """Return losses and subgradients in the scores."""
    xp, k = array_namespace(logits), targets.shape[1]
    row = xp.arange(len(logits))
    rivals = logits + 0.0
    loss, gradient = xp.zeros_like(logits[:, 0]), xp.zeros_like(logits)
    lowest, low = targets[:, 0], logits[row, targets[:, 0]]
    for j in range(k):
        target = targets[:, j]
        rivals[row, target] = -np.inf
        rival = rivals.argmax(1)
        lowest = xp.where(logits[row, target] < low, target, lowest)
        low = logits[row, lowest]
        gap = logits[row, rival] - low + confidence
        share = xp.where(gap > 0.0, 1.0 / k, 0.0 * gap)
        loss = loss + share * gap
        gradient[row, rival] += share
        gradient[row, lowest] -= share
    return loss, gradient


def adversarial_distillation_loss(
    logits, targets, class_similarity, alpha=ALPHA, beta=BETA
):
    """Measure the divergence from a teacher that ranks the targets first.

    Parameters
    ----------
    logits, targets : array or tensor
        As in `ordered_top_k_loss`.

    class_similarity : array or tensor of shape (n_classes, n_classes)
        How alike classes are, in [-1, 1].

    alpha : float, default=10.0
        Teacher's score of the first target.

    beta : float, default=0.3
        By how much the teacher's score falls from one target to the next.

    Returns
    -------
    array or tensor of shape (n_samples,)
        Kullback-Leibler divergences.

    Raises
    ------
    ValueError
        If the teacher would not keep the order.

    Notes
    -----
    The teacher's scores are the mean similarity to the targets, overwritten at the
    i-th target by ``alpha - beta (i - 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import adversarial_distillation_loss
    >>> logits = np.array([[0.0, 10.0]])
    >>> adversarial_distillation_loss(logits, np.array([[1]]), np.zeros((2, 2)))
    array([0.])
    """
    logits, targets = _checked(logits, targets)
    shape = logits.shape[1], logits.shape[1]
    similarity = checked_numbers("class_similarity", class_similarity, shape, logits)
    check_teacher(float(similarity.max()), targets.shape[1], alpha, beta)
    teacher = log_teacher(in_double(similarity[targets]).mean(1), targets, alpha, beta)
    if is_torch_tensor(logits):
        teacher = teacher.to(logits.dtype)
    return _value(partial(distillation_loss_and_gradient, teacher=teacher), logits)


def log_teacher(similarity, targets, alpha=ALPHA, beta=BETA):
    """Return the teacher's log probabilities from mean similarities to the targets."""
    xp, scores = array_namespace(targets), similarity + 0.0
    for i in range(targets.shape[1]):
        scores[xp.arange(len(targets)), targets[:, i]] = alpha - beta * i
    return _log_softmax(scores)


def check_teacher(largest, k, alpha=ALPHA, beta=BETA):
    """Refuse a teacher that does not rank the targets first, in order."""
    if beta < 0.0 or (beta == 0.0 and k > 1) or not alpha - beta * (k - 1) > largest:
        raise ValueError(
            f"alpha - beta * (k - 1) must exceed the largest class similarity "
            f"{largest:.3g} with beta > 0, or the teacher's order is not the targets'; "
            f"got alpha={alpha}, beta={beta}, k={k}."
        )


def _log_softmax(scores):
    if is_torch_tensor(scores):
        return scores.log_softmax(1)
    return log_softmax(scores, axis=1)


def distillation_loss_and_gradient(logits, teacher):
    """Return divergences and gradients in the scores."""
    xp, student = array_namespace(logits), _log_softmax(logits)
    probability = xp.exp(teacher)
    loss = (probability * (teacher - student)).sum(1)
    return loss, xp.exp(student) - probability


def mean_cosines(weight, targets):
    """Average the cosines between the targets' rows of a head and all of its rows."""
    weight = in_double(weight)
    length = (weight**2).sum(1) ** 0.5
    weight = weight / (length + (length == 0.0))[:, None]
    return weight[targets].mean(1) @ weight.T
