"""The Gram matrix of a head, which for very many classes is never formed.

The ordering programme needs products with it and its entries among few classes; both
come from the weights. Memory is that of the weights, time C p a product.
"""

from typing import NamedTuple

import numpy as np

from minimalml._core.arrays import array_namespace, is_torch_tensor

# More classes than this make a Gram matrix of more than 3 GB.
LARGEST_GRAM = 20_000
# Numbers in a block of head rows gathered at once: 128 MB.
LARGEST_BLOCK = 2**24


class FactoredGram(NamedTuple):
    """The matrix ``weight @ weight.T + ridge * I`` of weights (n_classes, n_features)."""

    weight: object
    ridge: float = 0.0


def in_double(values):
    """Return numbers in float64; on devices that have none, Apple's, in float32."""
    if not is_torch_tensor(values):
        return np.asarray(values, dtype=np.float64)
    import torch

    is_limited = values.device.type == "mps"
    return values.detach().to(torch.float32 if is_limited else torch.float64)


def gram_of(weight, ridge=0.0):
    """Return the Gram matrix of a head's rows, factored if there are too many."""
    weight = in_double(weight)
    if len(weight) > LARGEST_GRAM:
        return FactoredGram(weight, ridge)
    gram = weight @ weight.T
    if ridge:
        gram.flat[:: len(gram) + 1] += ridge
    return gram


def multiply(values, gram):
    """Multiply rows of values (n, n_classes) by a Gram matrix."""
    if isinstance(gram, FactoredGram):
        return (values @ gram.weight) @ gram.weight.T + gram.ridge * values
    return values @ gram


def entries(gram, classes):
    """Return a Gram matrix among the classes of each row, (n, m, m) for (n, m)."""
    if not isinstance(gram, FactoredGram):
        return gram[classes[:, :, None], classes[:, None, :]]
    xp, (n, m) = array_namespace(classes), classes.shape
    step = max(1, LARGEST_BLOCK // (m * gram.weight.shape[1]))
    found = []
    for begin in range(0, n, step):
        rows = gram.weight[classes[begin : begin + step]]
        found.append(rows @ rows.swapaxes(1, 2))
    found = xp.concatenate(found)
    if gram.ridge:
        found[:, range(m), range(m)] += gram.ridge
    return found
