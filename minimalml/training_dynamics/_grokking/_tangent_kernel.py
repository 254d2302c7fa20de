"""The neural tangent kernel of a network, and how well a kernel goes with a target."""

import numpy as np
from sklearn.utils import check_array

from minimalml._core.array_checks import as_tensor, check_rows
from minimalml._core.arrays import import_torch, is_torch_module, is_torch_tensor
from minimalml._core.validation import validate_params

# Numbers of gradients that are held at once: 128 MB.
CHUNK_NUMBERS = 1 << 24
# Relative to the largest entry.
SYMMETRY_TOLERANCE = 1e-6


@validate_params(
    {"K": ["array-like"], "y": ["array-like"], "centered": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def kernel_target_alignment(K, y, *, centered=True):
    """Measure how well a kernel goes with a target, from -1 to 1.

    Of the kernel of a network's start it says whether lazy training can do: where it is
    low, features have to be learnt. O(n^2) time and memory.

    Parameters
    ----------
    K : array-like of shape (n_samples, n_samples)
        Symmetric kernel matrix.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; classes as columns of zeros and ones.

    centered : bool, default=True
        Whether to centre the kernel and the targets first.

    Returns
    -------
    float
        NaN where the kernel or the target is 0 (after centring).

    Raises
    ------
    ValueError
        If K is not symmetric, or y has not as many rows.

    See Also
    --------
    empirical_ntk : A kernel to give it.

    Notes
    -----
    ``tr(Y.T K Y) / (|K| |Y Y.T|)`` in Frobenius norms.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.training_dynamics import kernel_target_alignment
    >>> x = np.arange(5.0)
    >>> round(kernel_target_alignment(np.outer(x, x), 3 - 2 * x), 6)
    1.0
    """
    K = check_array(K, dtype=np.float64, input_name="K")
    y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    largest = np.abs(K).max()
    if K.shape[0] != K.shape[1] or (
        np.abs(K - K.T).max() > SYMMETRY_TOLERANCE * largest
    ):
        raise ValueError(
            f"K must be symmetric, got a matrix of shape {K.shape} that is not."
        )
    if len(y) != len(K) or y.ndim > 2:
        raise ValueError(
            f"y must have one row for each of the {len(K)} rows of K, got shape {y.shape}."
        )
    K, Y = _unit(K), _unit(y.reshape(len(y), -1))
    if centered:
        K = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
        Y = Y - Y.mean(axis=0)
    rounding = len(K) * np.finfo(float).eps  # what centring leaves of a constant
    if np.abs(K).max() <= rounding or np.abs(Y).max() <= rounding:
        return np.nan
    norms = np.linalg.norm(K) * np.linalg.norm(Y.T @ Y)
    return float(np.sum((K @ Y) * Y) / norms)


def _unit(values):
    """Return numbers of at most 1, whose squares neither overflow nor vanish."""
    return values / (np.abs(values).max() or 1.0)


def empirical_ntk(module, X, X2=None):
    """Return the neural tangent kernel of a network at its present weights.

    ``K(x, x') = sum_o grad f_o(x) . grad f_o(x')`` over outputs o, and over the weights
    that are trained. Two kernels along a run tell how far the features moved.

    Memory is that of the gradients of a chunk of rows, at most 128 MB where one row
    takes less; time that of as many backward passes as there are rows and outputs, and
    of n_samples n_samples_2 products of gradients.

    Parameters
    ----------
    module : torch.nn.Module
        Used in evaluation mode. Its layers must allow `torch.func.vmap`.

    X : array-like or tensor of shape (n_samples, n_features)
        Rows.

    X2 : array-like or tensor of shape (n_samples_2, n_features), default=None
        Other rows; None takes X.

    Returns
    -------
    ndarray or tensor of shape (n_samples, n_samples_2)
        In the float type of an array X; a tensor, on the module's device, of a tensor.

    Raises
    ------
    ImportError
        If torch is not installed.
    TypeError
        If ``module`` is no torch module.
    ValueError
        If it has no weights to train, or a number is not finite.

    Examples
    --------
    >>> import torch
    >>> from minimalml.training_dynamics import empirical_ntk
    >>> empirical_ntk(torch.nn.Linear(2, 1), [[1.0, 2.0], [3.0, 4.0]]).tolist()
    [[6.0, 12.0], [12.0, 26.0]]
    """
    import_torch("empirical_ntk")
    if not is_torch_module(module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}."
        )
    from minimalml.training_dynamics._grokking._tangent_kernel_torch import (
        tangent_kernel,
    )

    X = check_rows(X)
    X2 = None if X2 is None else check_rows(X2, name="X2")
    weights = {n: p.detach() for n, p in module.named_parameters() if p.requires_grad}
    if not weights:
        raise ValueError(f"module {type(module).__name__} has no weights to train.")
    like = next(iter(weights.values()))
    rows = [
        None if part is None else as_tensor(part, dtype=like.dtype, device=like.device)
        for part in (X, X2)
    ]
    K = tangent_kernel(module, weights, *rows, chunk_numbers=CHUNK_NUMBERS)
    return K if is_torch_tensor(X) else K.cpu().numpy().astype(X.dtype, copy=False)
