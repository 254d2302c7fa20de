"""The two linear systems of a shared representation.

``gram`` (T, d, d) or `RowGram`, ``cross`` (T, d, m), ``basis`` (d, k), ``heads``
(T, k, m): NumPy arrays, or tensors on one device. What the two name alike is called by
that name, so one text serves both; nothing here waits for the device.
"""

import numpy as np

from minimalml._core.arrays import array_namespace
from minimalml.multioutput._lasso_task_selection._task_rows import RowGram

# A proximal term, relative to the mean diagonal: the step never increases the loss, and
# directions that no task sees stay where they were.
PROXIMAL = 1e-10


def project(gram, basis):
    """Return ``basis.T @ gram_t @ basis`` of each task, (T, k, k)."""
    # COST O(T d^2 k)
    if isinstance(gram, RowGram):
        return gram.project(basis)
    return basis.T @ (gram @ basis)


def traces(gram):
    """Trace of each task's matrix, (T,)."""
    if isinstance(gram, RowGram):
        return gram.traces()
    return array_namespace(gram).einsum("tdd->t", gram)


def pooled(gram):
    """Sum of the Gram matrices, (d, d)."""
    return gram.pooled() if isinstance(gram, RowGram) else gram.sum(0)


def solve_heads(gram, cross, basis, ridge):
    """Fit all heads on a fixed basis; return them and the projected Gram matrices."""
    # COST O(T (d^2 k + k^3))
    projected = project(gram, basis)
    level = _or_one(ridge * traces(projected) / basis.shape[1])
    systems = projected + level[:, None, None] * _eye(basis.shape[1], basis)
    return _solve_positive(systems, basis.T @ cross), projected


def loss(projected, cross, squares, basis, heads):
    """Sum of squared residuals over all rows."""
    fitted = projected @ heads - 2 * (basis.T @ cross)
    return squares.sum() + (heads * fitted).sum()


def apply_normal(gram, heads, basis):
    """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
    # COST O(T d^2 m)
    return _back(gram @ (basis @ heads), heads)


def solve_basis_direct(gram, cross, heads, basis):
    """Fit the basis on fixed heads by one (d k, d k) solve."""
    # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
    xp, n_unknowns = array_namespace(basis), basis.shape[0] * basis.shape[1]
    system = xp.tensordot(gram, heads @ heads.mT, ([0], [0]))  # (d, d, k, k)
    system = xp.swapaxes(system, 1, 2).reshape(n_unknowns, n_unknowns)
    level = _or_one(PROXIMAL * xp.trace(system) / n_unknowns)
    right = (_back(cross, heads) + level * basis).reshape(-1, 1)
    system = system + level * _eye(n_unknowns, basis)
    return _solve_positive(system, right).reshape(basis.shape)


def solve_basis_cg(gram, cross, heads, basis, n_steps):
    """Improve the basis on fixed heads by conjugate gradients, warm started."""
    # COST O(n_steps T d^2 m); each step lowers the loss, so stopping early is safe
    xp, precondition = array_namespace(basis), _preconditioner(gram, heads)
    residual = _back(cross, heads) - apply_normal(gram, heads, basis)
    step = residual @ precondition
    direction, slope = step, (residual * step).sum()
    enough = xp.finfo(basis.dtype).eps * slope
    for _ in range(n_steps):
        going = slope > enough
        if xp is np and not going:
            break  # a device isn't asked: its steps have length zero from here on
        image = apply_normal(gram, heads, direction)
        rate = xp.where(going, slope / (direction * image).sum(), 0.0)
        basis = basis + rate * direction
        residual = residual - rate * image
        step = residual @ precondition
        slope, previous = (residual * step).sum(), slope
        direction = step + xp.where(going, slope / previous, 0.0) * direction
    return basis


def descend_basis(gram, cross, heads, basis, largest):
    """Improve the basis by one gradient step; ``largest`` is `largest_eigenvalue`."""
    # COST O(T d^2 m)
    xp = array_namespace(basis)
    gradient = 2 * (apply_normal(gram, heads, basis) - _back(cross, heads))
    wide = xp.swapaxes(heads, 0, 1).reshape(basis.shape[1], -1)  # (k, T m)
    curvature = largest * xp.linalg.norm(wide, 2) ** 2
    return basis - 0.5 / xp.where(curvature > 0, curvature, xp.inf) * gradient


def largest_eigenvalue(gram):
    """Largest eigenvalue of any task's Gram matrix."""
    # COST O(T d^3), once a fit
    if isinstance(gram, RowGram):
        return gram.largest_eigenvalue()
    return array_namespace(gram).linalg.eigvalsh(gram)[:, -1].max()


def orthonormalise(basis):
    """Return an orthonormal basis of the same span; R's diagonal is positive."""
    xp = array_namespace(basis)
    q, r = xp.linalg.qr(basis)
    return q * xp.copysign(xp.ones_like(q[0]), xp.diag(r))


def leading_directions(matrix, k):
    """Left singular vectors of the ``k`` largest nonzero singular values."""
    xp = array_namespace(matrix)
    vectors, values, _ = xp.linalg.svd(matrix, full_matrices=False)
    floor = values[0] * xp.finfo(matrix.dtype).eps * max(matrix.shape)
    return vectors[:, :k][:, values[:k] > floor]


def whiten(pooled, n_rows, matrix):
    """Apply the inverse of the pooled covariance to ``matrix``."""
    covariance = pooled / n_rows
    level = 1e-8 * array_namespace(matrix).trace(covariance) / len(covariance)
    return _solve_positive(covariance + level * _eye(len(covariance), matrix), matrix)


def to_array(values, like):
    """Turn NumPy ``values`` into an array of the kind of ``like``."""
    xp = array_namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=like.device)


def _eye(size, like):
    return array_namespace(like).eye(size, dtype=like.dtype, device=like.device)


def _or_one(level):
    """Make a ridge of zero, of tasks without rows, one: they get zero heads."""
    return array_namespace(level).where(level > 0, level, 1.0)


def _solve_positive(systems, right):
    """Solve positive definite systems; a device isn't asked whether they are."""
    xp = array_namespace(right)
    if xp is np:
        return np.linalg.solve(systems, right)
    return xp.cholesky_solve(right, xp.linalg.cholesky_ex(systems).L)


def _back(images, heads):
    """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
    return array_namespace(heads).tensordot(images, heads, ([0, 2], [0, 2]))


def _preconditioner(gram, heads):
    """Inverse of the heads' second moment, weighted by the tasks' size."""
    k = heads.shape[1]
    moment = _back(traces(gram)[:, None, None] * heads, heads) / gram.shape[1]
    level = _or_one(1e-6 * array_namespace(moment).trace(moment) / k)
    eye = _eye(k, heads)
    return _solve_positive(moment + level * eye, eye)
