"""How sparse a model is: weights, bytes, and multiply-adds."""

from dataclasses import dataclass

from minimalml._core.models.flops import layer_bytes, multiply_adds, weight_positions
from minimalml._core.models.named_arrays import count_nonzero, size_of
from minimalml._core.models.weights import model_weights, weight_matrices


@dataclass(frozen=True)
class SparsityReport:
    """What `sparsity_report` counts.

    Attributes
    ----------
    sparsity : float
        Share of zeros among the weights that can be pruned.
    parameter_sparsity : float
        Share of zeros among all parameters.
    n_weights : int
        Weights that can be pruned.
    n_nonzero : int
        Those of them that are not zero.
    layers : dict of str to (int, int, float)
        Of each tensor its size, nonzeros and sparsity.
    dense_bytes : int
        Size of the weights as they are.
    csr_bytes : int
        Size as CSR: value and 4-byte column a nonzero, 4 bytes a row and one more.
    bitmask_bytes : int
        Size as one bit a weight and the nonzero values.
    """

    sparsity: float
    parameter_sparsity: float
    n_weights: int
    n_nonzero: int
    layers: dict
    dense_bytes: int
    csr_bytes: int
    bitmask_bytes: int


@dataclass(frozen=True)
class FlopsReport:
    """What `flops_report` counts, as multiply-adds a row.

    Attributes
    ----------
    dense : int
        Of all weights.
    sparse : int
        Of those that are not zero.
    ratio : float
        ``sparse / dense``.
    layers : dict of str to (int, int)
        Dense and sparse count of each weight tensor.
    """

    dense: int
    sparse: int
    ratio: float
    layers: dict


def sparsity_report(model):
    """Count zeros and bytes of a model's weights.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        Fitted, where it is an estimator; a fitted `GlobalMagnitudePruner` works too.

    Returns
    -------
    SparsityReport

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import sparsity_report
    >>> report = sparsity_report([np.array([[0.0, 1.0], [0.0, 0.0]])])
    >>> report.sparsity, report.dense_bytes, report.csr_bytes, report.bitmask_bytes
    (0.75, 32, 24, 9)
    """
    weights, everything = weight_matrices(model), model_weights(model).values()
    layers = {}
    for name, tensor in weights.items():
        size, kept = size_of(tensor), count_nonzero(tensor)
        layers[name] = size, kept, 1 - kept / max(size, 1)
    n_weights, n_nonzero, _ = map(sum, zip(*layers.values(), strict=True))
    n_parameters, n_used = (
        sum(map(size_of, everything)),
        sum(map(count_nonzero, everything)),
    )
    in_bytes = zip(*map(layer_bytes, weights.values()), strict=True)
    dense, csr, bitmask = map(sum, in_bytes)
    return SparsityReport(
        sparsity=1 - n_nonzero / max(n_weights, 1),
        parameter_sparsity=1 - n_used / max(n_parameters, 1),
        n_weights=n_weights,
        n_nonzero=n_nonzero,
        layers=layers,
        dense_bytes=dense,
        csr_bytes=csr,
        bitmask_bytes=bitmask,
    )


def flops_report(model, X=None):
    """Count the multiply-adds a row of a model, dense and with zeros skipped.

    Each weight counts as often as it is applied to a row: in a convolution once a
    position of the output (in a transposed one of the input). Of torch modules dense and
    convolutional layers are counted.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        As for `sparsity_report`.

    X : array-like or tensor of shape (n_rows, ...), default=None
        Rows for one forward pass of a torch module; a few do.

    Returns
    -------
    FlopsReport

    Raises
    ------
    ValueError
        If the model is a torch module and ``X`` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.compression import flops_report
    >>> flops_report(Ridge().fit(np.eye(3), [1.0, 2.0, 3.0])).dense
    3
    """
    positions = weight_positions(model, X)
    layers = multiply_adds(weight_matrices(model), positions)
    dense = sum(count for count, _ in layers.values())
    sparse = sum(count for _, count in layers.values())
    return FlopsReport(dense, sparse, sparse / max(dense, 1), layers)
