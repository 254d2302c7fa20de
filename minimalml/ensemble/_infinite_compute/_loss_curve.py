"""What an ensemble loses with each number of its members."""

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import (
    Integral,
    Interval,
    StrOptions,
    validate_params,
)
from minimalml.ensemble._diversity._measures import (
    check_codes,
    check_members,
    combined_logs,
    logarithms,
    of_class,
)
from minimalml.ensemble._diversity._subset_report import member_subsets


@validate_params(
    {
        "probas": ["array-like"],
        "y": ["array-like"],
        "combine": [StrOptions({"logit", "probability"})],
        "max_subsets": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def ensemble_loss_curve(
    probas, y, *, combine="logit", max_subsets=200, random_state=None
):
    """Return the mean log loss of ensembles of 1, 2, ... M of the members.

    Over all subsets of each size it never rises, and a law fitted to it says what still more
    members would gain. Time O(n C sum_k min(comb(M, k), max_subsets) k).

    Parameters
    ----------
    probas : array-like of shape (n_members, n_samples, n_classes)
        Each member's probabilities, as ``member_predict_proba`` returns them.

    y : array-like of shape (n_samples,)
        Column of the true class of each row.

    combine : {"logit", "probability"}, default="logit"
        Mean of log-probabilities, normalised, or of probabilities; the logarithm of 0 is
        that of the smallest float.

    max_subsets : int, default=200
        Of more subsets of one size so many are drawn; the curve may then rise a little.

    random_state : int, RandomState instance or None, default=None
        Of the random ones.

    Returns
    -------
    ndarray of shape (n_members,)
        Mean loss for each number of members.

    Raises
    ------
    ValueError
        If shapes do not fit, ``probas`` are no probabilities or ``y`` no columns.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import ensemble_loss_curve
    >>> probas = [[[0.9, 0.1]], [[0.5, 0.5]], [[0.6, 0.4]]]
    >>> ensemble_loss_curve(probas, [0]).round(3)
    array([0.436, 0.375, 0.351])
    """
    probas = check_members(probas).astype(np.float64)
    if probas.ndim != 3:
        raise ValueError(
            "probas must have shape (n_members, n_samples, n_classes), got "
            f"{probas.shape}."
        )
    y = check_codes(y, probas)
    generator = check_random_state(random_state)
    logs, _ = logarithms(probas)
    n_members, curve = len(logs), []
    for size in range(1, n_members + 1):
        subsets = member_subsets(n_members, size, max_subsets, generator)
        losses = [-of_class(combined_logs(logs[s], combine), y).mean() for s in subsets]
        curve.append(np.mean(losses))
    return np.array(curve)


def squared_error_curve(predictions, y):
    """Return the mean squared error of means of 1, ..., M of predictions (M, n).

    Over all subsets, in closed form: a straight line over 1 / K.
    """
    n_members = len(predictions)
    whole = np.mean((predictions.mean(axis=0) - y) ** 2)
    variance = predictions.var(axis=0).mean()
    sizes = np.arange(1, n_members + 1)
    return whole + variance * (n_members - sizes) / (sizes * max(n_members - 1, 1))
