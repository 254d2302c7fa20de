"""Mean-field inference: how likely each row is in a random subset of high utility.

``p(S)`` in proportion to ``exp(F(S))`` is approached by rows that are in or out
independently; a row's chance follows from what it adds to subsets of the others.
Xie et al., "Enhancing neural subset selection: integrating background information into
set representations", 2024.
"""

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral, Interval, validate_params

# Subsets are enumerated up to this many rows: 65,536 of them.
LARGEST_EXACT = 16


@validate_params(
    {
        "utility": [callable],
        "q": ["array-like"],
        "exact": ["boolean"],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def mean_field_update(utility, q, *, exact=False, n_samples=64, random_state=None):
    """Update the chances of all rows of one set by what they add to random subsets.

    All rows move at once, from the same old chances. Sampled, it takes ``n_samples``
    calls on v + 1 subsets; exact, one call on all 2^v.

    Parameters
    ----------
    utility : callable
        ``utility(masks)`` takes a boolean array of shape (m, v), a subset a row, and
        returns the m utilities.

    q : array-like of shape (v,)
        Chance of each row to be in the subset, in [0, 1].

    exact : bool, default=False
        Whether to enumerate all subsets; for v up to 16.

    n_samples : int, default=64
        Random subsets, shared by all rows; the error falls as 1 / sqrt(n_samples).

    random_state : int, RandomState instance or None, default=None
        Seed of the subsets.

    Returns
    -------
    ndarray of shape (v,)
        New chances, ``sigmoid(E[F(S with j) - F(S without j)])`` of each row j.

    Raises
    ------
    ValueError
        If ``q`` is no vector of numbers in [0, 1], v is too large for ``exact``, or
        ``utility`` does not return a finite number a subset.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.bags import mean_field_update
    >>> def utility(masks):  # one of the first two rows, and never the third
    ...     return 2.0 * (masks[:, 0] ^ masks[:, 1]) - 5.0 * masks[:, 2]
    >>> mean_field_update(utility, [0.9, 0.1, 0.5], exact=True).round(2)
    array([0.83, 0.17, 0.01])
    """
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 1 or not len(q) or not ((q >= 0) & (q <= 1)).all():
        raise ValueError(f"q must be a vector of numbers in [0, 1], got {q}.")
    if exact:
        return expit(_enumerated_gains(utility, q))
    rng = check_random_state(random_state)
    total = np.zeros(len(q))
    for _ in range(n_samples):
        total += _gains(utility, rng.random_sample(len(q)) < q)
    return expit(total / n_samples)


def _gains(utility, mask):
    """Return F(S with j) - F(S without j) of each row j for one subset S."""
    # one of the two subsets is S itself: v + 1 utilities instead of 2 v
    flipped = mask ^ np.eye(len(mask), dtype=bool)
    values = _utilities(utility, np.vstack([flipped, mask]))
    return np.where(mask, -1.0, 1.0) * (values[:-1] - values[-1])


def _enumerated_gains(utility, q):
    """Return the same, expected over all subsets drawn by ``q``."""
    v = len(q)
    if v > LARGEST_EXACT:
        raise ValueError(
            f"exact=True enumerates 2^v subsets and takes up to {LARGEST_EXACT} rows, "
            f"got {v}: use exact=False."
        )
    masks = np.indices((2,) * v).reshape(v, -1).T.astype(bool)
    values = _utilities(utility, masks).reshape((2,) * v)
    gains = np.empty(v)
    for row in range(v):
        gain = np.diff(values, axis=row).squeeze(row)
        for chance in np.delete(q, row):
            gain = (1.0 - chance) * gain[0] + chance * gain[1]
        gains[row] = gain
    return gains


def _utilities(utility, masks):
    """Return one finite number a subset."""
    values = np.asarray(utility(masks), dtype=np.float64)
    if values.shape != (len(masks),) or not np.isfinite(values).all():
        raise ValueError(
            f"utility must return a finite number for each of {len(masks)} subsets, got "
            f"shape {values.shape}."
        )
    return values
