"""What a module's fine-tuning minimises: told by its output and the kind of targets."""

import math

import numpy as np
from torch.nn import functional

from minimalml._core.array_checks import encode_labels


def make_loss(y, output, classes=None):
    """Return the loss of each row as ``loss(output, targets)``, and the targets for it.

    ``output`` is what the module makes of a row, ``classes`` are the labels of its
    columns where an estimator knows them. Without, integers are places in the output;
    floats, and integers of the shape of the output, are numbers.
    """
    n_outputs = output.shape[1] if output.ndim > 1 else 1
    n_classes = max(n_outputs, 2)
    if classes is not None:
        if len(classes) != n_classes:
            raise ValueError(
                f"the module has {n_outputs} outputs for the {len(classes)} classes of "
                "its estimator."
            )
        y = encode_labels(y, classes)
    has_shape_of_output = y.ndim > 1 and y.shape[1:] == output.shape[1:]
    if y.dtype.kind not in "iub" or has_shape_of_output:
        return _squared_error, _check_numbers(y, output)
    y = y.astype(np.int64)
    if y.min() < 0 or y.max() >= n_classes:
        raise ValueError(
            f"y has the label {y.min() if y.min() < 0 else y.max()}, but the module's "
            f"{n_outputs} outputs stand for the labels 0 to {n_classes - 1}: number "
            "them so, or pass floats to fit numbers."
        )
    return (_logistic if n_outputs == 1 else _cross_entropy), y


def _check_numbers(y, output):
    if y.dtype.kind not in "fiub":
        raise ValueError(
            "y must hold integers, the places of the classes in the module's output, "
            f"or floats, got dtype {y.dtype}."
        )
    if math.prod(y.shape[1:]) != math.prod(output.shape[1:]):
        raise ValueError(
            f"y of {y.dtype} and shape {y.shape} does not fit the module's output of "
            f"shape ({len(y)}, {', '.join(map(str, output.shape[1:]))}): pass integers "
            "for classes."
        )
    return y


def _squared_error(output, y):
    return (output - y.reshape(output.shape).to(output.dtype)) ** 2


def _logistic(output, y):
    return functional.binary_cross_entropy_with_logits(
        output.reshape(y.shape), y.to(output.dtype), reduction="none"
    )


def _cross_entropy(output, y):
    return functional.cross_entropy(output, y, reduction="none")
