"""Losses of bags: of the mean prediction, of each row, and what lies between the two."""

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from minimalml._core.array_checks import as_tensor, refuse_not_finite
from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy
from minimalml._core.groups import GroupIndex
from minimalml._core.validation import Interval, Real, StrOptions, validate_params
from minimalml.bags._bag_estimator import check_proportions


@validate_params(
    {
        "interpolation": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"squared_error", "log_loss"})],
    },
    prefer_skip_nested_validation=True,
)
def aggregate_loss(
    y, predictions, bags=None, *, interpolation=0.0, loss="squared_error"
):
    """Return the loss of predictions of rows where only the means of bags are known.

    ``(1 - interpolation) * bag_loss + interpolation * instance_loss``, both means over
    rows: the bag loss compares a bag's mean with its mean prediction, the instance loss
    with each of its predictions. O(n) time beside the sorting of ids.

    Parameters
    ----------
    y : array-like or tensor of shape (n_samples,)
        The mean response of its bag on each row; for "log_loss" the share of the
        positive class.

    predictions : array-like or tensor of shape (n_samples,)
        Predicted responses of rows; for "log_loss" logits. A tensor gives a loss that
        can be differentiated.

    bags : array-like of shape (n_samples,), default=None
        The id of each row's bag; None makes each row a bag.

    interpolation : float, default=0.0
        0 is the bag level, 1 the instance level. At most 1 for "log_loss".

    loss : {"squared_error", "log_loss"}, default="squared_error"
        "log_loss" takes means of probabilities, not of logits, and stays finite.

    Returns
    -------
    float or tensor of shape ()
        The loss.

    Raises
    ------
    ValueError
        If y varies within a bag, lengths differ, a number is missing, or a share is
        outside [0, 1].

    Notes
    -----
    For squared errors the instance loss is exactly the bag loss plus the mean square of
    the distance of predictions from their bag's mean. For log loss it is never less.

    Examples
    --------
    >>> from minimalml.bags import aggregate_loss
    >>> y, predictions, bags = [2.0, 2.0, 5.0], [1.0, 3.0, 4.0], ["a", "a", "b"]
    >>> round(aggregate_loss(y, predictions, bags), 3)
    0.333
    >>> aggregate_loss(y, predictions, bags, interpolation=1)
    1.0
    """
    if loss == "log_loss" and interpolation > 1:
        raise ValueError(
            f"interpolation must be in [0, 1] for loss='log_loss', got {interpolation}."
        )
    is_log_loss, is_tensor = loss == "log_loss", is_torch_tensor(predictions)
    predictions = _check_predictions(predictions)
    dtype = None if is_log_loss else np.float64  # labels are refused in words of shares
    y = check_array(
        column_or_1d(to_numpy(y)), ensure_2d=False, dtype=dtype, input_name="y"
    )
    check_consistent_length(y, predictions)
    index = GroupIndex(bags, len(y))
    targets = check_proportions(y, index) if is_log_loss else index.constant(y)
    if is_tensor:
        index = index.to(predictions.device)
        targets = as_tensor(targets, dtype=predictions.dtype, device=predictions.device)
    value = interpolated_loss(loss, targets, predictions, index, interpolation)
    return value if is_tensor else float(value)


def _check_predictions(predictions):
    """Return finite floats of shape (n_samples,)."""
    if not is_torch_tensor(predictions):
        return check_array(
            column_or_1d(predictions),
            ensure_2d=False,
            dtype=np.float64,
            input_name="predictions",
        )
    if predictions.ndim != 1 or not predictions.is_floating_point():
        raise ValueError(
            "predictions must be floats of shape (n_samples,), got "
            f"{predictions.dtype} of shape {tuple(predictions.shape)}."
        )
    refuse_not_finite(predictions, "predictions")
    return predictions


def interpolated_loss(loss, targets, outputs, index, interpolation):
    """Return the mean loss over rows, given targets of bags and outputs of rows."""
    value = 0.0
    if interpolation != 1:
        losses = bag_losses(loss, targets, outputs, index)
        value = value + (1 - interpolation) * (index.sizes * losses).sum() / len(
            outputs
        )
    if interpolation != 0:
        losses = row_losses(loss, index.expand(targets), outputs)
        value = value + interpolation * losses.mean()
    return value


def bag_losses(loss, targets, outputs, index):
    """Return the loss of each bag's mean."""
    if loss == "squared_error":
        return (targets - index.mean(outputs)) ** 2
    log_shares = (_log_mean(log_sigmoid(sign * outputs), index) for sign in (1, -1))
    log_positive, log_negative = log_shares
    return -targets * log_positive - (1 - targets) * log_negative


def row_losses(loss, targets, outputs):
    """Return the loss of each row."""
    if loss == "squared_error":
        return (targets - outputs) ** 2
    return -targets * log_sigmoid(outputs) - (1 - targets) * log_sigmoid(-outputs)


def log_sigmoid(logits):
    """Return log(1 / (1 + exp(-logits)))."""
    xp = array_namespace(logits)
    return -xp.logaddexp(xp.zeros_like(logits), -logits)


def _log_mean(logs, index):
    """Return the logarithm of the mean of what has these logarithms, by bag."""
    xp = array_namespace(logs)
    largest = index.max(logs.detach() if is_torch_tensor(logs) else logs)
    return largest + xp.log(index.mean(xp.exp(logs - index.expand(largest))))
