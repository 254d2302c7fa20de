"""A network for digits whose two hidden matrices are encoded, and what that costs."""

import warnings
from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml.compression import (
    EncodedWeight,
    UniformCodec,
    VectorCodec,
    WeightQuantizer,
)
from minimalml.compression._layer_inputs import layer_inputs

LAYERS = ("coefs_.0", "coefs_.1")


class UniformWithoutFeedback(UniformCodec):
    """Plain rounding."""

    def encode(self, weight, hessian=None):
        encoded = super().encode(weight)
        return EncodedWeight(
            "UniformCodec", encoded.shape, encoded.arrays, encoded.meta
        )


class VectorWithoutFeedback(VectorCodec):
    """Nearest words, whatever the layer's inputs."""

    def encode(self, weight, hessian=None):
        return super().encode(weight)


@cache
def network(seed):
    """Return a trained network, its training rows, and test rows with labels."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(hidden_layer_sizes=(256, 256), random_state=seed).fit(
            X, y
        )
    return model, X, X_test, y_test


def pre_activations(model, X):
    """Return what the two hidden layers hand to their activation."""
    inputs = layer_inputs(model, LAYERS, X)
    return [
        inputs[name][0] @ model.coefs_[i] + model.intercepts_[i]
        for i, name in enumerate(LAYERS)
    ]


def cost_of(codec, seed, **options):
    """Bits a weight, accuracy and test errors of both layers over their variance."""
    model, X, X_test, y_test = network(seed)
    quantizer = WeightQuantizer(model, codec, exclude="coefs_.2", **options).fit(X)
    wanted = pre_activations(model, X_test)
    found = pre_activations(quantizer.estimator_, X_test)
    errors = [
        np.mean((a - b) ** 2) / np.var(a) for a, b in zip(wanted, found, strict=True)
    ]
    return np.array(
        [quantizer.bits_per_weight_, quantizer.score(X_test, y_test), *errors]
    )
