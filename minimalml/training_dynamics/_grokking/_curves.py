"""Curves over training: which steps to write down, and whether the loss grokked."""

import numpy as np
from sklearn.utils import check_array

from minimalml._core.validation import Interval, Real, validate_params

# A loss stays low once this share of the records from a step on is low: dips don't count.
LASTING = 0.9
POSITIVE = Interval(Real, 0, None, closed="neither")


def log_spaced(last, n_steps):
    """Return 0 and up to ``n_steps`` increasing integers to ``last``, log-spaced."""
    return np.unique(np.r_[0, np.geomspace(1, last, n_steps).round().astype(int)])


@validate_params(
    {
        "steps": ["array-like"],
        "train": ["array-like"],
        "test": ["array-like"],
        "q": [POSITIVE],
        "scale": [POSITIVE, None],
        "min_ratio": [POSITIVE],
    },
    prefer_skip_nested_validation=True,
)
def detect_grokking(steps, train, test, *, q=0.1, scale=None, min_ratio=5.0):
    """Say whether the test loss fell long after the training loss.

    Give it losses: thresholds of an accuracy make curves jump that do not.

    Parameters
    ----------
    steps : array-like of shape (n_records,)
        Steps or epochs of the records, increasing; 3 at least.

    train, test : array-like of shape (n_records,)
        Losses; NaN stands for no measurement.

    q : float, default=0.1
        A loss is low from ``q * scale`` down.

    scale : float, default=None
        Loss of the best constant prediction; None takes the first test loss.

    min_ratio : float, default=5.0
        How many times as late as the training loss the test loss must be.

    Returns
    -------
    dict
        ``t_train`` and ``t_test``, the first steps at which the losses are low and stay
        so in 90 % of the records from there on, infinite where they never do;
        ``log10_gap``, the logarithm of ``t_test / max(t_train, 1)``; ``grokked``, whether
        both are finite and that ratio reaches ``min_ratio``; ``overfit``, whether only
        the training loss got low.

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than 3 records, the steps do not increase, or
        a number is infinite.

    References
    ----------
    .. [1] T. Kumar, B. Bordelon, S. J. Gershman, C. Pehlevan, "Grokking as the
       Transition from Lazy to Rich Training Dynamics", ICLR 2024. arXiv:2310.06110

    Examples
    --------
    >>> from minimalml.training_dynamics import detect_grokking
    >>> found = detect_grokking([0, 1, 10, 100], [1, 0, 0, 0], [1, 1, 1, 0], q=0.1)
    >>> found["t_train"], found["t_test"], found["grokked"]
    (1.0, 100.0, True)
    """
    steps, train, test = _check_curves(steps=steps, train=train, test=test)
    if scale is None:
        measured = test[~np.isnan(test)]
        scale = measured[0] if len(measured) else np.nan
    t_train, t_test = (_first_low(steps, loss, q * scale) for loss in (train, test))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.float64(t_test) / max(t_train, 1.0)
        log10_gap = float(np.log10(ratio))
    is_fitted, is_general = np.isfinite(t_train), np.isfinite(t_test)
    return {
        "t_train": t_train,
        "t_test": t_test,
        "log10_gap": log10_gap,
        "grokked": bool(is_fitted and is_general and ratio >= min_ratio),
        "overfit": bool(is_fitted and not is_general),
    }


def _check_curves(**curves):
    """Return float arrays of one length."""
    checked = [
        check_array(
            curve, dtype=np.float64, ensure_2d=False, ensure_min_samples=0,
            ensure_all_finite="allow-nan" if name != "steps" else True, input_name=name,
        )
        for name, curve in curves.items()
    ]  # fmt: skip
    shapes = [curve.shape for curve in checked]
    if shapes[0] != (len(checked[0]),) or len(set(shapes)) > 1 or len(checked[0]) < 3:
        raise ValueError(
            "steps, train and test must be one-dimensional, of one length, and have at "
            f"least 3 records, got shapes {', '.join(map(str, shapes))}."
        )
    if (np.diff(checked[0]) <= 0).any():
        raise ValueError(
            f"steps must increase from record to record, got {checked[0]}."
        )
    return checked


def _first_low(steps, loss, limit):
    """Return the step from which a loss is low for good, infinity where it never is."""
    is_measured = ~np.isnan(loss)
    is_low = loss[is_measured] <= limit
    n_left = np.arange(len(is_low), 0, -1)
    share = np.cumsum(is_low[::-1])[::-1] / n_left
    first = np.flatnonzero(is_low & (share >= LASTING))
    return float(steps[is_measured][first[0]]) if len(first) else np.inf
