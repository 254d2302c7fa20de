"""Weights by words of a learnt codebook: 1 to 3 bits each (VPTQ)."""

from math import ceil

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral, Interval, Real, StrOptions
from minimalml.compression._packing import pack_codes, unpack_codes
from minimalml.compression._vector_quantization._codebook import (
    POSITIVE,
    k_means,
    nearest_segments,
    words_of,
)
from minimalml.compression._vector_quantization._column_pass import (
    Group,
    coding_order,
    column_pass,
    conditional_weights,
    decode_groups,
    least_squares_books,
    output_loss,
)
from minimalml.compression._weight_codec import (
    EncodedWeight,
    WeightCodec,
    check_weight_and_hessian,
    matrix_scale,
)

# Stop of k-means: the share by which the inertia has to fall.
TOLERANCE = 1e-4
NON_NEGATIVE = Interval(Integral, 0, None, closed="left")


class VectorCodec(WeightCodec):
    """Encode consecutive outputs of an input together, as a word of a learnt codebook.

    Below 3 bits a weight it keeps more than rounding does, and decodes by looking up. For
    large matrices: the codebook is stored as well, and as large as the codes at
    ``16 n_centroids vector_length / bits`` weights; take `UniformCodec` for small ones,
    and at 4 bits and more. O(m n n_centroids + m n^2) time for an (m, n) matrix.

    Parameters
    ----------
    vector_length : int, default=4
        Weights of a word. Codes take ``log2(n_centroids) / vector_length`` bits a weight.

    n_centroids : int, default=256
        Words of the book; best a power of two, and fewer where there are fewer different
        vectors.

    n_residual_centroids : int, default=0
        Words of a second book, of what the first leaves; 0: none.

    outlier_fraction : float, default=0.0
        Share in [0, 1) of the inputs, those that vary most, with a book of their own.

    outlier_vector_length : int, default=2
        Weights of its words, at most ``vector_length``.

    centroid_weight : {"conditional", "diagonal"}, default="conditional"
        What an error costs when words are learnt: what it costs with feedback, or, as in
        the paper, without.

    n_refinements : int, default=2
        How often words are fitted again to the codes, by least squares of the layer's
        outputs, and codes to the words. 0 with "diagonal" is the paper's, without its
        fine-tuning.

    max_iter : int, default=100
        Iterations of k-means.

    random_state : int, RandomState instance or None, default=None
        For the start of k-means.

    See Also
    --------
    WeightQuantizer : Encode the layers of a fitted model.
    fit_codebook, quantize_columns, refine_codebooks : The steps.

    References
    ----------
    .. [1] Y. Liu, J. Wen, Y. Wang et al., "VPTQ: Extreme Low-bit Vector Post-Training Quantization for
       Large Language Models", EMNLP 2024. arXiv:2409.17066

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import VectorCodec
    >>> weight = np.random.default_rng(0).normal(size=(64, 64))
    >>> encoded = VectorCodec(4, 16, random_state=0).encode(weight)
    >>> encoded.bits_per_weight, float(np.mean((encoded.decode() - weight) ** 2).round(1))
    (1.2578125, 0.3)
    """

    _parameter_constraints = {
        "vector_length": [POSITIVE],
        "n_centroids": [POSITIVE],
        "n_residual_centroids": [NON_NEGATIVE],
        "outlier_fraction": [Interval(Real, 0, 1, closed="left")],
        "outlier_vector_length": [POSITIVE],
        "centroid_weight": [StrOptions({"conditional", "diagonal"})],
        "n_refinements": [NON_NEGATIVE],
        "max_iter": [POSITIVE],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        vector_length=4,
        n_centroids=256,
        *,
        n_residual_centroids=0,
        outlier_fraction=0.0,
        outlier_vector_length=2,
        centroid_weight="conditional",
        n_refinements=2,
        max_iter=100,
        random_state=None,
    ):
        self.vector_length = vector_length
        self.n_centroids = n_centroids
        self.n_residual_centroids = n_residual_centroids
        self.outlier_fraction = outlier_fraction
        self.outlier_vector_length = outlier_vector_length
        self.centroid_weight = centroid_weight
        self.n_refinements = n_refinements
        self.max_iter = max_iter
        self.random_state = random_state

    def encode(self, weight, hessian=None):
        """Encode a weight matrix.

        Parameters
        ----------
        weight : array-like of shape (n_outputs, n_inputs)
            The matrix, of floating-point numbers.

        hessian : array-like of shape (n_inputs, n_inputs), default=None
            Damped second moments of the inputs; None: no feedback, and outliers are the
            first columns.

        Returns
        -------
        EncodedWeight

        Raises
        ------
        ValueError
            If a number is not finite, the hessian is not symmetric and positive definite,
            or ``outlier_vector_length`` is above ``vector_length``.
        """
        self._validate_params()
        if (
            self.outlier_fraction > 0
            and self.outlier_vector_length > self.vector_length
        ):
            raise ValueError(
                f"outlier_vector_length={self.outlier_vector_length} must be at most "
                f"vector_length={self.vector_length}."
            )
        weight, hessian = check_weight_and_hessian(weight, hessian)
        scale, relative = matrix_scale(weight)
        order = coding_order(hessian, weight.shape[1])
        main, outlier = self._start(relative, hessian, order)
        groups = [group for group in (main, outlier) if group is not None]
        groups, codes = self._refine(relative, hessian, groups, order)
        arrays = _arrays(groups, codes, main is not None, weight.shape[1])
        arrays["scale"] = scale
        return EncodedWeight("VectorCodec", weight.shape, arrays, {})

    def _start(self, weight, hessian, order):
        """Return the groups of main and outlier columns with their first books."""
        cost = np.ones(weight.shape[1])
        if hessian is not None and self.centroid_weight == "conditional":
            cost = conditional_weights(hessian, order=order)
        elif hessian is not None:
            cost = np.diagonal(hessian)
        n_outliers = ceil(self.outlier_fraction * weight.shape[1])
        outliers, others = np.sort(order[:n_outliers]), np.sort(order[n_outliers:])
        generator = check_random_state(self.random_state)

        def book_of(values, columns, length, n_words):
            book, _ = k_means(
                values,
                cost[columns],
                length,
                n_words,
                self.max_iter,
                TOLERANCE,
                generator,
            )
            return _rounded(book)

        main = outlier = None
        if len(others):
            part = weight[:, others]
            books = [book_of(part, others, self.vector_length, self.n_centroids)]
            if self.n_residual_centroids:
                labels = [nearest_segments(column, books[0]) for column in part.T]
                left = part - words_of(books[0], np.stack(labels, axis=1), len(part))
                length, n_words = self.vector_length, self.n_residual_centroids
                books.append(book_of(left, others, length, n_words))
            main = Group(others, books)
        if n_outliers:
            part, length = weight[:, outliers], self.outlier_vector_length
            outlier = Group(
                outliers, [book_of(part, outliers, length, self.n_centroids)]
            )
        return main, outlier

    def _refine(self, weight, hessian, groups, order):
        """Fit codes to books and books to codes in turn; return the best of all."""
        codes, _, least = column_pass(weight, hessian, groups, order)
        best = groups, codes
        for _ in range(self.n_refinements):
            groups, _ = least_squares_books(weight, hessian, groups, codes)
            groups = [Group(g.columns, [_rounded(b) for b in g.books]) for g in groups]
            decoded = decode_groups(groups, codes, weight.shape)
            loss = output_loss(weight - decoded, hessian)
            if loss < least:
                best, least = (groups, codes), loss
            codes, _, loss = column_pass(weight, hessian, groups, order)
            if loss < least:
                best, least = (groups, codes), loss
        return best

    @classmethod
    def decode_arrays(cls, shape, arrays, meta):
        """Decode what `encode` returned.

        Parameters
        ----------
        shape : tuple of int
            (n_outputs, n_inputs).

        arrays : dict of str to ndarray
            Books, packed indices, the mask of outliers and the scale.

        meta : dict
            Empty.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_inputs)
        """
        is_outlier = np.zeros(shape[1], dtype=bool)
        if "outlier_mask" in arrays:
            is_outlier = unpack_codes(arrays["outlier_mask"], shape[1], 1) > 0
        decoded = np.zeros(shape)
        for prefix, book_name in NAMES:
            if book_name not in arrays:
                continue
            columns = np.flatnonzero(is_outlier == (prefix == "outlier_"))
            book = arrays[book_name].astype(np.float64)
            n_segments = -(-shape[0] // book.shape[1])
            labels = unpack_codes(
                arrays[f"{prefix}indices"], n_segments * len(columns), _n_bits(book)
            )
            labels = labels.astype(np.intp).reshape(len(columns), n_segments).T
            decoded[:, columns] += words_of(book, labels, shape[0])
        return decoded * float(arrays["scale"][0])


NAMES = (
    ("", "codebook"),
    ("residual_", "residual_codebook"),
    ("outlier_", "outlier_codebook"),
)


def _arrays(groups, codes, has_main, n_columns):
    """Return books and packed indices by name."""
    arrays = {}
    for number, (group, of_group) in enumerate(zip(groups, codes, strict=True)):
        is_main = has_main and number == 0
        names = NAMES[:2] if is_main else NAMES[2:]
        for (prefix, name), book, labels in zip(
            names, group.books, of_group, strict=False
        ):
            arrays[name] = book.astype(np.float16)
            arrays[f"{prefix}indices"] = pack_codes(labels.T.ravel(), _n_bits(book))
        if not is_main:
            mask = np.isin(np.arange(n_columns), group.columns).astype(int)
            arrays["outlier_mask"] = pack_codes(mask, 1)
    return arrays


def _n_bits(book):
    return (len(book) - 1).bit_length()


def _rounded(book):
    """Return the book as it is stored."""
    return book.astype(np.float16).astype(np.float64)
