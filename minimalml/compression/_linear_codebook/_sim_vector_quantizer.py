"""Rows to integer codes and back, by an autoencoder with a codebook in its middle."""

import warnings

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)

from minimalml._core.arrays import resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
)
from minimalml._core.training.network import standard_scale
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.compression._linear_codebook._codebook_usage import (
    check_codes,
    codebook_usage,
)
from minimalml.compression._nearest_codeword import nearest_codeword

FLOATS = [np.float64, np.float32]
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")
AT_LEAST_0 = Interval(Real, 0, None, closed="left")


@document_training
class SimVectorQuantizer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    TorchEstimatorMixin,
    BaseEstimator,
):
    """Turn each row into one integer code, and codes into rows, by a small autoencoder.

    For discrete tokens of rows: a network encodes a row, the nearest word of a codebook
    takes its place, another network decodes it, and all are trained together. The words
    are a linear layer of random vectors, so that training moves all of them, where those
    of a plain codebook mostly die. Use it with hundreds of codes and 16 components or
    more. For the smallest error of fixed rows, `sklearn.cluster.KMeans` is better: it
    has no network to pass. Needs torch. A step costs O(n_codes n_components (batch_size +
    n_components)) beside the network.

    Parameters
    ----------
    n_codes : int, default=256
        Number of words.

    n_components : int, default=32
        Length of a word, and of what the encoder makes of a row.

    hidden_layer_sizes : array-like of int, default=(128,)
        Width of each hidden layer of the built-in encoder, with ReLU; the decoder has
        the same in reverse.

    codebook : {"linear", "free"}, default="linear"
        Whether the words are a linear layer of random vectors, or trained by themselves:
        plain vector quantisation, to compare with.

    train_basis : bool, default=False
        Whether the random vectors are trained too. It lowers the error, and uses fewer
        codes.

    commitment_weight : float, default=0.25
        What the distance counts for that draws latent vectors to their words, beside
        the one that draws words to latent vectors.

    quantization_weight : float, default=1.0
        What these two count for beside the error of reconstruction.

    encoder : torch.nn.Module, default=None
        A network of your own, which is copied, from (n, n_features) to
        (n, n_components). None is the built-in one.

    decoder : torch.nn.Module, default=None
        The way back, to give where there is an ``encoder``, and only there.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode, of ``encoder``, ``codebook`` (a
        `LinearCodebook`) and ``decoder``, for rows less ``mean_``, over ``scale_``.

    codebook_ : ndarray of shape (n_codes, n_components)
        The words.

    code_counts_ : ndarray of int of shape (n_codes,)
        Rows of `fit` that have each code.

    codebook_utilization_ : float
        Share of codes that a row of `fit` has.

    perplexity_ : float
        How many codes, equally frequent, would have the entropy of those of `fit`.

    mean_ : ndarray of shape (n_features_in_,)
        Mean of each column.

    scale_ : float
        Standard deviation of all centred numbers; 1 if it is 0.

    See Also
    --------
    LinearCodebook : The codebook, for networks of your own.
    codebook_usage : Counts, utilization and perplexity of any codes.

    Notes
    -----
    The loss is the mean squared error of the reconstruction, plus
    ``quantization_weight`` times that of `LinearCodebook`. One scale for all columns
    keeps the error in proportion to that of X. ``transform(inverse_transform(codes))``
    need not be ``codes``: a decoded row may be nearer to another word.

    References
    ----------
    .. [1] Zhu, Li, Xin, Xia, Xu, "Addressing Representation Collapse in Vector Quantized
       Models with One Linear Layer", 2024. arXiv:2411.02038

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from minimalml.compression import SimVectorQuantizer
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = SimVectorQuantizer(64, 16, max_epochs=10, random_state=0).fit(X)
    >>> codes = model.transform(X)
    >>> codes.shape, model.inverse_transform(codes).shape
    ((1797, 1), (1797, 64))
    >>> bool(model.codebook_utilization_ > 0.25)
    True
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "n_codes": [AT_LEAST_1],
        "n_components": [AT_LEAST_1],
        "hidden_layer_sizes": ["array-like"],
        "codebook": [StrOptions({"linear", "free"})],
        "train_basis": ["boolean"],
        "commitment_weight": [AT_LEAST_0],
        "quantization_weight": [AT_LEAST_0],
        "encoder": [callable, None],
        "decoder": [callable, None],
    }

    def __init__(
        self,
        n_codes=256,
        n_components=32,
        hidden_layer_sizes=(128,),
        *,
        codebook="linear",
        train_basis=False,
        commitment_weight=0.25,
        quantization_weight=1.0,
        encoder=None,
        decoder=None,
        max_epochs=100,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.n_codes = n_codes
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.codebook = codebook
        self.train_basis = train_basis
        self.commitment_weight = commitment_weight
        self.quantization_weight = quantization_weight
        self.encoder = encoder
        self.decoder = decoder
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.training = training
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train encoder, codebook and decoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, in any scale.

        y : object, default=None
            Not used.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If ``train_basis`` meets a free codebook, one of ``encoder`` and ``decoder``
            is missing or of another width, ``warm_start`` meets a codebook of another
            size or kind, or the loss is not finite after the first epoch.

        Warns
        -----
        UserWarning
            If there are more codes than rows.
        """
        is_new = not self._continues()
        X = validate_data(self, X, dtype=FLOATS, reset=is_new)
        if self.n_codes > len(X):
            warnings.warn(
                f"n_codes={self.n_codes} is more than the {len(X)} rows: some codes stay "
                "without a row.",
                stacklevel=4,
            )
        if is_new:
            self.mean_, self.scale_ = _mean_and_scale(X)
        self._fit_network({"X": self._standardised(X)}, X, y)
        usage = codebook_usage(self._codes_of(X), self.n_codes)
        self.code_counts_ = usage.counts
        self.codebook_utilization_ = usage.utilization
        self.perplexity_ = usage.perplexity
        return self

    def _build_network(self):
        import torch

        from minimalml.compression._linear_codebook._autoencoder_torch import (
            build_autoencoder,
            check_widths,
        )

        is_free = self.codebook == "free"
        if is_free and self.train_basis:
            raise ValueError(
                "train_basis=True needs codebook='linear', got codebook='free', which "
                "has no basis."
            )
        network = build_autoencoder(
            self.encoder, self.decoder, self.n_features_in_, self.hidden_layer_sizes,
            self.n_codes, self.n_components, free=is_free, train_basis=self.train_basis,
        )  # fmt: skip
        dtype = getattr(torch, self._training_settings.dtype)
        network.to(resolve_device(self.device), dtype)
        check_widths(network, self.n_features_in_, self.n_components)
        return network

    def _on_network_ready(self):
        """Check that a warm start goes on with the codebook that is asked for."""
        book = self.module_.codebook
        names = ("n_codes", "n_components", "codebook", "train_basis")
        asked = {name: getattr(self, name) for name in names}
        kind = "free" if book.linear is None else "linear"
        trains = kind == "linear" and book.basis.requires_grad
        values = (book.n_codes, book.n_features, kind, trains)
        present = dict(zip(names, values, strict=True))
        if asked != present:
            raise ValueError(
                f"warm_start=True goes on with {present}, got {asked}: set it to False "
                "to begin anew."
            )
        book.commitment_weight = self.commitment_weight

    def _training_loss(self, batch, state):
        reconstructed, loss = state.network(batch.X)
        return {
            "reconstruction": (reconstructed - batch.X).square().mean(),
            "quantization": self.quantization_weight * loss,
        }

    def _validation_score(self, columns, state):
        """Return minus the error of the rows that are kept for validation."""
        X = columns["X"]
        return -(self._map_rows(self._reconstruct, X) - X).square().mean()

    def _reconstruct(self, X):
        return self.module_(X)[0]

    @property
    def codebook_(self):
        """The words."""
        return self.module_.codebook.codebook().detach().cpu().numpy()

    def encode(self, X):
        """Return what the encoder makes of rows, before words take its place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Latent vectors.
        """
        return self._encoded(self._validated(X))

    def predict(self, X):
        """Return the code of each row: the number of the word nearest to its latent.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Codes from 0 to ``n_codes - 1``.
        """
        return self._codes_of(self._validated(X))

    def transform(self, X):
        """Return the code of each row, as a column.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of int of shape (n_samples, 1)
            Codes, categories for `sklearn.preprocessing.OneHotEncoder`.
        """
        return self.predict(X)[:, None]

    def inverse_transform(self, codes):
        """Decode codes into rows.

        Parameters
        ----------
        codes : array-like of int of shape (n_samples,) or (n_samples, 1)
            Codes from 0 to ``n_codes - 1``.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows in the units of X.

        Raises
        ------
        ValueError
            If codes are not integers in that range, or of another shape.
        """
        check_is_fitted(self)
        book = self.codebook_
        codes = check_codes(codes, len(book))
        is_column = codes.ndim == 1 or codes.shape[1:] == (1,)
        if not (is_column and codes.size):
            raise ValueError(
                "codes must have shape (n_samples,) or (n_samples, 1) with at least 1 "
                f"sample, got {codes.shape}."
            )
        words = book[codes.reshape(-1)]
        rows = self._map_rows(self.module_.decoder, words).cpu().numpy()
        return (rows * self.scale_ + self.mean_).astype(self.mean_.dtype, copy=False)

    def score(self, X, y=None):
        """Return minus the mean squared error of decoded rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : object, default=None
            Not used.

        Returns
        -------
        float
            In squared units of X; at most 0, greater is better.
        """
        X = self._validated(X)
        errors = X - self.inverse_transform(self._codes_of(X))
        return -float(np.mean(errors**2, dtype=np.float64))

    def _validated(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _standardised(self, X):
        return ((X - self.mean_) / self.scale_).astype(X.dtype, copy=False)

    def _encoded(self, X):
        return self._predict_rows(self.module_.encoder, self._standardised(X))

    def _codes_of(self, X):
        return nearest_codeword(self._encoded(X), self.codebook_)[0].astype(np.int64)

    @property
    def _n_features_out(self):
        return 1

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _mean_and_scale(X):
    """Return the mean of each column, and one scale for all."""
    mean = standard_scale(X, None)[0]
    centred = (X - mean).reshape(-1, 1)
    return mean, standard_scale(centred, None)[1][0]
