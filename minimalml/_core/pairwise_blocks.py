"""Products of all pairs of rows, in blocks that fit scikit-learn's working memory."""

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils._chunking import get_chunk_n_rows
from sklearn.utils.extmath import safe_sparse_dot

__all__ = ["similarity_blocks"]


def similarity_blocks(X, Y):
    """Yield ``(rows, X[rows] @ Y.T)`` for slices of rows, in order.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows that come in blocks, of as many as fit the setting ``working_memory`` of
        scikit-learn.

    Y : ndarray of shape (n_columns, n_features)
        The other rows, of the same dtype.

    Yields
    ------
    rows : slice

    block : ndarray of shape (n_block, n_columns)
    """
    row_bytes = np.result_type(X.dtype, Y.dtype).itemsize * len(Y)
    block_size = get_chunk_n_rows(row_bytes, max_n_rows=max(1, X.shape[0]))
    for rows in gen_batches(X.shape[0], block_size):
        yield rows, safe_sparse_dot(X[rows], Y.T, dense_output=True)
