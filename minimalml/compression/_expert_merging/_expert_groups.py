"""Which experts are merged: those that a router treats alike, around its favourites."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array

from minimalml.compression._expert_merging._expert_weights import check_frequency


def expert_similarity(logits):
    """Compare experts by what a router says of the same rows.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_experts)
        The router's outputs before the softmax.

    Returns
    -------
    ndarray of shape (n_experts, n_experts)
        ``(1 + cosine) / 2`` of the columns, uncentred: 1 for those of one direction,
        0.5 for those at right angles, or where a column is zero. The diagonal is 1.

    Raises
    ------
    ValueError
        If ``logits`` are not two-dimensional and finite.

    Examples
    --------
    >>> from minimalml.compression import expert_similarity
    >>> expert_similarity([[3.0, 6.0, -3.0], [4.0, 8.0, -4.0]]).round(6)
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    logits = check_array(logits, dtype=np.float64, input_name="logits")
    largest = np.abs(logits).max(axis=0)
    unit = logits / np.where(largest > 0, largest, 1.0)  # squares that don't overflow
    length = np.linalg.norm(unit, axis=0)
    unit /= np.where(length > 0, length, 1.0)
    similarity = np.clip((1 + unit.T @ unit) / 2, 0.0, 1.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity


def group_experts(frequency, similarity, n_groups):
    """Group the experts of a layer around the most frequent ones.

    Parameters
    ----------
    frequency : array-like of shape (n_experts,)
        How often each is chosen. The ``n_groups`` most frequent are dominant; of equal
        ones the first.

    similarity : array-like of shape (n_experts, n_experts)
        As of `expert_similarity`. Each other expert joins the dominant one that it is
        most similar to; of equal ones the most frequent.

    n_groups : int
        Number of groups, from 1 to ``n_experts``.

    Returns
    -------
    labels : ndarray of int of shape (n_experts,)
        The group of each expert; group 0 is around the most frequent one.

    dominant : ndarray of int of shape (n_groups,)
        The dominant expert of each group.

    Raises
    ------
    ValueError
        If a frequency is negative or not finite, ``similarity`` has another shape or is
        not finite, or ``n_groups`` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import group_experts
    >>> similarity = np.eye(3)
    >>> similarity[0, 2] = similarity[2, 0] = 0.9
    >>> group_experts([0.5, 0.4, 0.1], similarity, 2)
    (array([0, 1, 0]), array([0, 1]))
    """
    similarity = check_array(similarity, dtype=np.float64, input_name="similarity")
    n_experts = len(similarity)
    frequency = check_frequency(frequency, n_experts)
    if similarity.shape != (n_experts, n_experts):
        raise ValueError(f"similarity must be square, got shape {similarity.shape}.")
    _check_n_groups(n_groups, 1, n_experts)
    dominant = np.argsort(-frequency, kind="stable")[:n_groups]
    labels = similarity[:, dominant].argmax(axis=1)
    labels[dominant] = np.arange(n_groups)
    return labels, dominant


def allocate_groups(frequencies, n_groups):
    """Share groups out to layers, by the frequencies of all their experts together.

    Each layer gets one for its most frequent expert; the others go to the highest
    frequencies, of equal ones to the earlier layer.

    Parameters
    ----------
    frequencies : sequence of array-like of shape (n_experts,)
        How often each expert is chosen, by layer.

    n_groups : int
        Groups of all layers together: at least one for each layer, at most as many as
        there are experts.

    Returns
    -------
    ndarray of int of shape (n_layers,)
        Groups of each layer.

    Raises
    ------
    ValueError
        If a frequency is negative or not finite, or ``n_groups`` is out of range.

    Examples
    --------
    >>> from minimalml.compression import allocate_groups
    >>> allocate_groups([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]], 4)
    array([1, 3])
    """
    ranked = [
        -np.sort(-check_frequency(f, np.size(f), f"frequencies[{i}]"))
        for i, f in enumerate(frequencies)
    ]
    sizes = [len(values) for values in ranked]
    if not ranked or 0 in sizes:
        raise ValueError("frequencies must hold at least one layer, and none without experts.")  # fmt: skip
    _check_n_groups(n_groups, len(ranked), sum(sizes))
    others = np.concatenate([values[1:] for values in ranked])
    layers = np.repeat(np.arange(len(ranked)), [size - 1 for size in sizes])
    taken = layers[np.argsort(-others, kind="stable")[: n_groups - len(ranked)]]
    return 1 + np.bincount(taken, minlength=len(ranked))


def _check_n_groups(n_groups, smallest, largest):
    if not isinstance(n_groups, Integral):
        raise TypeError(f"n_groups must be an integer, got {n_groups!r}.")
    if not smallest <= n_groups <= largest:
        raise ValueError(
            f"n_groups must be between {smallest} and {largest}, got {n_groups}."
        )
