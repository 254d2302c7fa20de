"""Codes column after column with error feedback, and the best books for given codes.

Liu et al., "VPTQ: Extreme Low-bit Vector Post-Training Quantization for Large Language
Models", EMNLP 2024.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from minimalml.compression._error_feedback import feed_back, inverse_factor
from minimalml.compression._vector_quantization._codebook import (
    nearest_segments,
    words_of,
)
from minimalml.compression._weight_codec import check_weight_and_hessian

# Of the norm of the right side: what is left there is rounding.
ROUNDING = 1e-13


class ColumnCodes(NamedTuple):
    """Codes of all columns.

    codes : ndarray of int of shape (n_levels, n_segments, n)
    decoded : ndarray of shape (m, n)
    loss : float
    """

    codes: np.ndarray
    decoded: np.ndarray
    loss: float


class Group(NamedTuple):
    """Columns that share books: main, residual..."""

    columns: np.ndarray
    books: list


def coding_order(hessian, n_columns):
    """Return columns by descending diagonal; as they are without a hessian."""
    if hessian is None:
        return np.arange(n_columns)
    return np.argsort(-np.diagonal(hessian), kind="stable")


def conditional_weights(hessian, *, order=None):
    """Return what an error in each column costs once later columns have made up for it.

    With error feedback the loss is exactly a sum of squared errors with these weights,
    ``1 / U_qq^2`` with ``inv(H) = U.T @ U`` in the order of coding. O(n^3) time.

    Parameters
    ----------
    hessian : array-like of shape (n, n)
        Damped second moments of a layer's inputs.

    order : array-like of int of shape (n,), default=None
        The order in which columns are encoded; None: by descending diagonal.

    Returns
    -------
    ndarray of shape (n,)
        By column, at most the diagonal of ``hessian``.

    Raises
    ------
    ValueError
        If ``hessian`` is not symmetric and positive definite, or ``order`` no permutation.

    References
    ----------
    .. [1] Y. Liu, J. Wen, Y. Wang et al., "VPTQ: Extreme Low-bit Vector Post-Training Quantization for
       Large Language Models", EMNLP 2024. arXiv:2409.17066

    Examples
    --------
    >>> from minimalml.compression import conditional_weights
    >>> conditional_weights([[2.0, 1.0], [1.0, 1.0]])
    array([1., 1.])
    """
    hessian = check_array(hessian, dtype=np.float64, input_name="hessian")
    _, hessian = check_weight_and_hessian(np.zeros((1, len(hessian))), hessian)
    order = _checked_order(order, hessian, len(hessian))
    factor = inverse_factor(hessian[np.ix_(order, order)])
    weights = np.empty(len(hessian))
    weights[order] = np.diagonal(factor) ** -2.0
    return weights


def quantize_columns(weight, hessian, codebooks, *, order=None):
    """Encode a weight matrix by given books, column after column.

    Each segment of a column gets its nearest word (then its nearest residual word), and
    the column's error is taken to the later ones. O(m n n_words + m n^2) time.

    Parameters
    ----------
    weight : array-like of shape (m, n)
        The matrix.

    hessian : array-like of shape (n, n) or None
        Damped second moments of the inputs; None: no feedback.

    codebooks : list of array-like of shape (n_words, vector_length)
        The book, then books of what is left.

    order : array-like of int of shape (n,), default=None
        Order of coding; None: by descending diagonal of ``hessian``.

    Returns
    -------
    ColumnCodes
        ``codes``, ``decoded`` and the ``loss``, trace((W - Q) H (W - Q).T).

    Raises
    ------
    ValueError
        If numbers are not finite, books have words of unlike length, or ``order`` is no
        permutation.

    Examples
    --------
    >>> from minimalml.compression import quantize_columns
    >>> quantize_columns([[0.1, 0.9], [0.0, 1.2]], None, [[[0.0, 0.0], [1.0, 1.0]]]).codes
    array([[[0, 1]]])
    """
    weight, hessian = check_weight_and_hessian(weight, hessian)
    books = _checked_books(codebooks, len(weight))
    order = _checked_order(order, hessian, weight.shape[1])
    group = Group(np.arange(weight.shape[1]), books)
    [codes], decoded, loss = column_pass(weight, hessian, [group], order)
    return ColumnCodes(codes, decoded, loss)


def column_pass(weight, hessian, groups, order):
    """Encode the columns of all groups; return codes by group, the matrix and the loss."""
    n_outputs, n_columns = weight.shape
    place, group_of = np.empty((2, n_columns), dtype=np.intp)
    codes = []
    for number, group in enumerate(groups):
        group_of[group.columns] = number
        place[group.columns] = np.arange(len(group.columns))
        n_segments = -(-n_outputs // group.books[0].shape[1])
        shape = (len(group.books), n_segments, len(group.columns))
        codes.append(np.empty(shape, dtype=np.intp))

    def encode_column(values, factor, columns):
        number = group_of[columns[0]]
        left = np.array(values[:, 0])
        for level, book in enumerate(groups[number].books):
            labels = nearest_segments(left, book)
            codes[number][level, :, place[columns[0]]] = labels
            left -= words_of(book, labels[:, None], n_outputs)[:, 0]
        return values - left[:, None]

    sizes = np.ones(n_columns, dtype=int)
    _, loss = feed_back(weight, hessian, order, sizes, encode_column)
    decoded = decode_groups(groups, codes, weight.shape)
    return codes, decoded, loss


def decode_groups(groups, codes, shape):
    """Return the matrix that the codes of all groups stand for."""
    decoded = np.empty(shape)
    for group, of_group in zip(groups, codes, strict=True):
        words = [
            words_of(book, labels, shape[0])
            for book, labels in zip(group.books, of_group, strict=True)
        ]
        decoded[:, group.columns] = sum(words)
    return decoded


def refine_codebooks(weight, hessian, codes, codebooks, *, max_iter=50, tol=1e-6):
    """Find the books that, with codes as they are, leave the least output error.

    A least-squares problem in the entries of all books together, by conjugate gradients.
    O(m n^2) time an iteration.

    Parameters
    ----------
    weight : array-like of shape (m, n)
        The matrix.

    hessian : array-like of shape (n, n) or None
        Damped second moments of the inputs; None: the identity.

    codes : array-like of int of shape (n_levels, n_segments, n)
        From `quantize_columns`.

    codebooks : list of array-like of shape (n_words, vector_length)
        Where to start. Entries that no code uses stay.

    max_iter : int, default=50
        Iterations.

    tol : float, default=1e-6
        Stop at this share of the first gradient.

    Returns
    -------
    codebooks : list of ndarray
        Never worse than those given.

    decoded : ndarray of shape (m, n)

    Raises
    ------
    ValueError
        If numbers are not finite, or codes don't go with the books.

    Examples
    --------
    >>> from minimalml.compression import refine_codebooks
    >>> books, _ = refine_codebooks([[1.0, 3.0]], None, [[[0, 0]]], [[[0.0]]])
    >>> books
    [array([[2.]])]
    """
    weight, hessian = check_weight_and_hessian(weight, hessian)
    books = _checked_books(codebooks, len(weight))
    codes = _checked_codes(codes, books, weight.shape)
    group = Group(np.arange(weight.shape[1]), books)
    groups, decoded = least_squares_books(
        weight, hessian, [group], [codes], max_iter, tol
    )
    return groups[0].books, decoded


def output_loss(error, hessian):
    """Return ``trace(E H E.T)``."""
    return float(np.vdot(error if hessian is None else error @ hessian, error))


def least_squares_books(weight, hessian, groups, codes, max_iter=50, tol=1e-6):
    """Refine the books of all groups jointly; return the groups and the matrix."""
    entries, index = _flatten(groups, codes, weight.shape)
    metric = (
        (lambda error: error) if hessian is None else (lambda error: error @ hessian)
    )
    diagonal = np.ones(weight.shape[1]) if hessian is None else np.diagonal(hessian)

    def gather(theta):
        return np.append(theta, 0.0)[index].sum(axis=0)  # -1: no word at this level

    def scatter(matrix):
        weights = np.broadcast_to(matrix, index.shape).ravel()
        return np.bincount(index.ravel() + 1, weights, len(entries) + 1)[1:]

    scale = scatter(np.broadcast_to(diagonal, weight.shape))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    start = gather(entries)
    theta, residual = entries.copy(), scatter(metric(weight - start))
    direction, squared = inverse * residual, residual @ (inverse * residual)
    right = scatter(metric(weight))
    floor = max(tol * np.sqrt(squared), ROUNDING * np.sqrt(right @ (inverse * right)))
    for _ in range(max_iter):
        if np.sqrt(squared) <= floor:
            break
        product = scatter(metric(gather(direction)))
        curvature = direction @ product
        if curvature <= 0:  # books that stand for each other leave the sum as it is
            break
        theta += squared / curvature * direction
        residual -= squared / curvature * product
        before, squared = squared, residual @ (inverse * residual)
        direction = inverse * residual + squared / before * direction
    decoded = gather(theta)
    if not output_loss(weight - decoded, hessian) < output_loss(
        weight - start, hessian
    ):
        return groups, start
    return _unflatten(groups, theta), decoded


def _flatten(groups, codes, shape):
    """All entries of all books in a row, and for each level and weight its place there."""
    n_outputs = shape[0]
    n_levels = max(len(group.books) for group in groups)
    index = np.full((n_levels, *shape), -1, dtype=np.intp)
    entries, start = [], 0
    for group, of_group in zip(groups, codes, strict=True):
        for level, (book, labels) in enumerate(zip(group.books, of_group, strict=True)):
            places = start + np.arange(book.size).reshape(book.shape)
            index[level][:, group.columns] = words_of(places, labels, n_outputs)
            entries.append(book.ravel())
            start += book.size
    return np.concatenate(entries), index


def _unflatten(groups, theta):
    new, start = [], 0
    for group in groups:
        books = []
        for book in group.books:
            books.append(theta[start : start + book.size].reshape(book.shape))
            start += book.size
        new.append(Group(group.columns, books))
    return new


def _checked_books(codebooks, n_outputs):
    if not isinstance(codebooks, list | tuple) or not len(codebooks):
        raise ValueError("codebooks must be a list of at least one book.")
    books = [
        check_array(book, dtype=np.float64, order="C", input_name=f"codebooks[{level}]")
        for level, book in enumerate(codebooks)
    ]
    lengths = [book.shape[1] for book in books]
    if len(set(lengths)) > 1 or lengths[0] > n_outputs:
        raise ValueError(
            "codebooks must have words of one length, at most the "
            f"{n_outputs} outputs, got {lengths}."
        )
    return books


def _checked_codes(codes, books, shape):
    codes = np.asarray(codes)
    n_segments = -(-shape[0] // books[0].shape[1])
    expected = (len(books), n_segments, shape[1])
    if codes.shape != expected or codes.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be integers of shape {expected}, got {codes.dtype} of shape "
            f"{codes.shape}."
        )
    for level, (labels, book) in enumerate(zip(codes, books, strict=True)):
        if labels.min() < 0 or labels.max() >= len(book):
            raise ValueError(
                f"codes[{level}] must be from 0 to {len(book) - 1}, got {labels.min()} "
                f"to {labels.max()}."
            )
    return codes.astype(np.intp)


def _checked_order(order, hessian, n_columns):
    if order is None:
        return coding_order(hessian, n_columns)
    order = np.asarray(order)
    is_permutation = order.shape == (n_columns,) and order.dtype.kind in "iu"
    if not is_permutation or (np.sort(order) != np.arange(n_columns)).any():
        raise ValueError(
            f"order must be a permutation of {n_columns} columns, got {order!r}."
        )
    return order.astype(np.intp)
