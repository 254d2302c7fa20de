"""Averages of the weights of several models, as a model of the same kind.

What a model is made of is seen as one dictionary, its state: weights, and a torch
module's buffers. Wortsman et al., "Model soups", ICML 2022.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minimalml._core.arrays import is_torch_tensor
from minimalml._core.models.named_arrays import copy_of, like_container, size_of
from minimalml._core.models.prefit import copy_of_trained
from minimalml._core.models.weights import (
    model_buffers,
    model_weights,
    set_model_weights,
)

PIECE = 2**15  # numbers


def average_weights(models, weights=None):
    """Average the weights of several models into one.

    It predicts at the cost of one model. For models that were fine-tuned from one start;
    those of different starts average to nonsense. Takes one pass over all weights, and
    the memory of one model in float64.

    Parameters
    ----------
    models : sequence of mappings or lists of arrays, torch modules or fitted estimators
        Of the same names, shapes and classes. They stay as they are.

    weights : array-like of shape (n_models,), default=None
        Numbers that sum to 1; negative ones extrapolate. None is the mean.

    Returns
    -------
    mapping, list, torch.nn.Module or estimator
        Of the kind of the first, in its dtypes; where it is an estimator or module a copy
        of it with other weights. Arrays of integers, such as counters, are its own.

    Raises
    ------
    ValueError
        If there are no models, they differ in names, shapes, kinds of dtype or
        ``classes_``, one holds NaN, or ``weights`` do not sum to 1.
    TypeError
        If a model has no weights that can be reached.

    See Also
    --------
    greedy_soup : Averages only those that help.

    References
    ----------
    .. [1] M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
       models improves accuracy without increasing inference time", ICML 2022.
       arXiv:2203.05482

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import average_weights
    >>> average_weights([{"w": np.array([0.0, 2.0])}, {"w": np.array([1.0, 4.0])}])
    {'w': array([0.5, 3. ])}
    """
    states = alike_states(models)
    weights = _check_mixing(weights, len(states))
    mean = weighted_mean(states, weights)
    for number in np.flatnonzero(weights) if has_nan(mean) else ():
        if has_nan(states[number]):
            raise ValueError(f"models[{number}] holds NaN: leave it out.")
    return state_writer(models[0])(mean)


def interpolate_weights(a, b, t):
    """Return the model at ``t`` on the line from one model's weights to another's.

    Parameters
    ----------
    a, b : mapping or list of arrays, torch.nn.Module or fitted estimator
        Two models as in `average_weights`.

    t : float
        0 is ``a``, 1 is ``b``; outside it extrapolates.

    Returns
    -------
    mapping, list, torch.nn.Module or estimator
        Of the kind of ``a``.

    Raises
    ------
    ValueError
        As `average_weights`, or if ``t`` is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import interpolate_weights
    >>> interpolate_weights([np.array([0.0, 2.0])], [np.array([1.0, 4.0])], 0.25)
    [array([0.25, 2.5 ])]
    """
    if not np.isfinite(t):
        raise ValueError(f"t must be a finite number, got {t!r}.")
    return average_weights([a, b], [1.0 - t, t])


class WeightSum:
    """Sums of models' arrays in float64; what is not floating is the first one's."""

    def __init__(self, first):
        self.first = first
        self.totals = {name: _zeros(a) for name, a in first.items() if _is_floating(a)}

    def add(self, state, weight=1.0):
        """Add a state, times a number."""
        for name, total in self.totals.items():
            for rows in _pieces(total):
                piece = state[name][rows]
                if weight != 1:
                    piece = weight * _cast(piece, total.dtype)
                total[rows] += piece

    def mean(self, count=1, extra=None):
        """Return the sums over ``count``, a state with ``extra`` added, in its dtypes."""
        state = {name: copy_of(array) for name, array in self.first.items()}
        for name, total in self.totals.items():
            for rows in _pieces(total):
                piece = (
                    total[rows] if extra is None else total[rows] + extra[name][rows]
                )
                state[name][rows] = piece / count
        return state


def weighted_mean(states, weights):
    """Return the sum of states times ``weights``; those of weight 0 are not read."""
    total = WeightSum(states[np.flatnonzero(weights)[0]])
    if np.ptp(weights) == 0:  # exact for copies of one model
        for state in states:
            total.add(state)
        return total.mean(len(states))
    for state, weight in zip(states, weights, strict=True):
        if weight != 0:
            total.add(state, weight)
    return total.mean()


def model_state(model):
    """Return the live weights and buffers of a model by name."""
    return model_weights(model) | model_buffers(model)


def set_model_state(model, state):
    """Write all that `model_state` names, and return the model."""
    buffers = model_buffers(model)
    set_model_weights(model, {k: v for k, v in state.items() if k not in buffers})
    if buffers:
        from minimalml._core.models.weights_torch import write_tensor

        for name, buffer in buffers.items():
            write_tensor(buffer, state[name])
    return model


def state_writer(model):
    """Return a function from a state to a model of the kind of ``model``.

    Of an estimator or a module there is one copy, which each call overwrites.
    """
    if isinstance(model, Mapping | Sequence):
        return lambda state: like_container(model, state)
    copy = copy_of_trained(model)
    return lambda state: set_model_state(copy, state)


def alike_states(models):
    """Return the states of models that may be averaged, or say what is not alike."""
    if not isinstance(models, Sequence) or isinstance(models, str):
        raise TypeError(
            f"models must be a list or tuple of models, got {type(models).__name__}."
        )
    if not models:
        raise ValueError("models must hold at least one model, got none.")
    states = [model_state(model) for model in models]
    for number, (model, state) in enumerate(zip(models, states, strict=True)):
        refuse_other_classes(model, models[0], f"models[{number}]", "models[0]")
        refuse_unlike(state, states[0], f"models[{number}]", "models[0]")
    return states


def refuse_other_classes(model, reference, name, reference_name):
    """Raise if two classifiers differ in their classes or the order of these."""
    ours, theirs = (getattr(m, "classes_", None) for m in (model, reference))
    if not np.array_equal(ours, theirs):
        raise ValueError(
            f"{name} has classes_ {_listed(ours)}, but {reference_name} has "
            f"{_listed(theirs)}: outputs mean the same only for the same classes in the "
            "same order."
        )


def refuse_unlike(state, reference, name, reference_name):
    """Raise if two states differ in names, shapes or kinds of numbers."""
    if state.keys() != reference.keys():
        only = sorted(map(repr, state.keys() ^ reference.keys()))[0]
        raise ValueError(
            f"{name} and {reference_name} differ in their weights: only one has {only}."
        )
    for key, array in state.items():
        ours, theirs = (
            (tuple(a.shape), _is_floating(a), is_torch_tensor(a))
            for a in (array, reference[key])
        )
        if ours != theirs:
            raise ValueError(
                f"weight {key!r} of {name} is {_described(array)}, that of "
                f"{reference_name} is {_described(reference[key])}: only models of one "
                "architecture can be averaged."
            )


def has_nan(state):
    """Whether an array of the state holds NaN."""
    return any(bool((array != array).any()) for array in state.values())


def _check_mixing(weights, n_models):
    if weights is None:
        return np.full(n_models, 1.0 / n_models)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n_models,):
        raise ValueError(
            f"weights must be one number for each of {n_models} models, got shape "
            f"{weights.shape}."
        )
    if not abs(weights.sum() - 1) <= 1e-9:
        raise ValueError(f"weights must sum to 1, got {weights.sum()}.")
    return weights


def _is_floating(array):
    if is_torch_tensor(array):
        return array.is_floating_point() or array.is_complex()
    return np.issubdtype(array.dtype, np.inexact)


def _zeros(array):
    if is_torch_tensor(array):
        import torch

        # mps has no float64
        wide = torch.float32 if array.device.type == "mps" else torch.float64
        return torch.zeros_like(array, dtype=torch.promote_types(array.dtype, wide))
    return np.zeros_like(array, dtype=np.result_type(array.dtype, np.float64))


def _pieces(array):
    """Return indices of parts that stay in the cache, where float64 is for a while."""
    if array.ndim == 0:
        return [...]
    n_rows = max(1, PIECE * len(array) // max(1, size_of(array)))
    return [slice(i, i + n_rows) for i in range(0, len(array), n_rows)]


def _cast(array, dtype):
    if is_torch_tensor(array):
        return array.to(dtype)
    return array.astype(dtype, copy=False)


def _listed(classes):
    return None if classes is None else np.asarray(classes).tolist()


def _described(array):
    kind = "tensor" if is_torch_tensor(array) else "array"
    return f"{'x'.join(map(str, array.shape)) or 'a number'} ({kind}, {array.dtype})"
