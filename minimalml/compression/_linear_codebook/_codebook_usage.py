"""How much of a codebook is in use, counted over all rows: parts add up."""

from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from minimalml._core.arrays import to_numpy
from minimalml._core.validation import Integral, Interval, validate_params


def check_codes(codes, n_codes):
    """Return integer codes within a book of so many words, as an array."""
    codes = to_numpy(codes)
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got dtype {codes.dtype}.")
    if codes.size and not (codes.min() >= 0 and codes.max() < n_codes):
        raise ValueError(
            f"codes must be from 0 to {n_codes - 1}, got {codes.min()} to {codes.max()}."
        )
    return codes.astype(np.int64, copy=False)


@dataclass(frozen=True, eq=False)
class CodebookUsage:
    """How often each word of a codebook was taken.

    Those of parts add up to that of the whole: ``sum(codebook_usage(part, n_codes) for
    part in parts)``. Means over batches would not: perplexity grows with the batch.

    Parameters
    ----------
    counts : ndarray of int of shape (n_codes,)
        Rows of each code.

    Attributes
    ----------
    utilization : float
        Share of the codes that were taken at least once.

    perplexity : float
        How many codes, taken equally often, have as much entropy; 1 for no rows.

    Examples
    --------
    >>> from minimalml.compression import codebook_usage
    >>> usage = codebook_usage([0, 0, 1], 4) + codebook_usage([1], 4)
    >>> usage.utilization, round(usage.perplexity, 6)
    (0.5, 2.0)
    """

    counts: np.ndarray

    @property
    def utilization(self):
        """Share of the codes that were taken."""
        return float(np.mean(self.counts > 0))

    @property
    def perplexity(self):
        """Exponential of the entropy of codes."""
        shares = self.counts / max(1, self.counts.sum())
        return float(np.exp(entr(shares).sum()))

    def __add__(self, other):
        if not isinstance(other, CodebookUsage):
            return NotImplemented
        if len(self.counts) != len(other.counts):
            raise ValueError(
                f"usages of {len(self.counts)} and of {len(other.counts)} codes can't "
                "be added."
            )
        return CodebookUsage(self.counts + other.counts)

    def __radd__(self, other):
        return self if isinstance(other, int) and other == 0 else NotImplemented


@validate_params(
    {"codes": "no_validation", "n_codes": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def codebook_usage(codes, n_codes):
    """Count how often each word of a codebook was taken.

    Parameters
    ----------
    codes : array-like or tensor of int, of any shape
        Numbers of words.

    n_codes : int
        Number of words, those that no row took included.

    Returns
    -------
    CodebookUsage
        With ``counts``, ``utilization`` and ``perplexity``.

    Raises
    ------
    ValueError
        If codes are not integers from 0 to ``n_codes - 1``.

    Examples
    --------
    >>> from minimalml.compression import codebook_usage
    >>> codebook_usage([[0, 2], [2, 2]], 4).counts
    array([1, 0, 3, 0])
    """
    codes = check_codes(codes, n_codes)
    return CodebookUsage(np.bincount(codes.ravel(), minlength=n_codes))
