"""Experts as stacks of arrays: how hidden units are aligned, and experts averaged.

The order of an expert's hidden units is arbitrary, so that a plain average of two experts
mixes units that have nothing in common. Li et al., "Merge, Then Compress", ICLR 2024.
"""

from dataclasses import dataclass

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
            f"{name} must have at least {min_ndim} axes, experts first, and none empty, "
            f"got shape {stack.shape}."
        )
    if not np.isfinite(stack).all():
        raise ValueError(f"{name} contains NaN or infinity.")


def align_experts(experts, *, reference=0):
    """Reorder the hidden units of experts to match those of a reference.

    No expert's function changes. Of all orders that with the smallest squared distance
    between the weights is found, in O(f^3 + f^2 d) for f units with d weights each.

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
        If ``experts`` is no `ExpertWeights`.
    ValueError
        If a reference is no expert.

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
    n_experts = _check_experts(experts)
    reference = np.asarray(reference)
    if reference.shape not in ((), (n_experts,)) or not _are_below(
        reference, n_experts
    ):
        raise ValueError(
            f"reference must be an expert from 0 to {n_experts - 1}, or one for each of "
            f"the {n_experts}, got {reference.tolist()}."
        )
    permutations = _best_permutations(experts, np.broadcast_to(reference, n_experts))

    def reorder(stack, axis):
        slices = zip(stack, permutations, strict=True)
        return np.stack([_in_order(one, order, axis) for one, order in slices])

    return experts._map(reorder), permutations


def _check_experts(experts):
    """Return the number of experts."""
    if not isinstance(experts, ExpertWeights):
        raise TypeError(f"experts must be ExpertWeights, got {type(experts).__name__}.")
    return experts.n_experts


def _are_below(numbers, limit):
    """Whether all are integers from 0 to below ``limit``."""
    is_integer = numbers.dtype.kind in "iu"
    return is_integer and bool(((numbers >= 0) & (numbers < limit)).all())


def _in_order(one, order, axis):
    """Return the slice of one expert with its hidden units in another order."""
    return one if axis is None else one.take(order, axis=axis)


def _best_permutations(experts, reference):
    """Return for each expert the order of its units that matches its reference's."""
    # a scale that all share changes no assignment: squares don't overflow or vanish
    stacks = [(s, axis) for _, s, axis in experts._stacks() if axis is not None]
    largest = max(np.abs(stack).max() for stack, _ in stacks) or 1.0

    def units(expert):
        rows = [
            np.moveaxis(stack[expert], axis, 0).reshape(experts.n_hidden, -1)
            for stack, axis in stacks
        ]
        return np.concatenate(rows, axis=1) / largest  # (n_hidden, weights of a unit)

    permutations = _as_they_are(experts)
    for one in np.unique(reference):
        units_of_one = units(one)
        for expert in np.flatnonzero(reference == one):
            if expert != one:
                score = units_of_one @ units(expert).T
                permutations[expert] = linear_sum_assignment(score, maximize=True)[1]
    return permutations


def _as_they_are(experts):
    return np.tile(np.arange(experts.n_hidden), (experts.n_experts, 1))


def merge_experts(experts, labels, *, frequency=None, dominant=None, align=True):
    """Average the experts of each group, with their hidden units in the same order.

    Costs the alignment, see `align_experts`, and one pass over the weights.

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
        Whether to align hidden units first.

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
    """
    n_experts = _check_experts(experts)
    labels = _check_labels(labels, n_experts)
    weights = np.ones(n_experts) if frequency is None else frequency
    weights = check_frequency(weights, n_experts)
    dominant = _check_dominant(dominant, labels, weights)
    permutations = _as_they_are(experts)
    if align:
        permutations = _best_permutations(experts, dominant[labels])
    shares = _shares_of_groups(weights, labels)

    def average(stack, axis):
        merged = np.zeros((len(dominant), *stack.shape[1:]))
        for one, group, order, share in zip(
            stack, labels, permutations, shares, strict=True
        ):
            merged[group] += share * _in_order(one, order, axis)
        return merged.astype(stack.dtype)

    return experts._map(average)


def _check_labels(labels, n_experts):
    labels = np.asarray(labels)
    is_complete = labels.shape == (n_experts,) and _are_below(labels, n_experts)
    if not is_complete or np.bincount(labels).min() == 0:
        raise ValueError(
            f"labels must be {n_experts} integers, the groups 0, 1, 2... without gaps, "
            f"got {labels.tolist()}."
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
    groups = np.arange(labels.max() + 1)
    if dominant is None:
        order = np.argsort(-weights, kind="stable")
        return order[np.unique(labels[order], return_index=True)[1]]
    dominant = np.asarray(dominant)
    is_complete = dominant.shape == groups.shape and _are_below(dominant, len(labels))
    if not is_complete or (labels[dominant] != groups).any():
        raise ValueError(
            f"dominant must be an expert of each of the {len(groups)} groups in order, got "
            f"{dominant.tolist()} for labels {labels.tolist()}."
        )
    return dominant


def _shares_of_groups(weights, labels):
    """Return what each expert counts for in its group; they sum to 1 there."""
    largest = np.zeros(labels.max() + 1)
    np.maximum.at(largest, labels, weights)
    is_used = largest[labels] > 0
    relative = np.divide(
        weights, largest[labels], out=np.ones(len(labels)), where=is_used
    )
    return relative / np.bincount(labels, relative)[labels]
