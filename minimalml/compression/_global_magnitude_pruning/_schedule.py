"""Sparsity over the events of gradual pruning."""

from numbers import Integral, Real

import numpy as np

SCHEDULES = ("one-shot", "cubic", "linear", "geometric")


def pruning_schedule(kind, sparsity, n_steps, initial_sparsity=0.0):
    """Compute the sparsity after each pruning event.

    Parameters
    ----------
    kind : {"one-shot", "cubic", "linear", "geometric"} or sequence of float
        "cubic" prunes most at first, when there is most to spare (Zhu and Gupta,
        2017); "geometric" prunes the same share of what is left at each event;
        "one-shot" is a single event, whatever ``n_steps``. A sequence is the schedule
        itself: it must not decrease, and must end at ``sparsity``.

    sparsity : float
        Final sparsity s, in [0, 1).

    n_steps : int
        Number T of events, at least 1.

    initial_sparsity : float, default=0.0
        Sparsity s_0 before the first event, in [0, sparsity].

    Returns
    -------
    ndarray of shape (n_steps,)
        Sparsity after event t = 1, ..., T, the last being ``sparsity``.

    Notes
    -----
    With x = t / T: cubic ``s - (s - s_0) (1 - x)^3``; linear ``s_0 + (s - s_0) x``;
    geometric ``1 - (1 - s_0)^(1 - x) (1 - s)^x``.

    References
    ----------
    Zhu, M., Gupta, S. "To prune, or not to prune: exploring the efficacy of pruning
    for model compression", 2017. arXiv 1710.01878.

    Examples
    --------
    >>> from minimalml.compression import pruning_schedule
    >>> pruning_schedule("cubic", 0.96, 4).round(3)
    array([0.555, 0.84 , 0.945, 0.96 ])
    """
    check_sparsity(sparsity)
    if not isinstance(kind, str):
        return _check_sequence(kind, sparsity)
    if kind not in SCHEDULES:
        raise ValueError(
            f"the schedule must be a sequence or one of {SCHEDULES}, got {kind!r}."
        )
    if not isinstance(n_steps, Integral) or n_steps < 1:
        raise ValueError(f"n_steps must be an int >= 1, got {n_steps!r}.")
    start, n = initial_sparsity, 1 if kind == "one-shot" else n_steps
    if not 0 <= start <= sparsity:
        limits = f"[0, sparsity={sparsity}]"
        raise ValueError(f"initial_sparsity must be in {limits}, got {start!r}.")
    done = np.arange(1, n + 1) / n
    if kind == "cubic":
        steps = sparsity - (sparsity - start) * (1 - done) ** 3
    elif kind == "geometric":
        steps = 1 - (1 - start) ** (1 - done) * (1 - sparsity) ** done
    else:
        steps = start + (sparsity - start) * done
    steps[-1] = sparsity
    return steps


def check_sparsity(sparsity):
    """Check a share of weights to prune."""
    if not isinstance(sparsity, Real) or not 0 <= sparsity < 1:
        raise ValueError(
            f"sparsity must be in [0, 1), got {sparsity!r}: at 1 nothing would be left."
        )


def n_to_prune(sparsity, n):
    """Return floor(sparsity * n), for sparsity below 1 fewer than all."""
    check_sparsity(sparsity)
    # 0.29 * 100 is 28.999999999999996
    return min(int(np.floor(sparsity * n + 1e-9)), n - 1)


def _check_sequence(steps, sparsity):
    steps = np.asarray(steps, dtype=float)
    is_valid = steps.ndim == 1 and steps.size and np.all(np.diff(steps) >= 0)
    if not is_valid or steps[0] < 0 or steps[-1] != sparsity:
        raise ValueError(
            "a schedule given as a sequence must be in [0, 1), must not decrease and "
            f"must end at sparsity={sparsity}, got {steps.tolist()}."
        )
    return steps
