"""Compare ensembles of the best members with those of the most different ones."""

import numpy as np
from scipy.stats import spearmanr
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral
from minimalml.ensemble._diversity._measures import as_like, losses
from minimalml.ensemble._member_probabilities import (
    check_codes,
    check_members,
    member_subsets,
)


def subset_report(
    probas, y, *, loss="log_loss", subset_size=None, n_subsets=100, random_state=None
):
    """Compare ensembles of some of the members: their loss, and what it is made of.

    Parameters
    ----------
    probas : array-like of shape (n_members, n_samples, n_classes)
        Class probabilities; predictions (n_members, n_samples) for "squared_error".

    y : array-like of shape (n_samples,)
        Column of each row's class, or targets.

    loss : {"log_loss", "brier", "squared_error", "zero_one"}, default="log_loss"
        As in `diversity_decomposition`.

    subset_size : int, default=None
        Members of a subset; None: half of them, at least 2.

    n_subsets : int, default=100
        All subsets if they are no more, else so many different random ones.

    random_state : int, RandomState instance or None, default=None
        For these.

    Returns
    -------
    dict
        ``ensemble_loss``, ``average_loss`` and ``diversity`` of each subset, arrays;
        ``rank_average_loss`` and ``rank_diversity``, Spearman's correlations of these with
        the ensemble's loss; and ``opportunity_cost``, how much worse members are for each
        unit of diversity, by least squares: above 1 diversity does not pay.

    Raises
    ------
    ValueError
        As in `diversity_decomposition`, and if ``subset_size`` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import subset_report
    >>> y = np.array([0, 1, 1, 0])
    >>> sure = np.array([0.6, 0.7, 0.8, 0.9])[:, None] * np.ones(4)  # members by rows
    >>> right = np.where(y == 0, sure, 1 - sure)
    >>> report = subset_report(np.stack([right, 1 - right], axis=2), y, subset_size=2)
    >>> report["ensemble_loss"].shape, float(round(report["rank_average_loss"], 2))
    ((6,), 1.0)
    """
    probas = check_members(probas)
    n_members = len(probas)
    size = max(2, n_members // 2) if subset_size is None else subset_size
    if not isinstance(size, Integral) or not 1 <= size <= n_members:
        raise ValueError(
            f"subset_size must be an integer from 1 to the {n_members} members, got "
            f"{subset_size!r}."
        )
    y = as_like(y, probas) if loss == "squared_error" else check_codes(y, probas)
    of_members = losses(probas, y, loss)[0].mean(axis=1)
    subsets = member_subsets(
        n_members, size, n_subsets, check_random_state(random_state)
    )
    ensemble = np.array([losses(probas[s], y, loss)[1].mean() for s in subsets])
    average = np.array([of_members[s].mean() for s in subsets])
    return {
        "ensemble_loss": ensemble,
        "average_loss": average,
        "diversity": average - ensemble,
        "rank_average_loss": _spearman(ensemble, average),
        "rank_diversity": _spearman(ensemble, average - ensemble),
        "opportunity_cost": _slope(average - ensemble, average),
    }


def _spearman(a, b):
    """Correlate ranks; NaN where one does not vary."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def _slope(x, y):
    spread = ((x - x.mean()) ** 2).sum()
    return float(((x - x.mean()) * y).sum() / spread) if spread > 0 else float("nan")
