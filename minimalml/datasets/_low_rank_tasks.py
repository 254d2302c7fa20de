"""Linear tasks that share a low-rank representation, with a target among them."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state


class LowRankTruth(NamedTuple):
    """What generated the tasks.

    Attributes
    ----------
    basis : ndarray of shape (n_features, rank)
        Orthonormal columns.
    heads : ndarray of shape (rank, n_tasks)
        Heads of the sources, of length 1.
    target_head : ndarray of shape (rank,)
        Head of the target, of length 1.
    relevance : ndarray of shape (n_tasks,)
        The sparse combination of sources that gave the target.
    """

    basis: np.ndarray
    heads: np.ndarray
    target_head: np.ndarray
    relevance: np.ndarray


def make_low_rank_tasks(
    n_tasks=40,
    n_features=30,
    rank=4,
    n_relevant=3,
    noise=0.5,
    random_state=None,
    *,
    n_samples=100,
    n_target=None,
):
    """Generate linear tasks with a shared basis and a target made of a few of them.

    ``y = x @ basis @ head_t + noise`` with standard normal inputs and heads uniform on
    the sphere. The target's head mixes ``n_relevant`` sources with coefficients of
    size 0.7 to 1.3 and random sign, scaled to length 1.

    Parameters
    ----------
    n_tasks : int, default=40
        Number of sources, numbered from 0; the target is task ``n_tasks``.

    n_features : int, default=30
        Dimension of the inputs.

    rank : int, default=4
        Dimension of the representation.

    n_relevant : int, default=3
        Number of sources in the target.

    noise : float, default=0.5
        Standard deviation of the labels' noise.

    random_state : int, RandomState instance or None, default=None
        Makes the data repeatable.

    n_samples : int, default=100
        Rows of each source.

    n_target : int, default=None
        Rows of the target; None takes ``n_samples``.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Inputs.

    y : ndarray of shape (n_rows,)
        Targets.

    tasks : ndarray of int of shape (n_rows,)
        Task of each row, rising.

    truth : LowRankTruth
        ``basis``, ``heads``, ``target_head`` and ``relevance``.

    Raises
    ------
    ValueError
        If ``rank`` exceeds ``n_features`` or ``n_relevant`` exceeds ``n_tasks``.

    Examples
    --------
    >>> from minimalml.datasets import make_low_rank_tasks
    >>> X, y, tasks, truth = make_low_rank_tasks(n_tasks=5, random_state=0)
    >>> X.shape, int((truth.relevance != 0).sum())
    ((600, 30), 3)
    """
    if not 1 <= rank <= n_features:
        raise ValueError(f"rank must be between 1 and {n_features}, got {rank}.")
    if not 1 <= n_relevant <= n_tasks:
        raise ValueError(
            f"n_relevant must be between 1 and {n_tasks}, got {n_relevant}."
        )
    rng = check_random_state(random_state)
    basis = np.linalg.qr(rng.standard_normal((n_features, rank)))[0]
    heads = rng.standard_normal((rank, n_tasks))
    heads /= np.linalg.norm(heads, axis=0)
    relevance = np.zeros(n_tasks)
    relevant = rng.choice(n_tasks, n_relevant, replace=False)
    signs = rng.choice([-1.0, 1.0], n_relevant)
    relevance[relevant] = signs * rng.uniform(0.7, 1.3, n_relevant)
    relevance /= np.linalg.norm(heads @ relevance)
    target_head = heads @ relevance
    sizes = np.full(n_tasks + 1, n_samples)
    sizes[-1] = n_samples if n_target is None else n_target
    tasks = np.repeat(np.arange(n_tasks + 1), sizes)
    X = rng.standard_normal((len(tasks), n_features))
    all_heads = np.column_stack([heads, target_head])
    y = np.einsum("nk,kn->n", X @ basis, all_heads[:, tasks])
    y += noise * rng.standard_normal(len(y))
    return X, y, tasks, LowRankTruth(basis, heads, target_head, relevance)
