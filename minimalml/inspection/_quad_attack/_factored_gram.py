"""The Gram matrix of a head with very many classes, never formed.

The ordering programme needs products with it and its entries among few classes; both
come from the weights. Memory is that of the weights, time C p a product.
"""

import numpy as np

from minimalml._core.arrays import is_torch_tensor

# More classes than this make a Gram matrix of more than 3 GB.
LARGEST_GRAM = 20_000
# Numbers in a block of head rows gathered at once: 128 MB.
LARGEST_BLOCK = 2**24


def gram_of(weight, ridge=0.0):
    """Return the Gram matrix of a head's rows, factored if there are too many."""
    if len(weight) > LARGEST_GRAM:
        return FactoredGram(weight, ridge)
    gram = weight @ weight.T
    if ridge:
        gram.flat[:: len(gram) + 1] += ridge
    return gram


def multiply(values, gram):
    """Multiply rows of values (n, n_classes) by a Gram matrix."""
    return gram.multiply(values) if isinstance(gram, FactoredGram) else values @ gram


class FactoredGram:
    """The matrix ``weight @ weight.T + ridge * I``, for NumPy and torch.

    Parameters
    ----------
    weight : array or tensor of shape (n_classes, n_features)
    ridge : float, default=0.0
    """

    def __init__(self, weight, ridge=0.0):
        self.weight, self.ridge = weight, ridge
        self.shape = len(weight), len(weight)

    def __len__(self):
        return len(self.weight)

    @property
    def dtype(self):
        """Type of the entries."""
        return self.weight.dtype

    @property
    def _version(self):
        """Torch's count of changes in place."""
        return self.weight._version

    def to(self, dtype):
        """Return the matrix in another torch type."""
        return FactoredGram(self.weight.to(dtype), self.ridge)

    def multiply(self, values):
        """Multiply rows of values (n, n_classes) by the matrix."""
        return (values @ self.weight) @ self.weight.T + self.ridge * values

    def entries(self, classes):
        """Return the matrix among the classes of each row, (n, m, m) for (n, m)."""
        n, m = classes.shape
        step = max(1, LARGEST_BLOCK // (m * self.weight.shape[1]))
        if is_torch_tensor(classes):
            import torch

            found = self.weight.new_empty(n, m, m)
            ridge = self.ridge * torch.eye(m, dtype=found.dtype, device=found.device)
        else:
            found, ridge = np.empty((n, m, m)), self.ridge * np.eye(m)
        for begin in range(0, n, step):
            rows = self.weight[classes[begin : begin + step]]
            found[begin : begin + step] = rows @ rows.swapaxes(1, 2) + ridge
        return found

    def cosines(self):
        """Return the matrix of cosines; 0 for a row of zeros."""
        length = (self.weight**2).sum(1) ** 0.5
        return FactoredGram(self.weight / (length + (length == 0.0))[:, None])

    def mean_rows(self, classes):
        """Average the matrix's rows over the classes (n, k) of each row."""
        return self.weight[classes].mean(1) @ self.weight.T

    def max(self):
        """Bound the entries of a matrix of cosines."""
        return 1.0
