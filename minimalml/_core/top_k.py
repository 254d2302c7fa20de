"""The k largest values along an axis, the same ones wherever values are equal."""

import numpy as np

from minimalml._core.arrays import is_torch_tensor


def top_k_stable(values, k, axis=-1):
    """Return where the ``k`` largest values stand, the largest first.

    Of equal values that of the lower index comes first, which neither
    ``np.argpartition`` nor ``torch.topk`` promises.

    Parameters
    ----------
    values : ndarray or tensor
        Without NaN.

    k : int
        From 0 to the length of the axis.

    axis : int, default=-1
        Along which axis.

    Returns
    -------
    ndarray or tensor of int
        Indices for ``take_along_axis``; the shape of ``values`` with ``k`` along the
        axis.

    Notes
    -----
    O(n) for NumPy's n values, O(n log n) for tensors.
    """
    if is_torch_tensor(values):
        order = values.sort(dim=axis, descending=True, stable=True).indices
        return order.narrow(axis, 0, k)
    values = np.moveaxis(values, axis, -1)
    if k == 0:
        return np.moveaxis(np.empty((*values.shape[:-1], 0), np.intp), -1, axis)
    smallest = np.partition(values, -k)[..., -k, None]
    is_above, is_tied = values > smallest, values == smallest
    n_open = k - is_above.sum(-1, keepdims=True)
    is_chosen = is_above | (is_tied & (is_tied.cumsum(-1) <= n_open))
    chosen = is_chosen.nonzero()[-1].reshape(*values.shape[:-1], k)  # ascending
    chosen = chosen[..., ::-1]
    order = np.take_along_axis(values, chosen, -1).argsort(-1, kind="stable")
    return np.moveaxis(np.take_along_axis(chosen, order[..., ::-1], -1), -1, axis)
