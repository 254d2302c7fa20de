"""The smallest change of features that puts k classes on top, in order.

The demand is a list of k classes that must lead all others in that order, each by a
margin. Moving the features of a linear head as little as possible to meet it is a
quadratic programme (Paniagua, Grainger, Wu, "QuadAttacK", NeurIPS 2023); its dual
needs only the scores and the Gram matrix of the head.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch

from minimalml._core.arrays import is_torch_tensor, to_numpy
from minimalml._core.threads import effective_n_threads
from minimalml._core.validation import Interval, StrOptions, validate_params
from minimalml.inspection._quad_attack._factored_gram import FactoredGram, gram_of
from minimalml.inspection._quad_attack._ordered_qp import ordered_qp
from minimalml.inspection._quad_attack._targets import check_ordered_targets

STATUS_NAMES = np.array(["optimal", "infeasible", "max_iter"])
# Of a sample, on one core, from nothing: benchmarks/quad_attack/compare.py
SECONDS_PER_CLASS = 3e-8
# What is left of that where the last solution is a start.
WARM_SHARE = 1 / 3
# Working sets of the torch kernel; a second one is rare, more are for degenerate heads.
TORCH_ROUNDS = 20


class OrderedTopKSolution(Bunch):
    """What `solve_ordered_top_k` returns; ``status`` is made on access."""

    @property
    def status(self):
        """Outcome a sample: "optimal", "infeasible" or "max_iter"."""
        code = self.status_code
        return STATUS_NAMES[to_numpy(code)]


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
        Scores; NumPy runs on the CPU, tensors on their device. float32 is solved in
        float64.

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

    warm_start : array of shape (n_samples, n_classes - 1) or solution, default=None
        ``dual`` of a similar problem, such as the last iteration's. The solution itself
        also holds factors, which save most of the time where ``gram`` is the same
        float64 array, unchanged, and ``targets`` are the same. From 256 classes on, a
        loop of such solves on the CPU keeps a float32 copy of the matrix as well.

    tol : float, default=1e-8
        Largest residual of a solution that counts as optimal.

    max_iter : int, default=None
        Most rounds for a sample; None allows three a class (torch: 20).

    solver : {"active_set", "cvxpy"}, default="active_set"
        "cvxpy" asks CLARABEL through cvxpy, sample by sample: slow, and independent.

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
        If a target repeats or is no class, logits are not finite, or not exactly one of
        ``gram`` and ``weight`` is given.

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
    gram = one_of(gram, weight, logits)
    logits, targets, gram, is_single = check_problem(logits, targets, gram, margin)
    start = None
    if isinstance(warm_start, Bunch):
        start, warm_start = warm_start.get("_saved_rows"), warm_start.dual
    if is_single and warm_start is not None:
        warm_start = warm_start.reshape(1, -1)
    if solver == "cvxpy":
        from minimalml.inspection._quad_attack._ordered_qp_cvxpy import (
            ordered_qp as solve,
        )
    else:
        solve = None
    *result, saved_rows = solve_checked(
        logits, targets, gram, margin, warm_start, tol, max_iter, n_threads, solve,
        start,
    )  # fmt: skip
    if is_single:
        result = [values[0] for values in result]
    names = ("direction", "distance_squared", "dual", "kkt_residual", "status_code")
    solution = OrderedTopKSolution(**dict(zip((*names, "n_iter"), result, strict=True)))
    solution.active_set = solution.dual > 0.0
    solution._saved_rows = saved_rows
    return solution


def solve_checked(
    logits,
    targets,
    gram,
    margin,
    warm_start=None,
    tol=1e-8,
    max_iter=None,
    n_threads=None,
    solve=None,
    start=None,
    in_place=False,
    factor=1.0,
):
    """Solve checked problems in float64, without a look at the values.

    ``start`` is what comes last from an earlier call with the same ``gram``; in place,
    that call's results are overwritten. Directions are multiplied by ``factor``.
    """
    if is_torch_tensor(logits):
        import torch

        from minimalml.inspection._quad_attack._ordered_qp_torch import (
            ordered_qp as torch_kernel,
        )

        # Apple's devices have no float64
        work = logits.dtype if logits.device.type == "mps" else torch.float64
        gram = gram if gram.dtype == work else gram.to(work)
        rounds = max_iter or TORCH_ROUNDS
        options = margin, warm_start, tol, rounds, 1, start, in_place, factor
        return torch_kernel(logits.detach().to(work), targets, gram, *options)
    rounds = max_iter or 3 * logits.shape[1] + 50
    seconds = (
        SECONDS_PER_CLASS * logits.shape[1] * (WARM_SHARE if start is not None else 1.0)
    )
    threads = effective_n_threads(len(logits), seconds, n_threads)
    threads = min(threads, max(1, len(logits)))
    logits = np.ascontiguousarray(logits, dtype=float)
    if isinstance(gram, FactoredGram):
        from minimalml.inspection._quad_attack._ordered_qp_factored import (
            ordered_qp as factored,
        )

        solve = solve or factored
    else:
        gram = np.ascontiguousarray(gram, dtype=float)
    targets = np.ascontiguousarray(targets, dtype=np.intp)
    if warm_start is not None:
        warm_start = np.ascontiguousarray(warm_start, dtype=float)
    kernel = solve or ordered_qp
    options = margin, warm_start, tol, rounds, threads, start, in_place, factor
    return kernel(logits, targets, gram, *options)


def one_of(gram, weight, logits):
    """Return the Gram matrix that was given, or stand in for it by the weights."""
    if (gram is None) == (weight is None):
        given = "neither" if gram is None else "both"
        raise ValueError(f"give exactly one of gram and weight, got {given}.")
    if weight is None:
        return gram
    if is_torch_tensor(logits):
        import torch

        weight = torch.as_tensor(weight, device=logits.device).detach()
    else:
        weight = np.asarray(weight, dtype=float)
    n_classes = np.shape(logits)[-1]
    if weight.ndim != 2 or len(weight) != n_classes:
        raise ValueError(
            f"weight must have shape ({n_classes}, n_features), got "
            f"{tuple(weight.shape)}."
        )
    return FactoredGram(weight)


def check_problem(logits, targets, gram=None, margin=0.0):
    """Return logits, targets and gram checked, and whether it was a single sample."""
    if not margin >= 0.0:
        raise ValueError(f"margin must be at least 0, got {margin}.")
    is_tensor = is_torch_tensor(logits)
    if is_tensor:
        import torch

        targets = torch.as_tensor(targets, dtype=torch.int64, device=logits.device)
        if gram is not None and not isinstance(gram, FactoredGram):
            gram = torch.as_tensor(gram, device=logits.device).detach()
        is_finite = bool(torch.isfinite(logits).all())
    else:
        logits, targets = np.asarray(logits, dtype=float), np.asarray(targets)
        if gram is not None and not isinstance(gram, FactoredGram):
            gram = np.asarray(gram, dtype=float)
        is_finite = np.isfinite(logits).all()
    is_single = logits.ndim == 1
    if is_single:
        logits, targets = logits.reshape(1, -1), targets.reshape(1, -1)
    if not is_finite:
        raise ValueError("logits must be finite, got NaN or infinity.")
    n = logits.shape[1]
    if gram is not None and tuple(gram.shape) != (n, n):
        raise ValueError(
            f"the matrix of classes must have shape ({n}, {n}), got "
            f"{tuple(gram.shape)}."
        )
    checked = check_ordered_targets(to_numpy(targets), len(logits), n)
    return logits, targets if is_tensor else checked, gram, is_single


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
    if not is_torch_tensor(features):
        features = np.asarray(features)
    logits = features @ weight.T + bias
    logits, targets, gram, _ = check_problem(logits, targets, gram_of(weight), margin)
    direction, _, _, _, status, *_ = solve_checked(logits, targets, gram, margin)
    direction[status == 1] = np.nan
    if is_torch_tensor(direction):
        return features + direction.to(features.dtype) @ weight
    moved = features + direction @ weight
    return moved.astype(np.result_type(features, np.float32), copy=False)
