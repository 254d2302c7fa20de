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
from minimalml.inspection._quad_attack._factored_gram import FactoredGram
from minimalml.inspection._quad_attack._ordered_top_k import (
    check_problem,
    one_of,
    solve_checked,
)


def _value(loss_and_gradient, logits):
    """Return the loss a row, with its gradient attached where torch tracks one."""
    if is_torch_tensor(logits):
        from minimalml.inspection._quad_attack._autograd import WithGradient

        return WithGradient.apply(logits, loss_and_gradient)
    return loss_and_gradient(logits)[0]


def ordered_top_k_loss(logits, targets, gram=None, margin=0.2, *, weight=None):
    """Measure how far features are from putting k classes on top in order.

    Parameters
    ----------
    logits : array or tensor of shape (n_samples, n_classes)
        Scores ``A f + b``. Tensors can be differentiated: by the envelope theorem the
        gradient in the features is ``2 (f - v)`` with v the nearest solution.

    targets : array or tensor of int, shape (n_samples, k)
        Classes to put on top, best first.

    gram : array or tensor of shape (n_classes, n_classes), default=None
        Gram matrix ``A @ A.T`` of the head, taken as constant.

    margin : float, default=0.2
        Lead that each class must have.

    weight : array or tensor of shape (n_classes, n_features), default=None
        The head, to give instead of ``gram`` where classes are very many.

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
    gram = one_of(gram, weight, logits)
    logits, targets, gram, _ = check_problem(logits, targets, gram, margin)

    def loss_and_gradient(values):
        return quad_loss_and_gradient(values, targets, gram, margin)[:2]

    return _value(loss_and_gradient, logits)


def quad_loss_and_gradient(logits, targets, gram, margin, dual=None, start=None):
    """Return losses, gradients in the scores, and the two to start from next."""
    options = {"start": start, "in_place": True, "factor": -2.0}
    solution = solve_checked(logits, targets, gram, margin, dual, **options)
    gradient, distance, dual = solution[:3]
    if is_torch_tensor(logits):
        gradient, distance = gradient.to(logits.dtype), distance.to(logits.dtype)
    return distance, gradient, dual, solution[-1]


class QuadLoss:
    """The quadratic loss of one batch, each call started at the last one's solution."""

    def __init__(self, targets, gram, margin):
        self.problem, self.start = (targets, gram, margin), ()

    def __call__(self, logits):
        """Return losses and gradients in the scores.

        The next call overwrites them, and only where they are not zero: read them, and
        write nothing into them.
        """
        solution = quad_loss_and_gradient(logits, *self.problem, *self.start)
        self.start = solution[2:]
        return solution[:2]


def cw_top_k_loss(logits, targets, confidence=0.2):
    """Sum up by how much rivals beat the targets, place by place (Carlini-Wagner).

    Parameters
    ----------
    logits : array or tensor of shape (n_samples, n_classes)
        Scores; tensors can be differentiated.

    targets : array or tensor of int, shape (n_samples, k)
        Classes to put on top, best first.

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
    logits, targets, _, _ = check_problem(logits, targets, None, confidence)
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
    logits, targets, class_similarity, alpha=10.0, beta=0.3
):
    """Measure the divergence from a teacher that ranks the targets first.

    Parameters
    ----------
    logits : array or tensor of shape (n_samples, n_classes)
        Scores; tensors can be differentiated.

    targets : array or tensor of int, shape (n_samples, k)
        Classes to put on top, best first.

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
    logits, targets, similarity, _ = check_problem(logits, targets, class_similarity)
    teacher = log_teacher(targets, similarity, alpha, beta)
    if is_torch_tensor(logits):
        teacher = teacher.to(logits.dtype)
    return _value(partial(distillation_loss_and_gradient, teacher=teacher), logits)


def log_teacher(targets, class_similarity, alpha, beta):
    """Return the teacher's log probabilities, (n_samples, n_classes)."""
    k = targets.shape[1]
    check_teacher(class_similarity, k, alpha, beta)
    xp = array_namespace(targets)
    if isinstance(class_similarity, FactoredGram):
        scores = class_similarity.mean_rows(targets)
    else:
        scores = class_similarity[targets].mean(1)
    for i in range(k):
        scores[xp.arange(len(targets)), targets[:, i]] = alpha - beta * i
    return _log_softmax(scores)


def check_teacher(class_similarity, k, alpha, beta):
    """Refuse a teacher that does not rank the targets first, in order."""
    largest = float(class_similarity.max())
    if beta < 0.0 or (beta == 0.0 and k > 1) or alpha - beta * (k - 1) <= largest:
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


def cosine_similarity_of_classes(gram):
    """Return the cosines of the head's rows; 0 for a row of zeros."""
    if isinstance(gram, FactoredGram):
        return gram.cosines()
    xp = array_namespace(gram)
    length = xp.sqrt(xp.diagonal(gram, 0))
    length = xp.where(length > 0.0, length, xp.ones_like(length))
    return gram / length[:, None] / length[None, :]
