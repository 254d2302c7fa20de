"""Encode columns one after the other, and let later ones make up for the errors so far.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", ICLR 2023; in blocks, for codecs whose code spans several columns.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular

# Columns whose errors are taken to the later ones by one product.
LAZY_COLUMNS = 128


def inverse_factor(hessian):
    """Return the upper triangular U with ``inv(hessian) = U.T @ U``."""
    try:
        factor = cho_factor(hessian, lower=True)
        inverse = cho_solve(factor, np.eye(len(hessian)))
        return cholesky(inverse, lower=False)
    except LinAlgError as error:
        raise ValueError(
            "hessian is not positive definite: raise damping, or give more rows."
        ) from error


def feed_back(weight, hessian, order, block_sizes, encode_block):
    """Encode blocks of columns in order, and feed their errors back.

    What is left to pay after feedback is exactly ``loss``, which equals
    ``trace((W - Q) H (W - Q).T)``. O(m n^2 + n^3) time for m rows and n columns.

    Parameters
    ----------
    weight : ndarray of float64 of shape (m, n)

    hessian : ndarray of float64 of shape (n, n), or None
        Second moments of the inputs, damped; None: the identity, and no feedback.

    order : ndarray of int of shape (n,)
        Columns in the order of coding.

    block_sizes : iterable of int
        Columns of each block; they add up to n.

    encode_block : callable
        ``encode_block(values, factor, columns)`` returns what ``values`` (m, size) become
        on decoding; ``factor`` (size, size) is the block of U, ``columns`` their numbers.

    Returns
    -------
    decoded : ndarray of shape (m, n)

    loss : float
    """
    # transposed, so that a column is contiguous
    left = np.ascontiguousarray(weight[:, order].T)  # (n, m)
    factor = None if hessian is None else inverse_factor(hessian[np.ix_(order, order)])
    decoded, errors = np.empty_like(left), np.empty_like(left)
    loss, start, lazy = 0.0, 0, 0
    for size in block_sizes:
        block = slice(start, start + size)
        if factor is not None:
            left[block] -= factor[lazy:start, block].T @ errors[lazy:start]
        of_block = np.eye(size) if factor is None else factor[block, block]
        decoded[block] = encode_block(left[block].T, of_block, order[block]).T
        errors[block] = solve_triangular(
            of_block, left[block] - decoded[block], trans="T", check_finite=False
        )
        loss += float(np.vdot(errors[block], errors[block]))
        start += size
        if factor is not None and start - lazy >= LAZY_COLUMNS:
            left[start:] -= factor[lazy:start, start:].T @ errors[lazy:start]
            lazy = start
    result = np.empty_like(weight)
    result[:, order] = decoded.T
    return result, loss
