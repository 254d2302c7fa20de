"""The smallest change of features that puts k classes on top, in order.

The demand is a list of k classes that must lead all others in that order, each by a
margin. Moving the features of a linear head as little as possible to meet it is a
quadratic programme (Paniagua, Grainger, Wu, "QuadAttacK", NeurIPS 2023); its dual
needs only the scores and the Gram matrix of the head.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch

from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy
from minimalml._core.validation import Interval, StrOptions, validate_params
from minimalml.inspection._quad_attack._gram import FactoredGram, gram_of, in_double
from minimalml.inspection._quad_attack._ordered_qp import OrderedQP
from minimalml.inspection._quad_attack._targets import check_ordered_targets, like
from minimalml.inspection._quad_attack._working_sets import compiled_few, ordered_qp

STATUS_NAMES = np.array(["optimal", "infeasible", "max_iter"])
NAMES = "direction", "distance_squared", "dual", "kkt_residual", "status_code", "n_iter"
# Matrices of larger or smaller entries are solved in other units: their products with
# multipliers would leave the range of floats.
LARGE = 1e100
# Weights beyond this, or its inverse, have directions that are no numbers.
LARGEST = 1e153
# By how much a matrix may differ from its transpose, or an entry exceed the diagonal,
# relatively: float32 sums a head's products to less.
ROUNDING = 1e-4
NOT_CONVEX = 3
NOT_SEMIDEFINITE = "gram must be positive semidefinite, as A @ A.T is."


class OrderedTopKSolution(Bunch):
    """What `solve_ordered_top_k` returns; ``status`` is made on access."""

    @property
    def status(self):
        """Outcome a sample: "optimal", "infeasible" or "max_iter"."""
        return STATUS_NAMES[to_numpy(self.status_code)]


class OrderedTopKSolver:
    """Solve the ordering programme for the same targets again and again.

    Each solve starts where the last one ended, from the active rows of each sample and
    their block's inverse, which saves much of the time while the scores move slowly, as
    in an attack. Memory is O(C + a^2) a sample for C classes and a active constraints.

    Parameters
    ----------
    gram, targets, margin, weight, tol, max_iter, n_threads
        As in `solve_ordered_top_k`. ``gram`` is None where ``weight`` is given; tensors
        solve on their device.

    See Also
    --------
    solve_ordered_top_k : One solve, with the mathematics.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import OrderedTopKSolver
    >>> solver = OrderedTopKSolver(np.eye(3), targets=[[1, 2]])
    >>> scores = np.array([[2.0, 1.0, 0.0]])
    >>> solver.solve(scores).distance_squared
    array([2.48])
    >>> solver.solve(scores + [[0.0, 0.1, 0.0]]).distance_squared  # from there
    array([2.44666667])
    """

    def __init__(
        self,
        gram,
        targets,
        margin=0.2,
        *,
        weight=None,
        tol=1e-8,
        max_iter=None,
        n_threads=None,
    ):
        if not 0.0 <= margin < np.inf:
            raise ValueError(f"margin must be finite and at least 0, got {margin}.")
        gram, self._unit = checked_gram(gram, weight)
        self._gram, self._margin = gram, margin
        self._like = getattr(gram, "weight", gram)
        self._shape = len(targets), len(self._like)
        self._targets = like(check_ordered_targets(targets, *self._shape), self._like)
        self._tol, self._max_iter, self._n_threads = tol, max_iter, n_threads
        self._dual = self._kept = None

    def solve(self, logits, warm_start=None):
        """Solve for these scores, from where the last solve ended.

        Parameters
        ----------
        logits : array-like or tensor of shape (n_samples, n_classes)
            Scores, which are solved in float64.

        warm_start : array-like of shape (n_samples, n_classes - 1), default=None
            ``dual`` of a similar problem, to start from that instead.

        Returns
        -------
        solution : Bunch
            As from `solve_ordered_top_k`, which also says what is refused.
        """
        logits, warm_start = self._checked(logits, warm_start)
        return as_solution(self._solve(logits, warm_start))

    def _checked(self, logits, warm_start=None):
        n, n_classes = self._shape
        logits = checked_numbers("logits", logits, self._shape, self._like)
        if warm_start is not None:
            shape = n, n_classes - 1
            warm_start = checked_numbers("warm_start", warm_start, shape, self._like)
        return logits, warm_start

    def _solve(self, logits, warm_start=None, keep=True):
        """Solve without a look at the values: results in the order of ``NAMES``."""
        options = self._margin, self._tol, self._max_iter
        logits, unit = in_double(logits), self._unit
        start = self._dual
        if warm_start is not None:
            start = in_double(warm_start) * unit * unit
        if is_torch_tensor(logits):
            results = solve_tensors(logits, self._targets, self._gram, *options, start)
        elif isinstance(self._gram, FactoredGram):
            results = solve_arrays(logits, self._targets, self._gram, *options, start)
        else:
            if self._kept is None:
                self._kept = OrderedQP(self._targets, self._gram[None])
            results = self._kept.solve(logits, *options, start, self._n_threads, keep)
            return in_units(results, unit)
        is_optimal = (results[4] == 0)[:, None]
        self._dual = array_namespace(logits).where(is_optimal, results[2], 0.0)
        return in_units(results, unit)

    def _solve_by_cvxpy(self, logits):
        from minimalml.inspection._quad_attack._ordered_qp_cvxpy import ordered_qp

        if is_torch_tensor(logits):
            raise ValueError("solver='cvxpy' needs arrays, got tensors.")
        options = self._targets, self._gram, self._margin, self._max_iter
        return in_units(ordered_qp(logits, *options), self._unit)


@validate_params(
    {
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "solver": [StrOptions({"active_set", "cvxpy"})],
    },
    prefer_skip_nested_validation=True,
)
def solve_ordered_top_k(
    logits,
    targets,
    gram=None,
    margin=0.2,
    *,
    weight=None,
    warm_start=None,
    tol=1e-8,
    max_iter=None,
    solver="active_set",
    n_threads=None,
):
    """Find the smallest feature change that puts k classes on top in order.

    With scores ``A f + b``, minimise ``|v - f|^2`` subject to: in ``A v + b`` each
    target leads the next, and the last target leads every other class, by ``margin``.
    Costs O(C a + a^2) a pivot and sample for C classes, a of whose rows are active.

    Parameters
    ----------
    logits : array-like or tensor of shape (n_samples, n_classes) or (n_classes,)
        Scores; NumPy runs on the CPU, tensors on their device, but for the rare sample
        on which the batched steps don't settle. float32 is solved in float64.

    targets : array-like or tensor of int, shape (n_samples, k) or (k,)
        Indices of the classes to put on top, best first.

    gram : array-like or tensor of shape (n_classes, n_classes), default=None
        Gram matrix ``A @ A.T`` of the head.

    margin : float, default=0.2
        Lead that each class must have, in units of the scores. With 0 the solution
        ties classes.

    weight : array-like or tensor of shape (n_classes, n_features), default=None
        The head ``A``, to give instead of ``gram`` where classes are so many that the
        matrix would not fit: what is needed of it is then computed as it is needed, in
        O(C p) a sample for p features.

    warm_start : array-like of shape (n_samples, n_classes - 1), default=None
        ``dual`` of a similar problem. In a loop, `OrderedTopKSolver` keeps more.

    tol : float, default=1e-8
        Largest residual of a solution that counts as optimal.

    max_iter : int, default=None
        Most rounds for a sample; None allows three a class (tensors and ``weight``: 20
        working sets).

    solver : {"active_set", "cvxpy"}, default="active_set"
        "cvxpy" asks CLARABEL through cvxpy, sample by sample: slow, and independent.
        It takes arrays only.

    n_threads : int, default=None
        Threads of the CPU kernel; None follows scikit-learn's rule.

    Returns
    -------
    solution : Bunch
        - direction : (n_samples, n_classes), u; the nearest features are
          ``f + u @ A``, their scores ``logits + u @ gram``. Zero where infeasible.
        - distance_squared : (n_samples,), infinite where infeasible.
        - dual : (n_samples, n_classes - 1), a multiplier a row of `ordering_pairs`.
          Where infeasible, the certificate: ``dual >= 0``, ``A.T @ D.T @ dual`` zero
          and ``dual @ (margin - D @ logits)`` positive.
        - active_set : same shape, bool.
        - kkt_residual : (n_samples,), worst violation relative to
          ``1 + max |logits|``, or lack of complementarity relative to that plus the
          squared distance.
        - status : (n_samples,), "optimal", "infeasible" or "max_iter", from
          ``status_code`` 0, 1, 2.
        - n_iter : (n_samples,), rounds taken.

    Raises
    ------
    ValueError
        If a target repeats or is no class, numbers are not finite, shapes don't fit,
        ``gram`` is not symmetric or not positive semidefinite, or not exactly one of
        ``gram`` and ``weight`` is given.

    See Also
    --------
    OrderedTopKSolver : Solve again and again as scores move.

    References
    ----------
    Paniagua, Grainger, Wu, "QuadAttacK: A Quadratic Programming Approach to Learning
    Ordered Top-K Adversarial Attacks", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import solve_ordered_top_k
    >>> weight = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> solution = solve_ordered_top_k([2.0, 1.0, -3.0], [1, 0], weight @ weight.T)
    >>> solution.direction @ weight  # how the features move
    array([-0.6,  0.6])
    >>> str(solution.status)
    'optimal'
    """
    logits = logits if is_torch_tensor(logits) else np.asarray(logits, dtype=float)
    is_single = logits.ndim == 1
    if is_single:
        logits, targets = logits.reshape(1, -1), like(targets, logits).reshape(1, -1)
        if warm_start is not None:
            warm_start = like(warm_start, logits).reshape(1, -1)
    programme = solver_for(
        logits, targets, gram, margin, weight, tol=tol, max_iter=max_iter,
        n_threads=n_threads,
    )  # fmt: skip
    logits, warm_start = programme._checked(logits, warm_start)
    if solver == "cvxpy":
        results = programme._solve_by_cvxpy(logits)
    else:
        results = programme._solve(logits, warm_start, keep=False)
    return as_solution([x[0] for x in results] if is_single else results)


def solver_for(logits, targets, gram, margin, weight=None, **options):
    """Return a solver of the kind of ``logits``, whose classes the matrix must have."""
    gram, weight = (x if x is None else like(x, logits) for x in (gram, weight))
    n_classes = logits.shape[-1]
    for name, values, n in (
        ("gram", gram, n_classes),
        ("weight", weight, "n_features"),
    ):
        if values is not None and (values.ndim != 2 or len(values) != n_classes):
            raise ValueError(
                f"{name} must have shape ({n_classes}, {n}), got {tuple(values.shape)}."
            )
    targets = check_ordered_targets(targets, *logits.shape)
    return OrderedTopKSolver(gram, targets, margin, weight=weight, **options)


def checked_numbers(name, values, shape, kind):
    """Return numbers as an array or tensor like ``kind``, of that shape and finite."""
    values = like(values, kind)
    if tuple(values.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(values.shape)}.")
    if not array_namespace(values).isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity.")
    return values


def checked_gram(gram, weight):
    """Return the matrix, the root of the unit that it is in, after a look at it."""
    if (gram is None) == (weight is None):
        given = "neither" if gram is None else "both"
        raise ValueError(f"give exactly one of gram and weight, got {given}.")
    if isinstance(gram, FactoredGram):
        return gram, 1.0
    name, power = ("weight", 1) if gram is None else ("gram", 2)
    values = in_double(weight if gram is None else gram)
    if values.ndim != 2 or (power == 2 and values.shape[0] != values.shape[1]):
        raise ValueError(f"{name} must be a matrix, got shape {tuple(values.shape)}.")
    largest = max(float(values.max()), -float(values.min()))
    if not np.isfinite(largest):
        raise ValueError(f"{name} must be finite, got NaN or infinity.")
    if largest and not LARGEST**-power < largest < LARGEST**power:
        raise ValueError(
            f"{name} is out of the range in which its directions are numbers: the "
            f"largest entry is {largest:g}."
        )
    if power == 2:
        check_symmetric_and_semidefinite(values, largest)
    unit = 1.0
    if not LARGE**-0.5 < largest ** (1 / power) < LARGE**0.5:
        unit = float(np.ldexp(1.0, np.frexp(largest)[1] // power))
        values = values / unit**power
    return (values if power == 2 else FactoredGram(values)), unit


def check_symmetric_and_semidefinite(gram, largest):
    """Refuse what can't be a Gram matrix, as far as its diagonal and one product show."""
    xp, room = array_namespace(gram), ROUNDING * largest
    probe = xp.cos(in_double(xp.arange(len(gram), device=gram.device)))
    # not by BLAS, whose threads would spin on the cores that the kernel needs next
    product, transposed = xp.einsum("ij,j", gram, probe), xp.einsum("i,ij", probe, gram)
    if float(abs(product - transposed).max()) > room:
        raise ValueError("gram must be symmetric, as A @ A.T is.")
    own = gram.diagonal()
    smallest = min(float(own.min()), float(own.max()) - largest)
    if min(smallest, float(probe @ product) / len(gram)) < -room:
        raise ValueError(NOT_SEMIDEFINITE)


def in_units(results, unit):
    """Return what was solved for a matrix divided by the unit's square."""
    if unit == 1.0:
        return results
    direction, distance, dual, *others = results
    scaled = (x / unit / unit for x in (direction, distance, dual))
    return *scaled, *others


def as_solution(results):
    """Return results by name."""
    solution = OrderedTopKSolution(**dict(zip(NAMES, results, strict=True)))
    if (solution.status_code == NOT_CONVEX).any():
        raise ValueError(NOT_SEMIDEFINITE)
    solution.active_set = solution.dual > 0.0
    return solution


def solve_arrays(
    logits, targets, gram, margin, tol=1e-8, max_iter=None, warm_start=None
):
    """Solve once for checked arrays, keeping nothing."""
    if isinstance(gram, FactoredGram):
        options = margin, tol, max_iter, warm_start
        return ordered_qp(logits, targets, gram, *options, compiled_few, np)
    solver = OrderedQP(targets, gram[None])
    return solver.solve(logits, margin, tol, max_iter, warm_start, keep=False)


def solve_tensors(logits, targets, gram, margin, tol, max_iter, warm_start):
    """Solve once for checked tensors; what does not settle goes to the CPU's kernel."""
    import torch

    from minimalml.inspection._quad_attack._newton_torch import newton_few

    options = margin, tol, max_iter, warm_start
    results = ordered_qp(logits, targets, gram, *options, newton_few, torch)
    stuck = (results[4] == 2).nonzero().squeeze(1)
    if max_iter is None and len(stuck):
        if isinstance(gram, FactoredGram):
            gram = FactoredGram(to_numpy(gram.weight), gram.ridge)
        else:
            gram = to_numpy(gram)
        problem = to_numpy(logits[stuck]), to_numpy(targets[stuck]), gram, margin, tol
        for values, found in zip(results, solve_arrays(*problem), strict=True):
            values[stuck] = torch.as_tensor(found).to(values)
    return results


def project_features(features, weight, bias, targets, margin=0.2):
    """Move features the least so that k classes lead in order.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        What the linear head acts on.

    weight : array or tensor of shape (n_classes, n_features)
        Rows of the head.

    bias : array or tensor of shape (n_classes,)
        Offsets of the head.

    targets : array or tensor of int, shape (n_samples, k)
        Classes to put on top, best first.

    margin : float, default=0.2
        Lead that each class must have.

    Returns
    -------
    array or tensor of shape (n_samples, n_features)
        The nearest features, in the type of ``features``; NaN where none exist. They
        may lie outside the range of the network that makes the features.

    Examples
    --------
    >>> from minimalml.inspection import project_features
    >>> import numpy as np
    >>> project_features(np.array([[1.0, 0.0]]), np.eye(2), np.zeros(2), [[1]], 0.0)
    array([[0.5, 0.5]])
    """
    features = features if is_torch_tensor(features) else np.asarray(features)
    weight, bias = in_double(like(weight, features)), like(bias, features)
    logits = in_double(features) @ weight.T + in_double(bias)
    solution = OrderedTopKSolver(gram_of(weight), targets, margin).solve(logits)
    solution.direction[solution.status_code == 1] = np.nan
    moved = in_double(features) + solution.direction @ weight
    if is_torch_tensor(features):
        return moved.to(features.dtype)
    return moved.astype(np.result_type(features, np.float32), copy=False)
