"""The nearest point of a simplex with at most k non-zeros, of many vectors at once.

The largest k entries are projected onto the simplex; the rest is zero. This is the twin
over whole arrays, NumPy's or torch's, of what the kernel does to a column.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.top_k import top_k_stable
from minimalml._core.validation import Interval, validate_params


@validate_params(
    {
        "v": ["array-like"],
        "max_nonzeros": [Interval(Integral, 1, None, closed="left")],
        "total": [Interval(Real, 0, None, closed="left")],
        "axis": [Integral],
    },
    prefer_skip_nested_validation=True,
)
def project_sparse_simplex(v, max_nonzeros, *, total=1.0, axis=-1):
    """Find the nearest vectors of a simplex that have few non-zeros.

    Parameters
    ----------
    v : array-like of shape (..., n, ...)
        Vectors along an axis; float32 stays float32.

    max_nonzeros : int
        Non-zeros that a vector may have, from 1 to n; n is the plain projection.

    total : float, default=1.0
        What a vector sums to, at least 0.

    axis : int, default=-1
        Along which axis the vectors lie.

    Returns
    -------
    ndarray of the shape of ``v``
        Non-negative. Of equal entries that compete for the last place the one of the
        lower index gets it.

    Raises
    ------
    ValueError
        If a parameter is out of range or ``v`` is not finite.

    Notes
    -----
    With the entries in descending order the result is ``max(v_i - theta, 0)`` for the
    first k, where theta is the largest of ``(v_1 + ... + v_r - total) / r``. O(n) a
    vector, and O(k log k) for its k entries.

    References
    ----------
    .. [1] A. Kyrillidis, S. Becker, V. Cevher, C. Koch, "Sparse projections onto the
       simplex", ICML 2013.

    Examples
    --------
    >>> from minimalml.transport import project_sparse_simplex
    >>> project_sparse_simplex([0.5, 0.2, 0.9, 0.1], 2)
    array([0.3, 0. , 0.7, 0. ])
    """
    v = check_array(
        v,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        allow_nd=True,
        input_name="v",
    )
    if not -v.ndim <= axis < v.ndim:
        raise ValueError(f"axis={axis} but v has {v.ndim} dimensions.")
    if max_nonzeros > v.shape[axis]:
        raise ValueError(
            f"max_nonzeros={max_nonzeros} but vectors have {v.shape[axis]} entries: at "
            "most all of them can be non-zero."
        )
    if total == np.inf:
        raise ValueError("total must be finite, got inf.")
    moved = np.moveaxis(v, axis, -1)
    return np.moveaxis(project_largest(moved, max_nonzeros, total), -1, axis)


def project_largest(v, k, total):
    """Project the ``k`` largest entries of each (..., n), in the library of ``v``."""
    xp = array_namespace(v)
    where = top_k_stable(v, k)  # (..., k)
    if is_torch_tensor(v):
        largest = v.gather(-1, where)
        counts = xp.arange(1, k + 1, dtype=v.dtype, device=v.device)
    else:
        largest = np.take_along_axis(v, where, -1)
        counts = xp.arange(1, k + 1, dtype=v.dtype)
    largest = largest - largest[..., :1]
    theta = xp.amax((largest.cumsum(-1) - total) / counts, -1)[..., None]
    entries, projected = (largest - theta).clip(min=0), xp.zeros_like(v)
    if is_torch_tensor(v):
        return projected.scatter_(-1, where, entries)
    np.put_along_axis(projected, where, entries, -1)
    return projected
