"""Pruning of torch modules in a training loop of one's own, and sparse export."""

import numpy as np
from scipy.sparse import csr_array

from minimalml._core.arrays import import_torch, is_torch_module, is_torch_tensor
from minimalml._core.models.weights import weight_matrices
from minimalml.compression._global_magnitude_pruning._masks import (
    count_to_prune,
    name_weights,
)
from minimalml.compression._global_magnitude_pruning._ranking import Rule
from minimalml.compression._global_magnitude_pruning._selection import zero_masked


def prune_module(
    module, sparsity=None, *, n_keep=None, min_weights=0, min_fraction=None,
    ties="exact", floor_rule="exact", exclude=None, parametrize=False,
):  # fmt: skip
    """Zero the smallest weights of a torch module, all layers together, in place.

    Plain zeros do for a model that is not trained further; ``parametrize=True`` keeps
    them zero in any training loop, by a mask at each use of the weight.

    Parameters
    ----------
    module : torch.nn.Module
        Weights of its dense, convolutional, recurrent and attention layers are pruned;
        tied ones are counted once.

    sparsity, n_keep, min_weights, min_fraction, ties, floor_rule
        As in `global_magnitude_mask`; ``sparsity`` is of all these weights, also in a
        module that was pruned before.

    exclude : str, list of str or callable, default=None
        Names of weights to leave alone, or ``exclude(name) -> bool``.

    parametrize : bool, default=False
        Whether to register a torch parametrization that applies the mask. Optimisers
        made before keep working; `finalize` makes plain weights of it.

    Returns
    -------
    dict of str to boolean tensor
        True marks a weight that was kept.

    Raises
    ------
    TypeError
        If ``module`` is no torch module, or has no weights to prune.
    ValueError
        If a weight is computed from others, as in a module that has masks already, or
        is NaN, or if the floors leave too little to prune.

    Examples
    --------
    >>> import torch
    >>> from minimalml.compression import prune_module
    >>> module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 2))
    >>> masks = prune_module(module, sparsity=0.75)
    >>> int((module[0].weight != 0).sum() + (module[1].weight != 0).sum())
    10
    """
    import_torch("prune_module")
    if not is_torch_module(module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}: use "
            "GlobalMagnitudePruner for estimators."
        )
    rule = Rule("global", min_weights, min_fraction, ties, floor_rule)
    weights = name_weights(weight_matrices(module, exclude, is_changed=True))
    masks = rule.masks(weights, count_to_prune(weights, sparsity, n_keep))
    for name, mask in masks.items():
        zero_masked(weights[name], mask)
    if parametrize:
        from minimalml.compression._global_magnitude_pruning import _keep_mask_torch

        for name, mask in masks.items():
            _keep_mask_torch.register(module, name, mask)
    return masks


def finalize(module):
    """Make plain, pruned weights of a module's masked parametrizations.

    Parameters
    ----------
    module : torch.nn.Module
        Pruned by `prune_module` with ``parametrize=True``; changed in place.

    Returns
    -------
    torch.nn.Module
        The module, with the parameter names that it had before.

    Raises
    ------
    ValueError
        If the module has no such masks.

    Examples
    --------
    >>> import torch
    >>> from minimalml.compression import finalize, prune_module
    >>> module = torch.nn.Linear(8, 4)
    >>> masks = prune_module(module, sparsity=0.75, parametrize=True)
    >>> optimizer = torch.optim.Adam(module.parameters())
    >>> module(torch.ones(2, 8)).sum().backward()
    >>> optimizer.step()
    >>> int((finalize(module).weight != 0).sum())
    8
    """
    import_torch("finalize")
    from minimalml.compression._global_magnitude_pruning import _keep_mask_torch

    if not _keep_mask_torch.remove(module):
        raise ValueError(
            "module has no masks to finalize: prune_module(..., parametrize=True) "
            "registers them."
        )
    return module


def to_sparse(model):
    """Return a model's weight matrices in compressed sparse row form.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        Usually pruned; a fitted `GlobalMagnitudePruner` works too.

    Returns
    -------
    dict of str to scipy.sparse.csr_array or torch tensor
        Weight matrices by name, biases and the like left out. Kernels of convolutions
        come as matrices of shape (n_outputs, -1), a vector as one row. scikit-learn's
        linear classifiers take such a ``coef_``; see their ``sparsify``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml.compression import GlobalMagnitudePruner, to_sparse
    >>> X = np.eye(4)
    >>> pruner = GlobalMagnitudePruner(Ridge(), sparsity=0.5).fit(X, X[:, 0])
    >>> to_sparse(pruner)["coef_"].nnz
    2
    """
    return {name: _to_rows(w) for name, w in weight_matrices(model).items()}


def _to_rows(weights):
    if is_torch_tensor(weights):
        return weights.reshape(weights.shape[0], -1).to_sparse_csr()
    return csr_array(np.atleast_2d(weights))
