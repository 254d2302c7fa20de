"""Rows of data as bytes and back, each group of columns by direction and length."""

import numpy as np
from scipy.linalg import eigh
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state, gen_batches

from minimalml._core.validation import (
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.compression._packing import pack_codes, unpack_codes
from minimalml.compression._pyramid._coded_rows import (
    MAX_FLOAT16,
    decode_rows,
    encode_rows,
    encode_scaled_rows,
    unit_rows,
)
from minimalml.compression._pyramid._gain_levels import sample_levels
from minimalml.compression._pyramid._group_plan import (
    code_widths,
    even_plan,
    gain_bits_at,
    variance_plan,
)
from minimalml.compression._pyramid._pyramid import project
from minimalml.compression._pyramid._pyramid_codec import (
    BITS,
    GAIN_BITS,
    GROUP_SIZE,
    beta_law,
)
from minimalml.compression._pyramid._rotation import (
    random_signs,
    rotate,
    rotate_back,
)

GROUP_SIZE_OF_ROTATED, GROUP_SIZE_ON_AXES = 16, 8
BATCH_NUMBERS = 1 << 22  # that are coded at a time, in float64


class PyramidQuantizer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Compress rows to bytes, and give them back.

    For embeddings, activations, patches: any number of bits a column, and no codebook.
    `transform` returns bytes, ``inverse_transform`` rows. Columns of unequal size or that
    go together want ``rotation="pca"``. For clustered rows at 1 or 2 bits a column learnt
    codebooks, such as faiss has, lose less.
    O(n_features group_size) time a row.

    Parameters
    ----------
    bits : float, default=2.0
        Bits a column, rounded down to whole bits of a group, or of a row with "pca".
        Without "pca" 16 a row come on top.

    group_size : int, default=None
        Columns that share a code, of 64 bits at most; None: 16, or 8 with "pca".

    gain_bits : int, default=None
        Bits of a group's length among its bits, 0 to 6; None: about ``bits`` - 0.5, or
        with "pca" by the bits of each group.

    rotation : {"hadamard", "pca"} or None, default="hadamard"
        "hadamard" draws a rotation after which columns look Gaussian and alike; "pca"
        learns the principal axes, and gives bits to those that vary; None leaves columns
        as they are.

    random_state : int, RandomState instance or None, default=None
        Draws the rotation "hadamard".

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Means of the columns.

    scale_ : float
        Mean length of centred training rows, 1 if that is 0. Not with "pca".

    components_ : ndarray of shape (n_features, n_features)
        Principal axes as rows. Only with "pca".

    group_plan_ : list of NamedTuple
        ``start``, ``size``, ``gain_bits``, ``n_pulses`` and ``shape_bits`` of each group; a
        group without bits decodes to the mean.

    gain_levels_ : list of ndarray
        Levels of each group's length, empty without bits.

    bits_per_row_ : int
        Bits of a row's code.

    n_code_bytes_ : int
        Bytes of a row's code.

    relative_error_ : float
        Squared error of the training rows over their variance, 0 if that is 0.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, if they all are strings.

    See Also
    --------
    PyramidCodec : The same for the weights of a model.

    References
    ----------
    .. [1] T. van der Ouderaa, M. Croci, A. Hilmkil, J. Hensman, "Pyramid Vector
       Quantization for LLMs", 2024. arXiv:2410.16926

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from minimalml.compression import PyramidQuantizer
    >>> X, _ = load_digits(return_X_y=True)
    >>> quantizer = PyramidQuantizer(bits=2, rotation="pca").fit(X)
    >>> quantizer.transform(X).shape, round(quantizer.relative_error_, 2)
    ((1797, 16), 0.02)
    """

    _parameter_constraints = {
        "bits": [BITS],
        "group_size": [GROUP_SIZE, None],
        "gain_bits": [GAIN_BITS, None],
        "rotation": [StrOptions({"hadamard", "pca"}), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, bits=2.0, *, group_size=None, gain_bits=None, rotation="hadamard",
        random_state=None,
    ):  # fmt: skip
        self.bits = bits
        self.group_size = group_size
        self.gain_bits = gain_bits
        self.rotation = rotation
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn means, and scale or axes and levels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.

        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a number is not finite, ``bits`` are too few for any group, or too many for
            one of ``group_size``.
        """
        is_pca = self.rotation == "pca"
        X = validate_data(
            self, X, dtype=[np.float64, np.float32], ensure_min_samples=1 + is_pca
        )
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
        centred = X - self.mean_.astype(np.float64)
        largest = np.abs(centred).max()
        unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
        centred /= unit  # squares neither over- nor underflow
        if is_pca:
            self._fit_axes(centred, unit)
        else:
            self._fit_scale(centred, unit)
        widths = [16] * (not is_pca) + code_widths(self.group_plan_)
        self.bits_per_row_ = sum(widths)
        self.n_code_bytes_ = -(-self.bits_per_row_ // 8)
        # of all that a row's code consists of, the scale first and padding last
        self._widths = [*widths, 8 * self.n_code_bytes_ - self.bits_per_row_]
        error = (self._decode(self._encode(X)) - X) / unit
        variance = np.vdot(centred, centred)
        self.relative_error_ = float(np.vdot(error, error) / (variance or 1))
        return self

    def _fit_axes(self, centred, unit):
        """Find principal axes, the bits of their groups and levels for their lengths."""
        vars(self).pop("scale_", None)  # of a fit without axes
        variances, axes = eigh(centred.T @ centred / len(centred))
        variances, axes = variances[::-1], axes.T[::-1]
        places = np.abs(axes).argmax(axis=1, keepdims=True)
        self.components_ = axes * np.sign(np.take_along_axis(axes, places, axis=1))
        group_size = GROUP_SIZE_ON_AXES if self.group_size is None else self.group_size
        self.group_plan_ = variance_plan(
            np.maximum(variances, 0), self.bits, group_size, self.gain_bits
        )
        rows = centred @ self.components_.T
        self.gain_levels_ = [
            unit * _levels_of(rows[:, group.start : group.start + group.size], group)
            for group in self.group_plan_
        ]

    def _fit_scale(self, centred, unit):
        """Draw a rotation, and find the mean length of rows."""
        vars(self).pop("components_", None)  # of a fit with axes
        n_features = centred.shape[1]
        seed = None
        if self.rotation == "hadamard":
            seed = check_random_state(self.random_state).randint(2**31 - 1)
        self._signs = random_signs(n_features, seed)
        self.scale_ = float(unit * np.linalg.norm(centred, axis=1).mean()) or 1.0
        group_size, gain_bits = self.group_size, self.gain_bits
        if group_size is None:
            group_size = GROUP_SIZE_OF_ROTATED
        if gain_bits is None:
            gain_bits = gain_bits_at(self.bits)
        self.group_plan_ = even_plan(n_features, self.bits, group_size, gain_bits)
        self.gain_levels_ = beta_law(self.group_plan_, n_features)

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of uint8 of shape (n_samples, n_code_bytes)

        Raises
        ------
        ValueError
            If a number is not finite, or a row is more than 65504 times as long as those
            of training (not with "pca").
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        codes = np.pad(self._encode(X), [(0, 0), (0, 1)])
        return pack_codes(codes, self._widths).reshape(len(X), -1)

    def inverse_transform(self, codes):
        """Decode rows.

        Parameters
        ----------
        codes : array-like of uint8 of shape (n_samples, n_code_bytes)
            From `transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the float type of the training rows.

        Raises
        ------
        ValueError
            If codes have another type or width, or are no code of a row.
        """
        check_is_fitted(self)
        codes = check_array(codes, dtype=None, input_name="codes")
        if codes.dtype != np.uint8 or codes.shape[1] != self.n_code_bytes_:
            raise ValueError(
                f"codes must be uint8 of shape (n_samples, {self.n_code_bytes_}), got "
                f"{codes.dtype} of shape {codes.shape}."
            )
        table = unpack_codes(codes.ravel(), len(codes), self._widths)
        return self._decode(table[:, :-1])

    def _batches(self, n_rows):
        return gen_batches(n_rows, max(1, BATCH_NUMBERS // self.n_features_in_))

    def _encode(self, X):
        """Return all numbers of each row's code."""
        batches = self._batches(len(X))
        return np.vstack(
            [self._encode_batch(X[batch], batch.start) for batch in batches]
        )

    def _encode_batch(self, X, first):
        centred = X - self.mean_.astype(np.float64)
        coding = self.group_plan_, self.gain_levels_
        if hasattr(self, "components_"):
            rows = centred @ self.components_.T
            return encode_rows(rows, None, *coding, np.ones(len(X)))[0]
        with np.errstate(over="ignore", invalid="ignore"):
            rows = rotate(centred / self.scale_, self._signs)
            is_short = np.linalg.norm(rows, axis=1) <= MAX_FLOAT16
        if not is_short.all():
            raise ValueError(
                f"X has a row {first + np.flatnonzero(~is_short)[0]} whose distance from "
                f"mean_ is more than {MAX_FLOAT16:.0f} times scale_={self.scale_:.3g}, the "
                "mean in training, which float16 can't hold."
            )
        codes, scales = encode_scaled_rows(rows, None, *coding)
        return np.column_stack([scales.view(np.uint16).astype(np.uint64), codes])

    def _decode(self, codes):
        """Return the rows of numbers as `_encode` gives them."""
        batches = self._batches(len(codes))
        return np.vstack([self._decode_batch(codes[batch]) for batch in batches])

    def _decode_batch(self, codes):
        coding = self.group_plan_, self.gain_levels_
        if hasattr(self, "components_"):
            rows = decode_rows(codes, *coding) @ self.components_
        else:
            scales = codes[:, 0].astype(np.uint16).view(np.float16).astype(np.float64)
            if not np.isfinite(scales).all():
                raise ValueError("codes hold a scale that is not finite.")
            rows = decode_rows(codes[:, 1:], *coding) * scales[:, None]
            rows = rotate_back(rows, self._signs) * self.scale_
        return (rows + self.mean_).astype(self.mean_.dtype)

    @property
    def _n_features_out(self):
        return self.n_code_bytes_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # bytes, whatever comes in
        return tags


def _levels_of(rows, group):
    """Return levels for the lengths of a group's rows along their directions."""
    if not group.shape_bits:
        return np.empty(0)
    directions = unit_rows(project(rows, group.n_pulses))
    return sample_levels(np.einsum("ij,ij->i", rows, directions), group.gain_bits)
