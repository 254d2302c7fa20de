"""The linear systems of a shared representation, from the moments of each task."""

from contextlib import nullcontext
from functools import cache
from threading import current_thread, main_thread

import numpy as np
from threadpoolctl import ThreadpoolController

from minimalml.multioutput._lasso_task_selection._relevance import units

# A proximal term, relative to the mean diagonal: the step never increases the loss, and
# directions that no task sees stay where they were.
PROXIMAL = 1e-10
# Up to this many unknowns one Cholesky beats conjugate gradients (0.6 ms at 400).
DIRECT_UNKNOWNS = 400
CG_STEPS = 20
# Multiplications of a task's product from which BLAS gains by sharing it among threads:
# some milliseconds. Two threads on busy cores made 200 products of 5e6 20 times slower.
WORTH_BLAS_THREADS = 1e8


class TaskMoments:
    """Least squares of all tasks on ``basis`` (d, k) with ``heads`` (T, k, m).

    Heads of targets and inputs that differ much in size would leave the range of
    floats: all is over powers of two, and what is found has to be multiplied by
    ``head_unit``, losses by ``loss_unit``.

    Attributes
    ----------
    gram, cross, squares : ndarray of shape (T, d, d), (T, d, m), (T, m)
        Sums over rows of products of inputs, with targets, and of their squares.
    """

    def __init__(self, gram, cross, squares):
        unit = units(np.sqrt(np.einsum("tdd->t", gram)))
        target_unit = units(np.sqrt(squares))
        self.gram, self.squares = gram / unit**2, squares / target_unit**2
        self.cross = cross / unit / target_unit
        self.head_unit, self.loss_unit = target_unit / unit, target_unit**2

    def fit_heads(self, basis, ridge):
        """Fit all heads on a fixed basis; return them and the sum of squared errors."""
        # COST O(T (d^2 k + k^3))
        projected, right = basis.T @ (self.gram @ basis), basis.T @ self.cross
        level = _or_one(ridge * np.einsum("tkk->t", projected) / basis.shape[1])
        systems = projected + level[:, None, None] * np.eye(basis.shape[1])
        heads = np.linalg.solve(systems, right)
        loss = self.squares.sum() + np.sum(heads * (projected @ heads - 2 * right))
        return heads, float(loss)

    def basis_improver(self, solver, n_unknowns):
        """Return the function of heads and basis that improves the basis."""
        if solver == "alternating":
            is_small = n_unknowns <= DIRECT_UNKNOWNS
            return self.solve_basis if is_small else self.conjugate_gradients
        largest = np.linalg.eigvalsh(self.gram)[:, -1].max()  # COST O(T d^3), once
        return lambda heads, basis: self.descend(heads, basis, largest)

    def solve_basis(self, heads, basis):
        """Fit the basis on fixed heads by one (d k, d k) solve."""
        # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
        system = np.tensordot(self.gram, heads @ heads.mT, ([0], [0]))  # (d, d, k, k)
        system = system.swapaxes(1, 2).reshape(basis.size, basis.size)
        level = _or_one(PROXIMAL * np.trace(system) / basis.size)
        right = _back(self.cross, heads) + level * basis
        system += level * np.eye(basis.size)
        return np.linalg.solve(system, right.ravel()).reshape(basis.shape)

    def conjugate_gradients(self, heads, basis, n_steps=CG_STEPS):
        """Improve the basis on fixed heads by conjugate gradients, warm started."""
        # COST O(n_steps T d^2 m); each step lowers the loss, so stopping early is safe
        precondition = self._preconditioner(heads)
        residual = _back(self.cross, heads) - self._normal(heads, basis)
        direction = step = residual @ precondition
        slope = np.sum(residual * step)
        enough = np.finfo(float).eps * slope
        for _ in range(n_steps):
            if not slope > enough:
                break
            image = self._normal(heads, direction)
            rate = slope / np.sum(direction * image)
            basis = basis + rate * direction
            residual = residual - rate * image
            step = residual @ precondition
            slope, previous = np.sum(residual * step), slope
            direction = step + slope / previous * direction
        return basis

    def descend(self, heads, basis, largest):
        """Improve the basis by a gradient step; ``largest`` eigenvalue of any task."""
        # COST O(T d^2 m)
        gradient = 2 * (self._normal(heads, basis) - _back(self.cross, heads))
        wide = heads.swapaxes(0, 1).reshape(basis.shape[1], -1)  # (k, T m)
        curvature = largest * np.linalg.norm(wide, 2) ** 2
        return basis - 0.5 / (curvature or np.inf) * gradient

    def _normal(self, heads, basis):
        """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
        return _back(self.gram @ (basis @ heads), heads)

    def _preconditioner(self, heads):
        """Inverse of the heads' second moment, weighted by the tasks' size."""
        traces = np.einsum("tdd->t", self.gram) / self.gram.shape[1]
        moment = _back(traces[:, None, None] * heads, heads)
        level = _or_one(1e-6 * np.trace(moment) / len(moment))
        return np.linalg.inv(moment + level * np.eye(len(moment)))


def orthonormalise(basis):
    """Return an orthonormal basis of the same span; R's diagonal is positive."""
    q, r = np.linalg.qr(basis)
    return q * np.copysign(1.0, np.diag(r))


def leading_directions(matrix, k):
    """Left singular vectors of the ``k`` largest nonzero singular values."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    floor = values[0] * np.finfo(float).eps * max(matrix.shape)
    return vectors[:, :k][:, values[:k] > floor]


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def few_blas_threads(n_multiplications):
    """Keep BLAS from sharing products that are too small among threads."""
    # The limit is the process's: only its main thread may set and lift it.
    if n_multiplications > WORTH_BLAS_THREADS or current_thread() is not main_thread():
        return nullcontext()
    return _blas().limit(limits=1)


def _or_one(level):
    """Make a ridge of zero, of tasks without rows, one: they get zero heads."""
    return np.where(level > 0, level, 1.0)


def _back(images, heads):
    """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
    return np.tensordot(images, heads, ([0, 2], [0, 2]))
