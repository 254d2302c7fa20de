"""Quantised models in one file, read without running code from it."""

import json

import numpy as np

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.models.weights import (
    model_buffers,
    model_weights,
    set_model_weights,
)
from minimalml.compression._weight_codec import EncodedWeight
from minimalml.compression._weight_matrices import as_stored

VERSION = 1


def save_weights(path, model, encoded):
    """Write encoded weights, and all others and buffers as they are, to an npz file."""
    arrays = {
        f"{name}/{key}": array
        for name, weight in encoded.items()
        for key, array in weight.arrays.items()
    }
    others = {
        name: w for name, w in model_weights(model).items() if name not in encoded
    }
    arrays |= {str(name): _as_array(weight) for name, weight in others.items()}
    buffers = model_buffers(model).items()
    arrays |= {f"buffer/{name}": _as_array(buffer) for name, buffer in buffers}
    meta = {
        "version": VERSION,
        "encoded": {
            name: {"codec": w.codec, "shape": list(w.shape), "meta": w.meta}
            for name, w in encoded.items()
        },
    }
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


def load_weights(model, path):
    """Load a quantised model's weights from a file into a model of the same structure.

    Codes are decoded by the codecs that are imported; nothing of the file is executed.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        Fitted, of the same layers; changed in place.

    path : str, path or file
        What `WeightQuantizer.save` wrote.

    Returns
    -------
    model
        The model that was given.

    Raises
    ------
    ValueError
        If the file is of another version, needs a codec that is not imported, or has
        weights that the model has not.

    Examples
    --------
    >>> import io
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.compression import WeightQuantizer, load_weights
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> quantizer, file = WeightQuantizer(model).fit(X), io.BytesIO()
    >>> quantizer.save(file)
    >>> _ = file.seek(0)
    >>> bool((load_weights(model, file).coef_ == quantizer.estimator_.coef_).all())
    True
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if "meta" not in arrays:
        raise ValueError("the file has no meta: it is none that save wrote.")
    meta = json.loads(arrays.pop("meta").tobytes().decode())
    if meta.get("version") != VERSION:
        raise ValueError(
            f"the file has version {meta.get('version')!r}, this library reads {VERSION}."
        )
    weights = {}
    for name, of_weight in meta["encoded"].items():
        prefix = f"{name}/"
        parts = {
            key.removeprefix(prefix): arrays.pop(key)
            for key in list(arrays)
            if key.startswith(prefix)
        }
        shape = tuple(of_weight["shape"])
        matrix = EncodedWeight(of_weight["codec"], shape, parts, of_weight["meta"])
        weights[name] = _stored(model, name, matrix.decode())
    buffers = {
        key.removeprefix("buffer/"): arrays.pop(key)
        for key in list(arrays)
        if key.startswith("buffer/")
    }
    set_model_weights(model, weights | arrays)
    for name, buffer in model_buffers(model).items():
        from minimalml._core.models.weights_torch import write_tensor

        write_tensor(buffer, buffers[name])
    return model


def _stored(model, name, matrix):
    if name not in model_weights(model):
        raise ValueError(
            f"the file has a weight named {name!r}; the model has "
            f"{sorted(model_weights(model))}."
        )
    weight = model_weights(model)[name]
    if np.prod(tuple(weight.shape)) != matrix.size:
        raise ValueError(
            f"weight {name!r} has shape {tuple(weight.shape)} in the model and "
            f"{matrix.shape} in the file."
        )
    return as_stored(model, name, matrix)


def _as_array(array):
    """Return an array; NumPy has no bfloat16, whose numbers float32 holds exactly."""
    is_unknown = is_torch_tensor(array) and str(array.dtype) == "torch.bfloat16"
    return to_numpy(array.float() if is_unknown else array)
