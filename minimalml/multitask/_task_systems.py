"""The two linear systems of a shared representation, in NumPy.

``gram`` (T, d, d) or `RowGram`, ``cross`` (T, d, m), ``basis`` (d, k), ``heads``
(T, k, m). Its torch twin is ``_task_systems_torch``.
"""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import solve

from minimalml.multitask._task_statistics import RowGram

# A proximal term, relative to the mean diagonal: the step never increases the loss, and
# directions that no task sees stay where they were.
PROXIMAL = 1e-10


def multiply(gram, matrices):
    """Multiply each task's Gram matrix with its own matrix."""
    # COST O(T d^2 m)
    if isinstance(gram, RowGram):
        return gram.matmul(matrices)
    return np.matmul(gram, matrices)


def project(gram, basis):
    """Return ``basis.T @ gram_t @ basis`` of each task, (T, k, k)."""
    # COST O(T d^2 k): one product for all tasks, (T d, d) with (d, k)
    if isinstance(gram, RowGram):
        return gram.project(basis)
    return np.matmul(basis.T, gram @ basis)


def traces(gram):
    """Trace of each task's Gram matrix, (T,)."""
    if isinstance(gram, RowGram):
        return gram.traces()
    return np.trace(gram, axis1=1, axis2=2)


def pooled(gram):
    """Sum of the Gram matrices, (d, d)."""
    return gram.pooled() if isinstance(gram, RowGram) else gram.sum(axis=0)


def solve_heads(gram, cross, basis, ridge):
    """Fit all heads on a fixed basis; return them and the projected Gram matrices."""
    # COST O(T (d^2 k + k^3))
    projected = project(gram, basis)
    k = basis.shape[1]
    level = ridge * np.trace(projected, axis1=1, axis2=2) / k
    level = np.where(level > 0, level, 1.0)  # a task without rows gets a zero head
    systems = projected + level[:, None, None] * np.eye(k, dtype=basis.dtype)
    return np.linalg.solve(systems, np.matmul(basis.T, cross)), projected


def loss(projected, cross, squares, basis, heads):
    """Sum of squared residuals over all rows."""
    fitted = np.matmul(projected, heads) - 2 * np.matmul(basis.T, cross)
    return squares.sum() + (heads * fitted).sum()


def apply_normal(gram, heads, basis):
    """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
    # COST O(T d^2 m)
    return _back(multiply(gram, np.matmul(basis, heads)), heads)


def solve_basis_direct(gram, cross, heads, basis):
    """Fit the basis on fixed heads by one (d k, d k) solve."""
    # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
    d, k = basis.shape
    head_grams = np.matmul(heads, heads.transpose(0, 2, 1))  # (T, k, k)
    system = np.tensordot(gram, head_grams, axes=(0, 0))  # (d, d, k, k)
    system = system.transpose(0, 2, 1, 3).reshape(d * k, d * k)
    level = PROXIMAL * np.trace(system) / (d * k)
    if level == 0:
        return basis
    system[np.diag_indices(d * k)] += level
    right = (_back(cross, heads) + level * basis).ravel()
    return solve(system, right, assume_a="pos").reshape(d, k)


def solve_basis_cg(gram, cross, heads, basis, n_steps):
    """Improve the basis on fixed heads by conjugate gradients, warm started."""
    # COST O(n_steps T d^2 m); each step lowers the loss, so stopping early is safe
    precondition = _preconditioner(gram, heads)
    residual = _back(cross, heads) - apply_normal(gram, heads, basis)
    step = residual @ precondition
    direction, slope = step, np.vdot(residual, step)
    enough = np.finfo(basis.dtype).eps * slope
    for _ in range(n_steps):
        if not slope > enough:
            break
        image = apply_normal(gram, heads, direction)
        rate = slope / np.vdot(direction, image)
        basis = basis + rate * direction
        residual = residual - rate * image
        step = residual @ precondition
        slope, previous = np.vdot(residual, step), slope
        direction = step + (slope / previous) * direction
    return basis


def descend_basis(gram, cross, heads, basis, largest):
    """Improve the basis by one gradient step; ``largest`` is `largest_eigenvalue`."""
    # COST O(T d^2 m)
    gradient = 2 * (apply_normal(gram, heads, basis) - _back(cross, heads))
    wide = heads.transpose(1, 0, 2).reshape(basis.shape[1], -1)  # (k, T m)
    curvature = largest * np.linalg.norm(wide, 2) ** 2
    return basis - (0.5 / curvature) * gradient if curvature > 0 else basis


def largest_eigenvalue(gram):
    """Largest eigenvalue of any task's Gram matrix."""
    # COST O(T d^3), once a fit
    if isinstance(gram, RowGram):
        return gram.largest_eigenvalue()
    return np.linalg.eigvalsh(gram)[:, -1].max()


def orthonormalise(basis):
    """Return an orthonormal basis of the same span; R's diagonal is positive."""
    q, r = np.linalg.qr(basis)
    return q * np.where(np.diag(r) < 0, -1, 1).astype(basis.dtype)


def leading_directions(matrix, k):
    """Left singular vectors of the ``k`` largest nonzero singular values."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    floor = values.max(initial=0.0) * np.finfo(matrix.dtype).eps * max(matrix.shape)
    return vectors[:, :k][:, values[:k] > floor]


def whiten(pooled, n_rows, matrix):
    """Apply the inverse of the pooled covariance to ``matrix``."""
    covariance = pooled / n_rows
    level = 1e-8 * np.trace(covariance) / len(covariance)
    eye = np.eye(len(covariance), dtype=covariance.dtype)
    return solve(covariance + level * eye, matrix, assume_a="pos")


def to_array(values, like):
    """Turn NumPy ``values`` into this half's arrays."""
    return np.asarray(values, dtype=like.dtype)


def concatenate(left, right):
    """Put the columns of two matrices side by side."""
    return np.hstack([left, right])


def _back(images, heads):
    """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
    d, k = images.shape[1], heads.shape[1]
    left = images.transpose(1, 0, 2).reshape(d, -1)
    return left @ heads.transpose(1, 0, 2).reshape(k, -1).T


def _preconditioner(gram, heads):
    """Inverse of the heads' second moment, weighted by the tasks' size."""
    k = heads.shape[1]
    moment = _back(traces(gram)[:, None, None] * heads, heads) / gram.shape[1]
    level = 1e-6 * np.trace(moment) / k
    eye = np.eye(k, dtype=heads.dtype)
    return np.linalg.inv(moment + level * eye) if level > 0 else eye
