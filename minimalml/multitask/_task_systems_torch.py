"""The two linear systems of a shared representation, in torch.

``gram`` (T, d, d), ``cross`` (T, d, m), ``basis`` (d, k), ``heads`` (T, k, m), all on
one device. Its NumPy twin is ``_task_systems``. Nothing here waits for the device.
"""

# SPDX-License-Identifier: BSD-3-Clause

import torch

from minimalml.multitask._task_systems import PROXIMAL


def multiply(gram, matrices):
    """Multiply each task's Gram matrix with its own matrix."""
    # COST O(T d^2 m)
    return torch.bmm(gram, matrices)


def project(gram, basis):
    """Return ``basis.T @ gram_t @ basis`` of each task, (T, k, k)."""
    # COST O(T d^2 k)
    return torch.matmul(basis.T, torch.matmul(gram, basis))


def traces(gram):
    """Trace of each task's Gram matrix, (T,)."""
    return gram.diagonal(dim1=1, dim2=2).sum(dim=1)


def pooled(gram):
    """Sum of the Gram matrices, (d, d)."""
    return gram.sum(dim=0)


def solve_heads(gram, cross, basis, ridge):
    """Fit all heads on a fixed basis; return them and the projected Gram matrices."""
    # COST O(T (d^2 k + k^3)), one batched Cholesky
    projected = project(gram, basis)
    level = ridge * traces(projected) / basis.shape[1]
    level = torch.where(level > 0, level, 1.0)  # a task without rows gets a zero head
    systems = projected + torch.diag_embed(level[:, None].expand(-1, basis.shape[1]))
    right = torch.matmul(basis.T, cross)
    factors, _ = torch.linalg.cholesky_ex(systems)
    return torch.cholesky_solve(right, factors), projected


def loss(projected, cross, squares, basis, heads):
    """Sum of squared residuals over all rows."""
    fitted = torch.baddbmm(
        torch.matmul(basis.T, cross), projected, heads, beta=-2.0, alpha=1.0
    )
    return squares.sum() + (heads * fitted).sum()


def apply_normal(gram, heads, basis):
    """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
    # COST O(T d^2 m)
    return _back(multiply(gram, torch.matmul(basis, heads)), heads)


def solve_basis_direct(gram, cross, heads, basis):
    """Fit the basis on fixed heads by one (d k, d k) solve."""
    # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
    d, k = basis.shape
    head_grams = torch.bmm(heads, heads.mT)  # (T, k, k)
    system = torch.tensordot(gram, head_grams, dims=([0], [0]))  # (d, d, k, k)
    system = system.permute(0, 2, 1, 3).reshape(d * k, d * k)
    level = PROXIMAL * system.diagonal().sum() / (d * k)
    level = torch.where(level > 0, level, 1.0)
    system = system + level * torch.eye(d * k, dtype=basis.dtype, device=basis.device)
    right = (_back(cross, heads) + level * basis).reshape(-1, 1)
    factor, _ = torch.linalg.cholesky_ex(system)
    return torch.cholesky_solve(right, factor).reshape(d, k)


def solve_basis_cg(gram, cross, heads, basis, n_steps):
    """Improve the basis on fixed heads by conjugate gradients, warm started."""
    # COST O(n_steps T d^2 m); converged directions take steps of length zero
    precondition = _preconditioner(gram, heads)
    residual = _back(cross, heads) - apply_normal(gram, heads, basis)
    step = residual @ precondition
    direction, slope = step, (residual * step).sum()
    enough = torch.finfo(basis.dtype).eps * slope
    for _ in range(n_steps):
        image = apply_normal(gram, heads, direction)
        going = slope > enough
        rate = torch.where(going, slope / (direction * image).sum(), 0.0)
        basis = basis + rate * direction
        residual = residual - rate * image
        step = residual @ precondition
        slope, previous = (residual * step).sum(), slope
        share = torch.where(going, slope / previous, 0.0)
        direction = step + share * direction
    return basis


def descend_basis(gram, cross, heads, basis, largest):
    """Improve the basis by one gradient step; ``largest`` is `largest_eigenvalue`."""
    # COST O(T d^2 m)
    gradient = 2 * (apply_normal(gram, heads, basis) - _back(cross, heads))
    wide = heads.permute(1, 0, 2).reshape(basis.shape[1], -1)  # (k, T m)
    curvature = largest * torch.linalg.matrix_norm(wide, 2) ** 2
    rate = torch.where(curvature > 0, 0.5 / curvature, 0.0)
    return basis - rate * gradient


def largest_eigenvalue(gram):
    """Largest eigenvalue of any task's Gram matrix."""
    # COST O(T d^3), once a fit
    return torch.linalg.eigvalsh(gram)[:, -1].max()


def orthonormalise(basis):
    """Return an orthonormal basis of the same span; R's diagonal is positive."""
    q, r = torch.linalg.qr(basis)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(basis.dtype)


def leading_directions(matrix, k):
    """Left singular vectors of the ``k`` largest nonzero singular values."""
    vectors, values, _ = torch.linalg.svd(matrix, full_matrices=False)
    floor = values[0] * torch.finfo(matrix.dtype).eps * max(matrix.shape)
    return vectors[:, :k][:, values[:k] > floor]


def whiten(pooled, n_rows, matrix):
    """Apply the inverse of the pooled covariance to ``matrix``."""
    covariance = pooled / n_rows
    level = 1e-8 * covariance.diagonal().mean()
    eye = torch.eye(len(covariance), dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.solve(covariance + level * eye, matrix)


def to_array(values, like):
    """Turn NumPy ``values`` into this half's arrays."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def concatenate(left, right):
    """Put the columns of two matrices side by side."""
    return torch.hstack([left, right])


def _back(images, heads):
    """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
    d, k = images.shape[1], heads.shape[1]
    left = images.permute(1, 0, 2).reshape(d, -1)
    return left @ heads.permute(1, 0, 2).reshape(k, -1).T


def _preconditioner(gram, heads):
    """Inverse of the heads' second moment, weighted by the tasks' size."""
    k = heads.shape[1]
    moment = _back(traces(gram)[:, None, None] * heads, heads) / gram.shape[1]
    level = 1e-6 * moment.diagonal().mean()
    eye = torch.eye(k, dtype=heads.dtype, device=heads.device)
    return torch.linalg.inv(moment + torch.where(level > 0, level, 1.0) * eye)
