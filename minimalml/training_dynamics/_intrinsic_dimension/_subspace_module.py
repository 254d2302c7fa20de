"""Networks in a random subspace of their weights, for a training loop of one's own.

Li et al., ICLR 2018; by layers: Aghajanyan et al., ACL 2021.
"""

import numpy as np

from minimalml._core.arrays import import_torch, is_torch_module
from minimalml.training_dynamics._intrinsic_dimension._fastfood import (
    FastfoodProjection,
    draw_seed,
    refuse_no_count,
)

PROJECTIONS = ("fastfood", "dense")
# Of a dense matrix in double precision.
DENSE_BYTES_LIMIT = 2e9


class TooFewDimensionsError(ValueError):
    """The scales of layers leave nothing of the dimension."""


def subspace_module(
    module,
    dimension,
    *,
    projection="fastfood",
    structure_aware=False,
    random_state=None,
):
    """Return a network that moves in a random subspace through its present weights.

    For a training loop of your own; `SubspaceClassifier` has one. It is called as the
    network is, and ``to_module()`` gives that back with the trained weights. Few numbers
    move far: take a larger learning rate, such as 0.1 of Adam. A step costs O(D log D)
    more than one of the network, and O(D) memory, or O(D dimension) with "dense".

    Parameters
    ----------
    module : torch.nn.Module
        The start, which is copied. Parameters that need no gradient stay as they are;
        tied ones count once. Buffers, such as batch statistics, do as usual.

    dimension : int
        Of the subspace, from 1 to D, the number of weights that need gradients.

    projection : {"fastfood", "dense"}, default="fastfood"
        The random map; "dense" is a Gaussian matrix with columns of unit length.

    structure_aware : bool, default=False
        Whether each layer, a module with trained parameters of its own, gets a map of
        its own and a trained scale (SAID). The scales are part of ``dimension``.

    random_state : int, RandomState instance or None, default=None
        An int draws the same subspace everywhere.

    Returns
    -------
    torch.nn.Module
        Its parameters are ``theta_sub``, and with ``structure_aware`` ``layer_scale``.
        They and the buffers are its ``state_dict``, what is stored beside the seed.

    Raises
    ------
    TypeError
        If ``module`` is no torch module.
    ValueError
        If ``dimension`` is no integer from 1 to D, or with ``structure_aware`` not above
        the number of layers; no parameter needs a gradient; ``projection`` is unknown,
        "dense" with ``structure_aware``, or takes over 2 GB.

    References
    ----------
    Li et al., "Measuring the intrinsic dimension of objective landscapes", ICLR 2018;
    Aghajanyan et al., "Intrinsic dimensionality explains the effectiveness of language
    model fine-tuning", ACL 2021.

    Examples
    --------
    >>> import torch
    >>> from minimalml.training_dynamics import subspace_module
    >>> small = subspace_module(torch.nn.Linear(20, 2), 30, random_state=0)
    >>> [(name, tuple(p.shape)) for name, p in small.named_parameters()]
    [('theta_sub', (30,))]
    >>> small(torch.ones(4, 20)).shape
    torch.Size([4, 2])
    """
    import_torch("subspace_module")
    from minimalml._core.training.modules import copy_module
    from minimalml.training_dynamics._intrinsic_dimension._subspace_torch import (
        SubspaceModule,
        layer_sizes,
    )

    if not is_torch_module(module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}."
        )
    seed, sizes = draw_seed(random_state), layer_sizes(module)
    projections = draw_projections(projection, dimension, sizes, structure_aware, seed)
    return SubspaceModule(copy_module(module), projections, structure_aware)


def draw_projections(projection, dimension, sizes, structure_aware, seed):
    """Return the map into all weights, or one for each layer of ``sizes``, as a list."""
    refuse_no_count("dimension", dimension)
    if projection not in PROJECTIONS:
        raise ValueError(
            f"projection must be one of {PROJECTIONS}, got {projection!r}."
        )
    if not sizes:
        raise ValueError("module has no parameters that need gradients.")
    n_full, n_layers = sum(sizes), len(sizes)
    if dimension > n_full:
        raise ValueError(f"dimension must be at most {n_full}, got {dimension}.")
    if structure_aware:
        if projection != "fastfood":
            raise ValueError(f"structure_aware needs 'fastfood', got {projection!r}.")
        if dimension <= n_layers:
            raise TooFewDimensionsError(
                f"dimension must be more than the {n_layers} layers with "
                f"structure_aware=True, got {dimension}."
            )
        return [
            FastfoodProjection(dimension - n_layers, size, seed + number)
            for number, size in enumerate(sizes)
        ]
    if projection == "fastfood":
        return [FastfoodProjection(dimension, n_full, seed)]
    return [_dense_projection(dimension, n_full, seed)]


def _dense_projection(dimension, n_full, seed):
    n_bytes = 8.0 * dimension * n_full
    if n_bytes > DENSE_BYTES_LIMIT:
        raise ValueError(
            f"projection='dense' takes {n_bytes / 1e9:.1f} GB for dimension={dimension} "
            f"and {n_full} parameters, more than {DENSE_BYTES_LIMIT / 1e9:g}: take "
            "'fastfood'."
        )
    matrix = np.random.default_rng(seed).standard_normal((n_full, dimension))
    matrix /= np.linalg.norm(matrix, axis=0)
    return matrix
