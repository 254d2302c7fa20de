"""The nuclear norm of each sample's logits: large where they are large and varied."""

from minimalml._core.arrays import array_namespace
from minimalml.resampling._utility_diversity._logits import check_logits


def nuclear_norm(logits, mask=None):
    """Compute the sum of the singular values of each sample's logits.

    The utility of a sample in online batch selection: large where logits are large and
    differ from position to position. With one position it is the Euclidean norm. The
    eigenvalues of ``L @ L.T`` give it in O(N V p + p^3) a sample, p = min(N, V), without
    a singular value decomposition.

    Parameters
    ----------
    logits : array-like or tensor of shape (n_samples, n_positions, n_classes) or \
            (n_samples, n_classes)
        Logits; two dimensions mean one position. Half precision becomes float32; a tensor
        stays on its device, without gradients.

    mask : array-like or tensor of bool of shape (n_samples, n_positions), default=None
        True where a position is real. Others count as if they were not there.

    Returns
    -------
    ndarray or tensor of shape (n_samples,)

    Raises
    ------
    ValueError
        If logits are no finite floats of two or three dimensions, if their squares
        overflow, or if the mask does not fit.

    See Also
    --------
    UtilityDiversitySelector : Selects samples of a batch by it.

    Notes
    -----
    Right to 1e-6 in float64 and to 1e-3 in float32, where a rank lower than the shape
    allows costs precision. Squares are formed: below 1e-19 in float32 numbers vanish.

    References
    ----------
    .. [1] H. Zou et al., "Utility-Diversity Aware Online Batch Selection for LLM
       Supervised Fine-tuning", ICML 2026. arXiv:2510.16882

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import nuclear_norm
    >>> varied, constant = np.diag([3.0, 4.0]), np.array([[3.0, 4.0], [3.0, 4.0]])
    >>> nuclear_norm(np.stack([varied, constant])).round(3)
    array([7.   , 7.071])
    """
    return nuclear_norm_of_checked(check_logits(logits, mask)[0])


def nuclear_norm_of_checked(logits):
    """Return the norms of what `check_logits` returned."""
    xp = array_namespace(logits)
    n_positions, n_classes = logits.shape[1:]
    if min(n_positions, n_classes) == 1:
        return xp.sqrt((logits * logits).sum((1, 2)))
    turned = logits.swapaxes(1, 2)
    squares = logits @ turned if n_positions <= n_classes else turned @ logits
    values = xp.linalg.eigvalsh(squares)
    # Roundings move the zeros of a low rank up and down alike. Clipped, they would add up.
    return (xp.sign(values) * xp.sqrt(xp.abs(values))).sum(-1)
