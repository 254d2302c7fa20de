"""What few, coarsely stored numbers promise about unseen rows: Aghajanyan et al., 2021."""

import math

from scipy.optimize import bisect
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

    It counts what has to be stored, not weights. It says something where
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
        "finite" is Hoeffding's bound in closed form, "kl" Chernoff's, never larger.

    Returns
    -------
    float
        With probability ``1 - delta`` the error on new rows is at most this.

    Raises
    ------
    ValueError
        If a value is out of its range.

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
    Aghajanyan et al., "Intrinsic dimensionality explains the effectiveness of language
    model fine-tuning", ACL 2021.

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
    if train_error == 1:
        return 1.0

    def excess(error):
        p, q = train_error, error
        return rel_entr(p, q) + rel_entr(1 - p, 1 - q) - complexity

    return float(bisect(excess, train_error, 1.0, xtol=1e-10))


def _gamma_bits(number):
    """Return the length of Elias' gamma code of an integer of at least 1."""
    return 2 * (int(number).bit_length() - 1) + 1
