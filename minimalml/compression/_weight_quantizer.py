"""Quantise the linear layers of a fitted model, layer after layer, without training."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _num_samples

from minimalml._core.arrays import to_numpy
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import (
    DelegatingMixin,
    rows_of_last_step,
    sample_weight_of_last_step,
)
from minimalml._core.models.prefit import (
    PREFIT_CONSTRAINT,
    copy_of_trained,
    estimator_to_use,
)
from minimalml._core.models.weights import (
    model_buffers,
    model_weights,
    set_model_weights,
    weight_matrices,
)
from minimalml._core.validation import (
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
)
from minimalml.compression._layer_inputs import layer_inputs, layer_moments
from minimalml.compression._uniform_codec import UniformCodec
from minimalml.compression._weight_codec import WeightCodec, relative_output_error
from minimalml.compression._weight_files import save_weights
from minimalml.compression._weight_matrices import (
    as_float64,
    as_matrix,
    as_stored,
    linear_layers,
)

# Matrices whose codes would need as many bits are left as they are.
TOO_MANY_BITS = 16


class WeightQuantizer(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Store the weights of an estimator in a few bits each, without training.

    Each linear layer's matrix is encoded so that its outputs change least on the rows at
    hand; errors of earlier layers are made up for, and biases corrected. A few hundred
    rows without labels suffice. For smaller files: what predicts are the decoded weights,
    in the dtype that they had. Zeros of a pruned model do not stay zeros.

    Parameters
    ----------
    estimator : estimator or torch.nn.Module, default=None
        What to quantise: a linear model, MLPClassifier, MLPRegressor, a pipeline, search
        or pruner that ends in one, an estimator with a network in ``module_``, or a torch
        module. None is ``LogisticRegression()``. It is never changed.

    codec : WeightCodec, default=None
        How a matrix becomes codes; None is ``UniformCodec()``, of 4 bits.

    calibration : {"sequential", "parallel"}, default="sequential"
        Whether a layer is encoded for what reaches it once the layers before it are
        quantised, which is better, or for what reached it in the original, which takes
        one pass. Models that route rows, mixtures of experts, need "parallel".

    damping : float, default=0.01
        What is added to the diagonal of the inputs' second moments, over its mean. Raise
        it where rows are few.

    exclude : str, list of str or callable, default=None
        Names of weights to leave alone, or ``exclude(name) -> bool``.

    prefit : bool or "auto", default="auto"
        Whether ``estimator`` is used as it is fitted. "auto" does so for a fitted or
        frozen estimator and for torch modules, and fits a clone of others. Cloning, as
        in a search, forgets a fit: wrap it in FrozenEstimator to keep it.

    random_state : int, RandomState instance or None, default=None
        Seeds codecs that draw and have no ``random_state`` of their own.

    verbose : int, default=0
        1 prints a line for each layer.

    Attributes
    ----------
    estimator_ : estimator or torch.nn.Module
        The copy with decoded weights.

    encoded_ : dict of str to EncodedWeight
        By the names of the weights.

    skipped_ : dict of str to str
        Matrices and kernels that stay as they are, and why.

    layer_bits_per_weight_, layer_error_ : dict of str to float
        Stored bits a weight, and the error of the layer's outputs on the rows given over
        their size (empty without rows).

    bits_per_weight_ : float
        Over all encoded matrices.

    size_bytes_ : int
        Codes, and all other weights and buffers in their dtype.

    compression_ratio_ : float
        Bytes before over ``size_bytes_``.

    classes_ : ndarray of shape (n_classes,)
        Of classifiers.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, if they all are strings.

    See Also
    --------
    GlobalMagnitudePruner : Remove weights; may stand inside.
    load_weights : Read what `save` wrote.

    Notes
    -----
    With W the matrix, x0 what reached the layer and x what reaches it now, what is
    encoded is the minimiser of ``E|W x0 - Q x|^2 + damping |W - Q|^2`` over all Q, and
    errors are measured by the damped second moments H of x: centred where the layer has a
    bias, which then takes up the mean of the error exactly.

    References
    ----------
    .. [1] E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training
       Quantization for Generative Pre-trained Transformers", ICLR 2023. arXiv:2210.17323

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.compression import UniformCodec, WeightQuantizer
    >>> X, y = load_digits(return_X_y=True)
    >>> model = LogisticRegression(tol=0.01).fit(X / 16, y)
    >>> quantizer = WeightQuantizer(model, UniformCodec(2)).fit(X / 16)
    >>> quantizer.bits_per_weight_
    2.55
    >>> quantizer.score(X / 16, y) > 0.9
    True
    """

    _parameter_constraints = {
        "codec": [WeightCodec, None],
        "calibration": [StrOptions({"sequential", "parallel"})],
        "damping": [Interval(Real, 0, None, closed="left")],
        "exclude": [str, "array-like", callable, None],
        "prefit": PREFIT_CONSTRAINT,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        codec=None,
        *,
        calibration="sequential",
        damping=0.01,
        exclude=None,
        prefit="auto",
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.codec = codec
        self.calibration = calibration
        self.damping = damping
        self.exclude = exclude
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit the estimator if it is not, then quantise a copy of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows on which the outputs of layers are to stay; None, for a fitted estimator:
            matrices are encoded by themselves, and biases stay.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, where the estimator is to be fitted.

        **params : dict
            Passed to the estimator's ``fit``, by metadata routing where that is on;
            ``sample_weight`` also weighs the rows here.

        Returns
        -------
        self : WeightQuantizer

        Raises
        ------
        TypeError
            If the estimator has no weights that can be reached.
        ValueError
            If numbers are not finite, ``exclude`` names no weight, or X is None and the
            estimator has to be fitted.
        sklearn.exceptions.NotFittedError
            If ``prefit=True`` and the estimator is not fitted.
        """
        params = self._route("fit", params)
        self.estimator_, needs_fit = estimator_to_use(
            self._estimator(), self.prefit, is_changed=True
        )
        if needs_fit and X is None:
            raise ValueError(
                "X=None needs a fitted estimator: fit it first, or give X and y."
            )
        with fit_task(self, X, y) as task:
            if needs_fit:
                with task.step("dense fit", inner=self.estimator_):
                    self.estimator_.fit(X, y, **params)
            self._take_feature_names()
            rows = weights = None
            if X is not None:
                rows = rows_of_last_step(self.estimator_, X)
                rows = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
                [rows] = indexable(rows)
                weights = sample_weight_of_last_step(self.estimator_, params)
            self._quantize(rows, weights, task)
        self._report()
        return self

    def _estimator(self):
        return LogisticRegression() if self.estimator is None else self.estimator

    def _quantize(self, X, sample_weight, task):
        """Encode layer after layer."""
        layers = self._layers(X)
        original = copy_of_trained(self.estimator_)
        moments = {}
        if X is not None and self.calibration == "parallel":
            moments = layer_moments(original, None, list(layers), X, sample_weight)
        generator = check_random_state(self.random_state)
        self.encoded_, self.layer_error_, self.layer_bits_per_weight_ = {}, {}, {}
        for name, bias in layers.items():
            if task.is_stopped:
                self.skipped_[name] = "stopped by a callback"
                continue
            with task.step("layer", attributes={}):
                if X is not None and self.calibration == "sequential":
                    # before the first encoded layer both models are the same
                    reference = original if self.encoded_ else None
                    moments = layer_moments(
                        self.estimator_, reference, [name], X, sample_weight
                    )
                self._encode(name, bias, original, moments.get(name), generator)

    def _layers(self, X):
        """Names of matrices to encode and their biases, in the order of calls."""
        chosen = weight_matrices(self.estimator_, self.exclude, is_changed=True)
        layers, self.skipped_ = linear_layers(self.estimator_)
        excluded = [name for name in layers if name not in chosen]
        self.skipped_ |= dict.fromkeys(excluded, "excluded")
        layers = {name: layers[name] for name in layers if name in chosen}
        if X is None:
            return layers
        called = list(layer_inputs(self.estimator_, list(layers), X[:1]))
        unreached = [name for name in layers if name not in called]
        self.skipped_ |= dict.fromkeys(unreached, "no row reaches it")
        n_inputs = max(
            (as_matrix(self.estimator_, n).shape[1] for n in called), default=0
        )
        if 4 * _num_samples(X) < n_inputs:
            warnings.warn(
                f"{_num_samples(X)} rows are few for layers of up to {n_inputs} inputs: "
                "give more, or raise damping.",
                UserWarning,
                stacklevel=6,
            )
        return {name: layers[name] for name in called}

    def _encode(self, name, bias, original, moments, generator):
        codec = clone(UniformCodec() if self.codec is None else self.codec)
        if codec.get_params().get("random_state", 0) is None:
            codec.set_params(random_state=generator.randint(2**31 - 1))
        weight, hessian = as_matrix(original, name), None
        target = weight
        if moments is not None:
            options = {"damping": self.damping, "center": bias is not None}
            hessian = moments.hessian(**options)
            target = moments.target(weight, **options)
        encoded = codec.encode(target, hessian)
        if encoded.bits_per_weight >= TOO_MANY_BITS:
            self.skipped_[name] = (
                f"codes would take {encoded.bits_per_weight:.1f} bits a weight"
            )
            return
        decoded = encoded.decode()
        values = {name: as_stored(self.estimator_, name, decoded)}
        if moments is not None and bias is not None:
            values[bias] = self._corrected(bias, original, moments, weight, decoded)
        set_model_weights(self.estimator_, values)
        self.encoded_[name] = encoded
        self.layer_bits_per_weight_[name] = encoded.bits_per_weight
        if hessian is not None:
            error = relative_output_error(weight, decoded, hessian)
            self.layer_error_[name] = error
        if self.verbose:
            told = f"{name}: {encoded.bits_per_weight:.2f} bits a weight"
            told += "" if hessian is None else f", output error {error:.3g}"
            print(f"[WeightQuantizer] {told}")

    @staticmethod
    def _corrected(bias, original, moments, weight, decoded):
        """Return the bias that leaves no mean error of the layer's outputs."""
        mean = to_numpy(moments.mean)
        wanted = moments.mean_reference
        wanted = mean if wanted is None else to_numpy(wanted)
        old = as_float64(model_weights(original)[bias])
        change = weight @ wanted - decoded @ mean
        return old + change.reshape(old.shape)

    def _report(self):
        """Set the attributes that tell sizes."""
        weights = model_weights(self.estimator_)
        others = [w for name, w in weights.items() if name not in self.encoded_]
        others += list(model_buffers(self.estimator_).values())
        n_encoded = sum(weight.nbytes for weight in self.encoded_.values())
        self.size_bytes_ = n_encoded + sum(array.nbytes for array in others)
        n_dense = sum(array.nbytes for array in weights.values())
        n_dense += sum(b.nbytes for b in model_buffers(self.estimator_).values())
        self.compression_ratio_ = n_dense / self.size_bytes_
        if self.encoded_:
            size = sum(np.prod(w.shape) for w in self.encoded_.values())
            self.bits_per_weight_ = float(8 * n_encoded / size)
            return
        first = next(iter(weights.values()))
        self.bits_per_weight_ = 8 * first.nbytes / np.prod(tuple(first.shape))
        warnings.warn(
            f"nothing was quantised: {self.skipped_}.", UserWarning, stacklevel=5
        )

    def save(self, path):
        """Write the quantised model to one file, which `load_weights` reads.

        Parameters
        ----------
        path : str, path or file
            Of an ``.npz`` file; its size is ``size_bytes_`` and a few hundred bytes an
            array.
        """
        check_is_fitted(self)
        save_weights(path, self.estimator_, self.encoded_)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "encoded_")
