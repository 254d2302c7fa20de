"""What infinitely wide networks answer that have seen a permutation of unit vectors alone.

All inputs of k bits with m ones are alike but for names, so that two means and a variance say
everything, without a matrix.
"""

import numpy as np
from scipy.special import gammaln, log_ndtr, logsumexp

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    validate_params,
)

ROUNDINGS = StrOptions({"sign", "midpoint"})
FRACTION = Interval(Real, 0, 1, closed="neither")
SIZE = Interval(Integral, 1, None, closed="left")


@validate_params(
    {"k": [SIZE], "m": ["array-like", Integral]}, prefer_skip_nested_validation=True
)
def permutation_moments(k, m):
    """Compute what a network answers of inputs with m ones, trained on k unit vectors.

    Of an infinitely wide ReLU network with one hidden layer, trained to the end; inputs
    are divided by their length. Time and memory O(1) for each m.

    Parameters
    ----------
    k : int
        Number of bits.

    m : int or array-like of int
        Number of ones, from 1 to k.

    Returns
    -------
    mean_in : float or ndarray of the shape of m
        Mean of outputs that shall be 1, above 0.

    mean_out : float or ndarray of the shape of m
        Mean of outputs that shall be 0, below 0, or 0 at m = 1; NaN at m = k, where none is.

    variance : float or ndarray of the shape of m
        Of each output, over random starts.

    Raises
    ------
    ValueError
        If ``k`` is below 1, or ``m`` holds other numbers than integers from 1 to k.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> from minimalml.training_dynamics import permutation_moments
    >>> [round(float(value), 5) for value in permutation_moments(5, 2)]
    [0.56063, -0.01464, 0.01323]
    """
    m = np.asarray(m)
    if m.dtype.kind not in "iu" or (m < 1).any() or (m > k).any():
        raise ValueError(f"m must hold integers from 1 to k={k}, got {m.tolist()}.")
    cosine = 1 / np.sqrt(m)
    sine, angle = np.sqrt(1 - 1 / m), np.arccos(cosine)
    turn = 2 * np.pi
    # kernels of the input with the unit vectors of its ones, and with all others
    nngp_in = (sine + (np.pi - angle) * cosine) / (turn * k)
    ntk_in = nngp_in + (np.pi - angle) * cosine / (turn * k)
    other = 1 / (turn * k)
    # the NTK of the unit vectors is (I / b + 11' / turn) / k: Sherman and Morrison
    b = 1 / (1 - 1 / turn)
    common = b**2 / turn / (1 + k * b / turn) * (m * ntk_in + (k - m) * other)
    mean_in, mean_out = k * (b * ntk_in - common), k * (b * other - common)
    total = m * mean_in + (k - m) * mean_out
    squares = m * mean_in**2 + (k - m) * mean_out**2
    spread = ((0.5 - 1 / turn) * squares + total**2 / turn) / k
    crossed = m * mean_in * nngp_in + (k - m) * mean_out * other
    variance = np.maximum(1 / (2 * k) + spread - 2 * crossed, 0.0)
    # the training inputs, exactly
    mean_in, mean_out = np.where(m == 1, 1.0, mean_in), np.where(m == 1, 0.0, mean_out)
    variance = np.where(m == 1, 0.0, variance)
    mean_out = np.where(m == k, np.nan, mean_out)
    return mean_in[()], mean_out[()], variance[()]


def output_threshold(mean_in, mean_out):
    """Return the middle between the two means; 0 where all outputs shall be 1."""
    return np.where(np.isnan(mean_out), 0.0, (mean_in + mean_out) / 2)


@validate_params(
    {
        "k": [SIZE],
        "delta": [FRACTION],
        "weight": [StrOptions({"all"}), SIZE],
        "rounding": [ROUNDINGS],
    },
    prefer_skip_nested_validation=True,
)
def permutation_ensemble_size(k, delta=0.05, *, weight="all", rounding="sign"):
    """Compute how many networks must be averaged to permute k bits without an error.

    The smallest number at which the probability of a wrong output, added up over outputs
    and inputs, is at most ``delta``: exact tails of normal distributions, where the paper
    bounds them. Time O(k log N) for the answer N.

    Parameters
    ----------
    k : int
        Number of bits.

    delta : float, default=0.05
        Probability of failure, in (0, 1).

    weight : int or "all", default="all"
        Number of ones of a single input; "all": all nonzero inputs at once.

    rounding : {"sign", "midpoint"}, default="sign"
        Whether an output is 1 above 0, as in the paper, or above the middle of the two
        means, for which far fewer networks do.

    Returns
    -------
    int
        Number of networks.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> from minimalml.training_dynamics import permutation_ensemble_size
    >>> permutation_ensemble_size(10)
    888
    >>> permutation_ensemble_size(10, rounding="midpoint") < 60
    True
    """
    if weight != "all" and weight > k:
        raise ValueError(f"weight must be 'all' or from 1 to k={k}, got {weight}.")
    weights = np.arange(1, k + 1) if weight == "all" else np.array([weight])
    weights = weights[weights > 1]  # the training inputs never fail
    if not len(weights):
        return 1
    log_failure = _log_failure(k, weights, weight == "all", rounding)
    few, many = 0, 1
    while log_failure(many) > np.log(delta):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        if log_failure(middle) > np.log(delta):
            few = middle
        else:
            many = middle
    return many


def _log_failure(k, weights, are_all, rounding):
    """Return the logarithm of the union bound of failures, as a function of N."""
    mean_in, mean_out, variance = permutation_moments(k, weights)
    is_full = weights == k
    mean_out = np.where(is_full, 0.0, mean_out)
    if rounding == "midpoint":
        half = np.where(is_full, mean_in, (mean_in - mean_out) / 2)
        mean_in, mean_out = half, -half
    ratios = np.stack([mean_in, -mean_out]) / np.sqrt(variance)
    with np.errstate(divide="ignore"):  # no output shall be 0 at weight k
        log_counts = np.log(np.stack([weights, k - weights]))
    if are_all:  # binomials: inputs of each weight
        log_counts += gammaln(k + 1) - gammaln(weights + 1) - gammaln(k - weights + 1)

    def log_failure(n_networks):
        return logsumexp(log_counts + log_ndtr(-np.sqrt(n_networks) * ratios))

    return log_failure
