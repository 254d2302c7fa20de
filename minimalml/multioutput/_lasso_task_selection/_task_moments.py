"""The linear systems of a shared representation, from moments or through the rows.

``basis`` is (d, k), ``heads`` are (T, k, m): NumPy arrays, or tensors on one device. What
the two name alike is called by that name, so one text serves both; nothing here waits
for the device.
"""

from contextlib import nullcontext
from functools import cache
from threading import current_thread, main_thread

import numpy as np
from threadpoolctl import ThreadpoolController

from minimalml._core.arrays import array_namespace

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
    """Second moments of all tasks: ``gram`` (T, d, d), ``cross``, ``squares`` (T, m)."""

    is_dense = True

    def __init__(self, gram, cross, squares):
        self.xp, self.gram = array_namespace(cross), gram
        self.cross, self.squares = cross, squares  # cross (T, d, m)

    def scaled(self):
        """Divide by powers of two; return that and the units of inputs and targets.

        Heads of targets and inputs that differ much would leave the range of floats.
        """
        unit = self._unit(self.traces().max() ** 0.5)
        target_unit = self._unit(self.squares.max() ** 0.5)
        cross = self.cross / unit / target_unit
        squares = self.squares / target_unit / target_unit
        return type(self)(self._over(unit), cross, squares), unit, target_unit

    def _unit(self, size):
        xp = self.xp
        return xp.exp2(xp.floor(xp.log2(xp.where(size > 0, size, 1.0))))

    def _over(self, unit):
        return self.gram / unit / unit

    def times(self, matrices):
        """Multiply each task's Gram matrix with its own matrix, (T, d, m)."""
        return self.gram @ matrices

    def projected(self, basis):
        """Return ``basis.T @ gram_t @ basis`` of each task, (T, k, k)."""
        # COST O(T d^2 k)
        return basis.T @ (self.gram @ basis)

    def traces(self):
        """Trace of each task's Gram matrix, (T,)."""
        return self.xp.einsum("tdd->t", self.gram)

    def pooled(self):
        """Sum of the Gram matrices, (d, d)."""
        return self.gram.sum(0)

    def largest_eigenvalue(self):
        """Largest eigenvalue of any task's Gram matrix."""
        # COST O(T d^3), once a fit
        return self.xp.linalg.eigvalsh(self.gram)[:, -1].max()

    def fit_heads(self, basis, ridge):
        """Fit all heads on a fixed basis; return them and the sum of squared errors."""
        # COST O(T (d^2 k + k^3))
        projected, right = self.projected(basis), basis.T @ self.cross
        traces = self.xp.einsum("tkk->t", projected)
        level = _or_one(ridge * traces / basis.shape[1])
        systems = projected + level[:, None, None] * _eye(basis.shape[1], basis)
        heads = solve_positive(systems, right)
        loss = self.squares.sum() + (heads * (projected @ heads - 2 * right)).sum()
        return heads, loss

    def basis_improver(self, solver, n_unknowns):
        """Return the function of heads and basis that improves the basis."""
        if solver == "altgdmin":
            largest = self.largest_eigenvalue()
            return lambda heads, basis: self.descend(heads, basis, largest)
        is_direct = self.is_dense and n_unknowns <= DIRECT_UNKNOWNS
        return self.solve_basis if is_direct else self.conjugate_gradients

    def solve_basis(self, heads, basis):
        """Fit the basis on fixed heads by one (d k, d k) solve."""
        # COST O(T d^2 k^2 + (d k)^3), memory (d k)^2
        xp, n_unknowns = self.xp, basis.shape[0] * basis.shape[1]
        system = xp.tensordot(self.gram, heads @ heads.mT, ([0], [0]))  # (d, d, k, k)
        system = xp.swapaxes(system, 1, 2).reshape(n_unknowns, n_unknowns)
        level = _or_one(PROXIMAL * xp.trace(system) / n_unknowns)
        right = (self._back(self.cross, heads) + level * basis).reshape(-1, 1)
        system = system + level * _eye(n_unknowns, basis)
        return solve_positive(system, right).reshape(basis.shape)

    def conjugate_gradients(self, heads, basis, n_steps=CG_STEPS):
        """Improve the basis on fixed heads by conjugate gradients, warm started."""
        # COST O(n_steps T d^2 m); each step lowers the loss, so stopping early is safe
        xp, precondition = self.xp, self._preconditioner(heads)
        residual = self._back(self.cross, heads) - self._normal(heads, basis)
        step = residual @ precondition
        direction, slope = step, (residual * step).sum()
        enough = xp.finfo(basis.dtype).eps * slope
        for _ in range(n_steps):
            going = slope > enough
            if xp is np and not going:
                break  # a device isn't asked: its steps have length zero from here on
            image = self._normal(heads, direction)
            rate = xp.where(going, slope / (direction * image).sum(), 0.0)
            basis = basis + rate * direction
            residual = residual - rate * image
            step = residual @ precondition
            slope, previous = (residual * step).sum(), slope
            direction = step + xp.where(going, slope / previous, 0.0) * direction
        return basis

    def descend(self, heads, basis, largest):
        """Improve the basis by one gradient step; ``largest`` is the eigenvalue."""
        # COST O(T d^2 m)
        xp = self.xp
        gradient = 2 * (self._normal(heads, basis) - self._back(self.cross, heads))
        wide = xp.swapaxes(heads, 0, 1).reshape(basis.shape[1], -1)  # (k, T m)
        curvature = largest * xp.linalg.norm(wide, 2) ** 2
        return basis - 0.5 / xp.where(curvature > 0, curvature, xp.inf) * gradient

    def _normal(self, heads, basis):
        """Return ``sum_t gram_t @ basis @ heads_t @ heads_t.T``, (d, k)."""
        return self._back(self.times(basis @ heads), heads)

    def _back(self, images, heads):
        """Return ``sum_t images_t @ heads_t.T`` as one product, (d, k)."""
        return self.xp.tensordot(images, heads, ([0, 2], [0, 2]))

    def _preconditioner(self, heads):
        """Inverse of the heads' second moment, weighted by the tasks' size."""
        k, n_features = heads.shape[1], self.cross.shape[1]
        moment = self._back(self.traces()[:, None, None] * heads, heads) / n_features
        level = _or_one(1e-6 * self.xp.trace(moment) / k)
        eye = _eye(k, heads)
        return solve_positive(moment + level * eye, eye)


class RowMoments(TaskMoments):
    """The same with each task's rows for its Gram matrix, multiplied through."""

    is_dense = False

    def _over(self, unit):
        return [rows / unit for rows in self.gram]

    def times(self, matrices):
        """Multiply each task's Gram matrix with its own matrix, (T, d, m)."""
        pairs = zip(self.gram, matrices, strict=True)
        return np.stack([rows.T @ (rows @ matrix) for rows, matrix in pairs])

    def projected(self, basis):
        """Return ``basis.T @ gram_t @ basis`` of each task, (T, k, k)."""
        images = [rows @ basis for rows in self.gram]
        return np.stack([image.T @ image for image in images])

    def traces(self):
        """Trace of each task's Gram matrix, (T,)."""
        return np.array([np.sum(rows**2) for rows in self.gram])

    def pooled(self):
        """Sum of the Gram matrices, (d, d)."""
        return sum(rows.T @ rows for rows in self.gram)

    def largest_eigenvalue(self):
        """Largest eigenvalue of any task's Gram matrix."""
        return max(np.linalg.norm(rows, 2) ** 2 for rows in self.gram)


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


def whitened(matrix, covariance):
    """Apply the inverse of a covariance to ``matrix``."""
    level = 1e-8 * array_namespace(matrix).trace(covariance) / len(covariance)
    return solve_positive(covariance + level * _eye(len(covariance), matrix), matrix)


def to_array(values, like):
    """Turn NumPy ``values`` into an array of the kind of ``like``."""
    xp = array_namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=like.device)


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def few_blas_threads(n_multiplications):
    """Keep BLAS from sharing products that are too small among threads."""
    # The limit is the process's: only its main thread may set and lift it.
    if n_multiplications > WORTH_BLAS_THREADS or current_thread() is not main_thread():
        return nullcontext()
    return _blas().limit(limits=1)


def _eye(size, like):
    return array_namespace(like).eye(size, dtype=like.dtype, device=like.device)


def _or_one(level):
    """Make a ridge of zero, of tasks without rows, one: they get zero heads."""
    return array_namespace(level).where(level > 0, level, 1.0)


def solve_positive(systems, right):
    """Solve positive definite systems; a device isn't asked whether they are."""
    xp = array_namespace(right)
    if xp is np:
        return np.linalg.solve(systems, right)
    return xp.cholesky_solve(right, xp.linalg.cholesky_ex(systems).L)
