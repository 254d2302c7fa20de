"""What few, coarsely stored numbers promise about unseen rows.

Aghajanyan, Zettlemoyer and Gupta, ACL 2021, after the compression bounds of Arora et
al., ICML 2018; here with every constant.
"""

import math

from scipy.special import rel_entr

from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    validate_params,
)

# The step between codes, a number in single precision.
SCALE_BITS = 32


@validate_params(
    {
        "train_error": [Interval(Real, 0, 1, closed="both")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "dimension": [Interval(Integral, 1, None, closed="left")],
        "bits": [Interval(Integral, 1, None, closed="left")],
        "delta": [Interval(Real, 0, 1, closed="neither")],
        "kind": [StrOptions({"kl", "finite"})],
    },
    prefer_skip_nested_validation=True,
)
def generalization_bound(
    train_error, n_samples, dimension, *, bits=8, delta=0.05, kind="kl"
):
    r"""Bound the error on new rows of a network that was trained in a subspace.

    It knows nothing of the number of weights D, only of what has to be stored: quantise
    first, and give the training error of the quantised network. It says something where
    ``dimension * bits`` is well below the number of rows.

    Parameters
    ----------
    train_error : float
        Share of the training rows that the quantised network gets wrong.

    n_samples : int
        Number of training rows, drawn independently.

    dimension : int
        Of the subspace.

    bits : int, default=8
        Of each number, as in `SubspaceClassifier.quantize`.

    delta : float, default=0.05
        Probability, in (0, 1), of training rows for which the bound does not hold.

    kind : {"kl", "finite"}, default="kl"
        "finite" is Hoeffding's bound in closed form, "kl" Chernoff's, which is never
        larger and much smaller for small errors.

    Returns
    -------
    float
        With probability ``1 - delta`` the error on new rows is at most this; 1 says
        nothing.

    Raises
    ------
    ValueError
        If a value is out of its range.

    See Also
    --------
    SubspaceClassifier : Has ``quantize``.

    Notes
    -----
    A network takes :math:`b d` bits for its codes, 32 for the step between them, and
    :math:`2 \lfloor \log_2 d \rfloor + 1` to say d, likewise b, so that both may be
    chosen by the training rows. With :math:`C` the sum times :math:`\log 2`, plus
    :math:`\log (1 / \delta)`, "finite" is :math:`e + \sqrt{C / 2n}`, and "kl" the
    largest p with :math:`KL(e \| p) \le C / n`.

    It holds if start, seed and architecture were chosen without the training rows (a
    pretrained start: on other data), and no buffer, such as batch statistics, learns
    from them.

    References
    ----------
    .. [1] A. Aghajanyan, L. Zettlemoyer, S. Gupta, "Intrinsic dimensionality explains
       the effectiveness of language model fine-tuning", ACL 2021. arXiv:2012.13255

    Examples
    --------
    >>> from minimalml.training_dynamics import generalization_bound
    >>> round(generalization_bound(0.02, 60_000, 750), 3)
    0.12
    """
    description = (
        bits * dimension + SCALE_BITS + _gamma_bits(dimension) + _gamma_bits(bits)
    )
    complexity = (description * math.log(2) + math.log(1 / delta)) / n_samples
    if kind == "finite":
        return float(min(1.0, train_error + math.sqrt(complexity / 2)))
    low, high = float(train_error), 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if _divergence(train_error, middle) <= complexity:
            low = middle
        else:
            high = middle
    return high


def _gamma_bits(number):
    """Return the length of Elias' gamma code of an integer of at least 1."""
    return 2 * (int(number).bit_length() - 1) + 1


def _divergence(p, q):
    """Return the KL divergence between coins of probabilities p and q."""
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)
