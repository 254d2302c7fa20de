"""How much members of an ensemble differ, and what that is worth.

Functions of log-probabilities, one text for NumPy arrays and (with gradients) tensors.
"""

import warnings

import numpy as np
from sklearn.utils import check_array

from minimalml._core.array_checks import as_tensor, check_weights
from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml.ensemble._member_probabilities import (
    check_codes,
    check_members,
    combined_logs,
    logarithms,
    mean_logs,
    of_class,
)

MEASURES = ("jensen_gap", "variance", "jsd", "jsd_one_vs_all", "one_vs_all")
LOSSES = ("log_loss", "brier", "squared_error", "zero_one")
# Probabilities are at least this inside "one_vs_all", so that it is finite.
LOWEST = 1e-6


def diversity(
    probas, y=None, measure="jensen_gap", *, sample_weight=None, per_row=False
):
    """Measure how much the members of an ensemble differ.

    Parameters
    ----------
    probas : array-like or tensor of shape (n_members, n_samples, n_classes)
        Each member's class probabilities; or predictions of shape (n_members, n_samples)
        in regression, where every measure is the members' variance.

    y : array-like or tensor of int of shape (n_samples,), default=None
        Column of each row's class; needed for "jensen_gap" only.

    measure : {"jensen_gap", "variance", "jsd", "jsd_one_vs_all", "one_vs_all"}, \
            default="jensen_gap"
        How much lower the log loss of the mean is than the mean log loss; the sum over
        classes of the members' variance; the Jensen-Shannon divergence of all members, of
        each against the mean of the others; or the mean Kullback-Leibler divergence from
        the mean of the others, of probabilities of at least 1e-6.

    sample_weight : array-like or tensor of shape (n_samples,), default=None
        What a row counts.

    per_row : bool, default=False
        Whether to return a value for each row instead of their mean.

    Returns
    -------
    float, or ndarray or tensor of shape (n_samples,)
        0 where members agree; tensors carry gradients.

    Raises
    ------
    ValueError
        If probabilities are negative or don't sum to 1, labels are missing or out of
        range, or the measure is unknown.

    References
    ----------
    .. [1] T. Abe, E. K. Buchanan, G. Pleiss, J. Cunningham, "Pathologies of Predictive
       Diversity in Deep Ensembles", TMLR 2024. arXiv:2302.00704

    Examples
    --------
    >>> from minimalml.ensemble import diversity
    >>> probas = [[[0.9, 0.1]], [[0.1, 0.9]]]
    >>> round(diversity(probas, measure="jsd"), 3)
    0.368
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {MEASURES}, got {measure!r}.")
    probas = check_members(probas)
    if probas.ndim == 2:
        values = ambiguity(probas)
    else:
        logs, lost = logarithms(probas)
        if measure == "jensen_gap":
            if y is None:
                raise ValueError("measure='jensen_gap' needs y, which was not given.")
            y = check_codes(y, probas)
            _warn_of_zeros(lost, probas, y)
        values = measure_of_logs(logs, y, measure)
    return (
        values if per_row else _mean(values, check_row_weights(sample_weight, probas))
    )


def diversity_decomposition(
    probas, y, *, loss="log_loss", combine="probability", sample_weight=None
):
    """Split an ensemble's loss into the mean loss of its members less their diversity.

    ``ensemble_loss = average_loss - diversity``. Two ensembles on a line of slope 1 in the
    plane of both are equally good: moving along it, diversity is bought by worse members.

    Parameters
    ----------
    probas : array-like or tensor of shape (n_members, n_samples, n_classes)
        Class probabilities; predictions (n_members, n_samples) for "squared_error".

    y : array-like or tensor of shape (n_samples,)
        Column of each row's class, or targets.

    loss : {"log_loss", "brier", "squared_error", "zero_one"}, default="log_loss"
        For "zero_one", which is not convex, diversity may be negative.

    combine : {"probability", "logit"}, default="probability"
        Mean of probabilities, or normalised geometric mean (log loss only).

    sample_weight : array-like or tensor of shape (n_samples,), default=None
        What a row counts.

    Returns
    -------
    dict
        ``ensemble_loss``, ``average_loss``, ``diversity`` and ``member_losses``
        (n_members,).

    Raises
    ------
    ValueError
        As in `diversity`, and if loss and combination don't go together.

    Examples
    --------
    >>> from minimalml.ensemble import diversity_decomposition
    >>> parts = diversity_decomposition([[1.0, 4.0], [3.0, 2.0]], [2, 2],
    ...                                 loss="squared_error")
    >>> float(parts["ensemble_loss"]), float(parts["average_loss"])
    (0.5, 1.5)
    """
    if loss not in LOSSES or combine not in ("probability", "logit"):
        raise ValueError(
            f"loss must be one of {LOSSES} and combine 'probability' or 'logit', got "
            f"{loss!r} and {combine!r}."
        )
    if combine == "logit" and loss != "log_loss":
        raise ValueError(f"combine='logit' is for loss='log_loss' only, got {loss!r}.")
    probas = check_members(probas)
    if (probas.ndim == 2) != (loss == "squared_error"):
        raise ValueError(
            f"loss={loss!r} does not go with probas of {probas.ndim} dimensions: "
            "'squared_error' takes predictions (n_members, n_samples), the others class "
            "probabilities."
        )
    weights = check_row_weights(sample_weight, probas)
    if loss == "squared_error":
        y = as_like(y, probas)
    else:
        y = check_codes(y, probas)
    of_members, of_ensemble = losses(probas, y, loss, combine)
    members = [_mean(values, weights) for values in of_members]
    members = array_namespace(probas).stack(members) if is_torch_tensor(probas) else (
        np.array(members))  # fmt: skip
    ensemble, average = _mean(of_ensemble, weights), members.mean()
    return {
        "ensemble_loss": ensemble,
        "average_loss": average,
        "diversity": average - ensemble,
        "member_losses": members,
    }


def losses(probas, y, loss, combine="probability"):
    """Return the losses of rows by member, (n_members, n), and of the ensemble, (n,)."""
    if loss == "squared_error":
        return (probas - y) ** 2, (probas.mean(0) - y) ** 2
    if loss == "log_loss":
        logs, lost = logarithms(probas)
        _warn_of_zeros(lost, probas, y)
        return -of_class(logs, y), -of_class(combined_logs(logs, combine), y)
    xp = array_namespace(probas)
    mean = probas.mean(0)
    if loss == "zero_one":
        return _as_numbers(probas.argmax(-1) != y), _as_numbers(mean.argmax(-1) != y)
    hits = xp.zeros_like(mean)
    hits[xp.arange(len(hits)), y] = 1
    return ((probas - hits) ** 2).sum(-1), ((mean - hits) ** 2).sum(-1)


def measure_of_logs(logs, y, measure):
    """Return a measure of each row from log-probabilities (n_members, n, n_classes)."""
    xp, n_members = array_namespace(logs), len(logs)
    if measure == "jensen_gap":
        return of_class(mean_logs(logs), y) - of_class(logs, y).mean(0)
    probas = xp.exp(logs)
    if measure == "variance":
        return ((probas - probas.mean(0)) ** 2).mean(0).sum(-1)
    if measure == "jsd":
        return entropy(probas.mean(0), mean_logs(logs)) - entropy(probas, logs).mean(0)
    if n_members == 1:
        return probas[0, :, 0] * 0
    others = (n_members * probas.mean(0) - probas) / (n_members - 1)
    if measure == "jsd_one_vs_all":
        half = (probas + others) / 2
        gaps = _entropy(half) - (_entropy(probas) + _entropy(others)) / 2
        return gaps.mean(0)
    ours, others = xp.clip(probas, LOWEST, None), xp.clip(others, LOWEST, None)
    return (ours * (xp.log(ours) - xp.log(others))).sum(-1).mean(0)


def ambiguity(predictions):
    """Return the members' variance of each row, from (n_members, n)."""
    return ((predictions - predictions.mean(0)) ** 2).mean(0)


def entropy(probas, logs):
    """Return the entropy of distributions, from both; 0 log 0 is 0 in `logarithms`."""
    return -(probas * logs).sum(-1)


def _entropy(probas):
    logs, _ = logarithms(probas)
    return entropy(probas, logs)


def _warn_of_zeros(is_zero, probas, y):
    n_zeros = int(of_class(is_zero, y).sum())
    if n_zeros:
        warnings.warn(
            f"{n_zeros} probabilities of the true class are 0: their logarithm is taken "
            "as that of the smallest number.",
            UserWarning,
            stacklevel=3,
        )


def _as_numbers(flags):
    if is_torch_tensor(flags):
        return flags.to(array_namespace(flags).get_default_dtype())
    return flags.astype(np.float64)


def _mean(values, weights):
    mean = (
        values.mean() if weights is None else (values * weights).sum() / weights.sum()
    )
    return mean if is_torch_tensor(values) else float(mean)


def as_like(y, predictions):
    """Return targets beside predictions (n_members, n)."""
    if is_torch_tensor(predictions):
        y = as_tensor(y, dtype=predictions.dtype, device=predictions.device)
    else:
        y = check_array(y, dtype=predictions.dtype, ensure_2d=False, input_name="y")
    if tuple(y.shape) != tuple(predictions.shape[1:]):
        raise ValueError(
            f"y must have shape {tuple(predictions.shape[1:])}, got {tuple(y.shape)}."
        )
    return y


def check_row_weights(sample_weight, probas):
    """Return weights of rows in the dtype of the probabilities, or None."""
    rows = probas[0] if probas.ndim == 3 else probas[0][:, None]
    return check_weights(sample_weight, rows)
