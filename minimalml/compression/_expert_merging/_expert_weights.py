"""Experts as stacks of arrays: how hidden units are aligned, and experts averaged.

The order of an expert's hidden units is arbitrary, so that a plain average of two experts
mixes units that have nothing in common. Li et al., "Merge, Then Compress", ICLR 2024.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment

# Where the hidden units lie in the slice of one expert.
HIDDEN_AXIS = {"hidden_in": 0, "hidden_out": -1, "shared": None}


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """The experts of one layer, of any model: stacks of arrays, one slice an expert.

    With gated experts (SwiGLU) it is ``ExpertWeights((w1, w3), (w2,))``. Arrays of a
    torch model are made by ``torch.stack(tensors).detach().float().numpy()``.

    Parameters
    ----------
    hidden_in : tuple of ndarray of shape (n_experts, n_hidden, ...)
        What leads to hidden units, a row each: input matrices, gates, their biases.

    hidden_out : tuple of ndarray of shape (n_experts, ..., n_hidden)
        What leads away from them, a column each: output matrices.

    shared : tuple of ndarray of shape (n_experts, ...), default=()
        What knows no hidden units: biases of the output.

    Attributes
    ----------
    n_experts, n_hidden : int
        Number of experts, and of the hidden units of each.

    Raises
    ------
    TypeError
        If a stack is no NumPy array of floats.
    ValueError
        If stacks differ in the number of experts or hidden units, or are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import ExpertWeights
    >>> experts = ExpertWeights((np.ones((4, 8, 3)),), (np.ones((4, 3, 8)),))
    >>> experts.n_experts, experts.n_hidden
    (4, 8)
    """

    hidden_in: tuple
    hidden_out: tuple
    shared: tuple = ()

    def __post_init__(self):
        for kind in HIDDEN_AXIS:
            object.__setattr__(self, kind, tuple(getattr(self, kind)))
        if not self.hidden_in + self.hidden_out:
            raise ValueError(
                "hidden_in and hidden_out are empty: give at least one stack."
            )
        first = None
        for name, stack, axis in self._stacks():
            _check_stack(name, stack, 1 if axis is None else 2)
            n_hidden = None if axis is None else stack.shape[1:][axis]
            first = first or (name, len(stack), n_hidden)
            if len(stack) != first[1] or n_hidden not in (None, first[2]):
                units = "" if n_hidden is None else f" of {n_hidden} hidden units"
                raise ValueError(
                    f"{name} has {len(stack)} experts{units}, but {first[0]} has "
                    f"{first[1]} of {first[2]}."
                )

    def _stacks(self):
        """Yield the name of each stack, itself, and where hidden units lie in a slice."""
        for kind, axis in HIDDEN_AXIS.items():
            for i, stack in enumerate(getattr(self, kind)):
                yield f"{kind}[{i}]", stack, axis

    @property
    def n_experts(self):
        """Number of experts."""
        return len((self.hidden_in + self.hidden_out)[0])

    @property
    def n_hidden(self):
        """Number of hidden units of each expert."""
        _, stack, axis = next(self._stacks())
        return stack.shape[1:][axis]

    def _map(self, function):
        """Return what ``function(stack, axis of hidden units)`` makes of all stacks."""
        return ExpertWeights(
            *(
                tuple(function(stack, axis) for stack in getattr(self, kind))
                for kind, axis in HIDDEN_AXIS.items()
            )
        )


def _check_stack(name, stack, min_ndim):
    if not isinstance(stack, np.ndarray) or stack.dtype.kind != "f":
        kind = getattr(stack, "dtype", type(stack).__name__)
        raise TypeError(
            f"{name} must be a NumPy array of floats, got {kind}: of a torch model take "
            "torch.stack(tensors).detach().float().numpy()."
        )
    if stack.ndim < min_ndim or not stack.size:
        raise ValueError(
            f"{name} must have at least {min_ndim} axes, experts first, and no empty "
            f"one, got shape {stack.shape}."
        )
    if not np.isfinite(stack).all():
        raise ValueError(f"{name} contains NaN or infinity.")


def align_experts(experts, *, reference=0):
    """Reorder the hidden units of experts to match those of a reference.

    No expert's function changes. Of all orders the one with the smallest squared
    distance between the weights is found, by an assignment: O(f^3 + f^2 d) an expert of
    f units with d weights each.

    Parameters
    ----------
    experts : ExpertWeights
        The experts, which stay as they are.

    reference : int or array-like of int of shape (n_experts,), default=0
        The expert to match, or one for each expert.

    Returns
    -------
    experts : ExpertWeights
        With units in their new order.

    permutations : ndarray of int of shape (n_experts, n_hidden)
        Unit i of the new expert e was unit ``permutations[e, i]``.

    Raises
    ------
    TypeError
        If ``experts`` is no `ExpertWeights`, or a reference no integer.
    ValueError
        If a reference is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import ExpertWeights, align_experts
    >>> units = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> experts = ExpertWeights((np.stack([units, units[::-1]]),), ())
    >>> align_experts(experts)[1]
    array([[0, 1],
           [1, 0]])
    """
    check_experts(experts)
    reference = np.asarray(reference)
    n_experts = experts.n_experts
    if reference.dtype.kind not in "iu":
        raise TypeError(f"reference must be integers, got dtype {reference.dtype}.")
    if reference.shape not in ((), (n_experts,)):
        raise ValueError(
            f"reference must be an int or {n_experts} of them, got shape "
            f"{reference.shape}."
        )
    if ((reference < 0) | (reference >= n_experts)).any():
        raise ValueError(
            f"reference must be between 0 and {n_experts - 1}, got {reference.tolist()}."
        )
    reference = np.broadcast_to(reference, n_experts)
    permutations = best_permutations(experts, reference)
    return experts._map(partial(_reordered, permutations)), permutations


def _reordered(permutations, stack, axis):
    """Return a stack with the hidden units of each slice in another order."""
    if axis is None:
        return stack.copy()
    slices = zip(stack, permutations, strict=True)
    return np.stack([one.take(order, axis=axis) for one, order in slices])


def check_experts(experts):
    """Raise a TypeError for anything but `ExpertWeights`."""
    if not isinstance(experts, ExpertWeights):
        raise TypeError(f"experts must be ExpertWeights, got {type(experts).__name__}.")


def best_permutations(experts, reference):
    """Return for each expert the order of its units that matches its reference's."""
    # squares of the largest weights neither overflow nor vanish, and a scale that is the
    # same for all changes no assignment
    stacks = [(s, axis) for _, s, axis in experts._stacks() if axis is not None]
    largest = max(np.abs(stack).max() for stack, _ in stacks) or 1.0

    def units(expert):
        rows = [
            np.moveaxis(stack[expert], axis, 0).reshape(experts.n_hidden, -1)
            for stack, axis in stacks
        ]
        return np.concatenate(rows, axis=1) / largest  # (n_hidden, weights of a unit)

    permutations = np.tile(np.arange(experts.n_hidden), (experts.n_experts, 1))
    for one in np.unique(reference):
        units_of_one = units(one)
        for expert in np.flatnonzero(reference == one):
            if expert != one:
                score = units_of_one @ units(expert).T
                permutations[expert] = linear_sum_assignment(score, maximize=True)[1]
    return permutations


def merge_experts(experts, labels, *, frequency=None, dominant=None, align=True):
    """Average the experts of each group, with their hidden units in the same order.

    O(f^3 + f^2 d) for each expert of f units with d weights each, the alignment; the
    average itself is one pass over the weights.

    Parameters
    ----------
    experts : ExpertWeights
        The experts, which stay as they are.

    labels : array-like of int of shape (n_experts,)
        The group of each expert: 0, 1, 2... without gaps.

    frequency : array-like of shape (n_experts,), default=None
        What each expert counts for. None, or zeros in a whole group, is equally.

    dominant : array-like of int of shape (n_groups,), default=None
        The expert of each group that the others are aligned to. None is the most
        frequent one.

    align : bool, default=True
        Whether to align hidden units first. Without, experts that were not copies of
        one another cancel out.

    Returns
    -------
    ExpertWeights
        One expert a group, in the float type of ``experts``; sums are in double.

    Raises
    ------
    TypeError
        If ``experts`` is no `ExpertWeights`.
    ValueError
        If labels skip a group, a frequency is negative or not finite, or a dominant
        expert is not in its group.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import ExpertWeights, merge_experts
    >>> units = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> experts = ExpertWeights((np.stack([units, units[::-1]]),), ())
    >>> merge_experts(experts, [0, 0]).hidden_in[0]
    array([[[1., 0.],
            [0., 1.]]])
    >>> merge_experts(experts, [0, 0], align=False).hidden_in[0]
    array([[[0.5, 0.5],
            [0.5, 0.5]]])
    """
    check_experts(experts)
    n_experts = experts.n_experts
    labels = _check_labels(labels, n_experts)
    weights = np.ones(n_experts) if frequency is None else frequency
    weights = check_frequency(weights, n_experts)
    dominant = _check_dominant(dominant, labels, weights)
    permutations = np.tile(np.arange(experts.n_hidden), (n_experts, 1))
    if align:
        permutations = best_permutations(experts, dominant[labels])
    shares = _shares_of_groups(weights, labels)

    def average(stack, axis):
        merged = np.zeros((len(dominant), *stack.shape[1:]))
        for expert, group in enumerate(labels):
            own = stack[expert]
            if axis is not None:
                own = own.take(permutations[expert], axis=axis)
            merged[group] += shares[expert] * own
        return merged.astype(stack.dtype)

    return experts._map(average)


def _check_labels(labels, n_experts):
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != (n_experts,):
        raise ValueError(
            f"labels must be {n_experts} integers, got {labels.dtype} of shape "
            f"{labels.shape}."
        )
    found = np.unique(labels)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"labels must number the groups 0, 1, 2... without gaps, got {found.tolist()}."
        )
    return labels


def check_frequency(frequency, n_experts, name="frequency"):
    """Return finite numbers of at least 0, one an expert, in double."""
    frequency = np.asarray(frequency, dtype=np.float64)
    if frequency.shape != (n_experts,):
        raise ValueError(
            f"{name} must have shape ({n_experts},), got {frequency.shape}."
        )
    if not (np.isfinite(frequency) & (frequency >= 0)).all():
        raise ValueError(
            f"{name} must be finite and not negative, got {frequency.tolist()}."
        )
    return frequency


def _check_dominant(dominant, labels, weights):
    """Return the dominant expert of each group."""
    n_groups = labels.max() + 1
    if dominant is None:
        order = np.argsort(-weights, kind="stable")
        return order[np.unique(labels[order], return_index=True)[1]]
    dominant = np.asarray(dominant)
    if dominant.dtype.kind not in "iu" or dominant.shape != (n_groups,):
        raise ValueError(
            f"dominant must be {n_groups} integers, one a group, got {dominant.dtype} of "
            f"shape {dominant.shape}."
        )
    inside = (dominant >= 0) & (dominant < len(labels))
    inside[inside] = labels[dominant[inside]] == np.flatnonzero(inside)
    if not inside.all():
        group = int(np.argmin(inside))
        raise ValueError(
            f"dominant of group {group} is expert {dominant[group]}, which is not in that "
            "group."
        )
    return dominant


def _shares_of_groups(weights, labels):
    """Return what each expert counts for in its group; they sum to 1 there."""
    largest = np.zeros(labels.max() + 1)
    np.maximum.at(largest, labels, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(largest[labels] > 0, weights / largest[labels], 1.0)
    return relative / np.bincount(labels, weights=relative)[labels]
