"""The affine last layer of a classifier, and the features that it acts on.

A classifier whose scores are ``A f(x) + b`` is seen as the pair (A, b) and the map f:
the identity for linear classifiers, the hidden layers of a network. Affine steps of a
pipeline are folded into the first layer, so x is always the pipeline's own input.
Binary classifiers get two rows, ``A = [0; w]``.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, NuSVC

from minimalml._core.arrays import is_torch_module
from minimalml._core.models.affine_steps import (
    AFFINE_STEPS,
    AffineMap,
    split_off_affine_steps,
)
from minimalml._core.models.torch_head import TorchHead
from minimalml._core.validation import check_is_fitted

# coef_ may be stored in float32
LINEAR_TOLERANCE = 1e-6

SUPPORTED = (
    "linear classifiers with coef_ and intercept_, MLPClassifier, torch modules or "
    "estimators that hold one in module_, each alone or after affine steps "
    f"({AFFINE_STEPS}) in a Pipeline"
)


def linear_head(model, sample=None, *, input_shape=None):
    """Read the affine last layer of a fitted classifier.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        A fitted classifier. Pipelines, searches, frozen and pruned estimators are
        looked into.

    sample : array-like of shape (n_samples, n_features), default=None
        A few inputs; needed for torch modules only, whose layers are found by running
        them.

    input_shape : tuple of int, default=None
        Shape of one input of a torch module, where it is not flat.

    Returns
    -------
    NumpyHead or TorchHead
        Both have ``weight`` (n_classes, n_head_features), ``bias`` (n_classes,),
        ``classes``, ``features(X)``, ``logits(X)`` and ``logits_and_pullback(X)``.

    Raises
    ------
    TypeError
        If the scores are not affine in some features that can be read.
    NotFittedError
        If ``model`` is a scikit-learn estimator that was not fitted.
    ValueError
        If ``model`` is a torch module and ``sample`` is missing.
    """
    before, model = split_off_affine_steps(model)
    if is_torch_module(model):
        return TorchHead.read(model, None, sample, before, input_shape)
    check_is_fitted(model)
    if is_torch_module(getattr(model, "module_", None)):
        classes = getattr(model, "classes_", None)
        return TorchHead.read(model.module_, classes, sample, before, input_shape)
    if isinstance(model, MLPClassifier):
        return _read_mlp(model, before)
    return _read_linear_classifier(model, before)


def _with_zero_class(scores):
    """Put a column of zeros before the single score of a binary classifier."""
    return np.column_stack([np.zeros_like(scores), scores])


def _read_linear_classifier(model, before):
    name = type(model).__name__
    if not (hasattr(model, "coef_") and hasattr(model, "intercept_")):
        raise TypeError(f"{name} has no linear head; supported are {SUPPORTED}.")
    if not hasattr(model, "classes_") or isinstance(model, SVC | NuSVC):
        raise TypeError(
            f"{name} does not score each class by one linear function; supported are "
            f"{SUPPORTED}."
        )
    coef = model.coef_.toarray() if sparse.issparse(model.coef_) else model.coef_
    coef = np.atleast_2d(coef)
    bias = np.broadcast_to(model.intercept_, len(coef))
    layer = AffineMap(coef.T, bias)
    _check_scores(model, layer)
    return _numpy_head(model, [layer], before)


def _check_scores(model, layer):
    """Hold the coefficients to the model's own scores, on two made-up rows."""
    if not hasattr(model, "decision_function"):
        return
    rows = np.random.default_rng(0).standard_normal((2, len(layer.scale)))
    scores = np.reshape(model.decision_function(rows), (2, -1))
    ours = layer(rows)
    if ours.shape != scores.shape or not np.allclose(
        ours,
        scores,
        rtol=LINEAR_TOLERANCE,
        atol=LINEAR_TOLERANCE * np.abs(scores).max(),
    ):
        raise TypeError(
            f"The scores of {type(model).__name__} are not coef_ @ x + intercept_; "
            f"supported are {SUPPORTED}."
        )


def mlp_layers(model):
    """Return all layers of a fitted MLPClassifier or MLPRegressor as `AffineMap`."""
    return [
        AffineMap(weight, bias)
        for weight, bias in zip(model.coefs_, model.intercepts_, strict=True)
    ]


def _read_mlp(model, before):
    return _numpy_head(model, mlp_layers(model), before, model.activation)


def _numpy_head(model, layers, before, activation="identity"):
    n_outputs, classes = layers[-1].scale.shape[1], model.classes_
    n_classes = 2 if n_outputs == 1 else n_outputs
    if len(classes) == 1:
        raise ValueError(f"{type(model).__name__} was fitted on 1 class, needs 2.")
    binarizer = getattr(model, "_label_binarizer", None)
    is_multilabel = getattr(binarizer, "y_type_", "").startswith("multilabel")
    if is_multilabel or len(classes) != n_classes:
        raise TypeError(
            f"{type(model).__name__} was fitted with several labels a row; a linear "
            "head needs one class a row."
        )
    if n_outputs == 1:
        last = layers[-1]
        layers[-1] = AffineMap(
            _with_zero_class(last.scale[:, 0]), np.append(0.0, last.offset)
        )
    if before is not None:
        layers[0] = before.then(layers[0])
    return NumpyHead(tuple(layers), activation, classes)


# activation and its derivative as a function of the activation's value
ACTIVATIONS = {
    "identity": (lambda z: z, lambda a: 1.0),
    "logistic": (expit, lambda a: a * (1.0 - a)),
    "tanh": (np.tanh, lambda a: 1.0 - a * a),
    "relu": (partial(np.maximum, 0.0), lambda a: a > 0.0),
}


@dataclass(frozen=True)
class NumpyHead:
    """A classifier of affine layers with one activation between them, in NumPy.

    Attributes
    ----------
    layers : tuple of AffineMap
        All layers, the head last; a linear classifier has only the head.
    activation : {"identity", "logistic", "tanh", "relu"}
        What stands between two layers.
    classes : ndarray of shape (n_classes,)
        Labels, in the order of the scores.
    """

    layers: tuple
    activation: str
    classes: np.ndarray

    @property
    def weight(self):
        """Rows of the head, shape (n_classes, n_head_features)."""
        return self.layers[-1].scale.T

    @property
    def bias(self):
        """Offsets of the head, shape (n_classes,)."""
        return self.layers[-1].offset

    @property
    def is_linear(self):
        """Whether the features are the input itself."""
        return len(self.layers) == 1

    def prepare(self, values):
        """Return numbers as the head takes them: a float64 array."""
        return np.asarray(values, dtype=np.float64)

    def prepare_classes(self, classes):
        """Return class indices beside `prepare`'s arrays."""
        return classes

    def to_numpy(self, values):
        """Return the head's numbers as an array."""
        return values

    def features(self, X):
        """Map inputs (n, n_features) to what the head acts on."""
        return self._activations(X)[-1]

    def logits(self, X):
        """Score inputs (n, n_features), shape (n, n_classes)."""
        return self.layers[-1](self.features(X))

    def logits_and_pullback(self, X):
        """Score inputs and return the map from score gradients to input gradients."""
        activations = self._activations(X)
        return self.layers[-1](activations[-1]), partial(self._pull_back, activations)

    def _activations(self, X):
        activate, _ = ACTIVATIONS[self.activation]
        activations = [X]
        for layer in self.layers[:-1]:
            activations.append(activate(layer(activations[-1])))
        return activations

    def _pull_back(self, activations, cotangent):
        _, derivative = ACTIVATIONS[self.activation]
        cotangent = self.layers[-1].pull_back(cotangent)
        for layer, value in zip(self.layers[-2::-1], activations[:0:-1], strict=True):
            cotangent = layer.pull_back(cotangent * derivative(value))
        return cotangent
