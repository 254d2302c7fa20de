"""The smallest perturbation of a linear classifier's input, with a proof.

Where the features are the input, the ordering programme is the attack itself. Bounds
on the input enter its dual as a clip: for multipliers λ and u = Dᵀλ the best input is
``clip(x + u A, lower, upper)``. The dual then is concave and piecewise quadratic;
each Newton step is again an ordering programme, in which bound inputs do not move.
"""

import numpy as np

from minimalml.inspection._quad_attack._gram import gram_of, multiply
from minimalml.inspection._quad_attack._ordered_top_k import LARGE, solve_arrays
from minimalml.inspection._quad_attack._targets import ordering_pairs

# Newton's damping, relative to the Gram's diagonal: at first and at the end.
DAMPING = (1e-4, 1e-9)
SUFFICIENT_RISE = 1e-4
MAX_HALVINGS = 40
ROUNDING = 1e-12  # of the dual's value, when its rise drowns in it


def smallest_perturbation(weight, bias, X, targets, margin, bounds, tol=1e-9):
    """Find the smallest perturbations that put the targets on top of linear scores.

    Returns them, zero where none exists, and a lower bound of the length of any, by the
    dual, infinite where none exists.
    """
    largest = np.abs(weight).max()
    if largest and not LARGE**-0.5 < largest < LARGE**0.5:
        # in other units, in which no square leaves the range of floats
        unit = np.ldexp(1.0, np.frexp(largest)[1])
        scaled = X * unit, targets, margin, tuple(bound * unit for bound in bounds), tol
        found = smallest_perturbation(weight / unit, bias, *scaled)
        return tuple(lengths / unit for lengths in found)
    logits, gram = X @ weight.T + bias, gram_of(weight)
    direction, distance, dual, *_ = solve_arrays(logits, targets, gram, margin, tol)
    perturbation, bound = direction @ weight, np.sqrt(distance)
    moved = X + perturbation
    for i in np.flatnonzero(((moved < bounds[0]) | (moved > bounds[1])).any(axis=1)):
        problem = BoxedProblem(weight, bias, X[i], targets[i], margin, bounds)
        perturbation[i], bound[i] = problem.solve(dual[i], tol)
    return perturbation, bound


class BoxedProblem:
    """One sample's ordering programme with bounds on the input.

    Time O(C² d) a Newton step for C classes and d inputs.
    """

    def __init__(self, weight, bias, x, targets, margin, bounds):
        self.weight, self.bias, self.x = weight, bias, x
        self.margin, self.bounds = margin, bounds
        self.targets = targets[None, :]
        high, low = ordering_pairs(self.targets, len(weight))
        self.high, self.low = high[0], low[0]

    def direction(self, dual):
        """Multiply by the transposed matrix of rows."""
        u = np.zeros(len(self.weight))
        np.add.at(u, self.high, dual)
        np.add.at(u, self.low, -dual)
        return u

    def evaluate(self, dual):
        """Return the dual value, the best input, its scores and the gaps."""
        pull = self.direction(dual) @ self.weight
        moved = np.clip(self.x + pull, *self.bounds)
        scores = moved @ self.weight.T + self.bias
        gap = self.margin - scores[self.high] + scores[self.low]
        value = 0.5 * ((moved - self.x) ** 2).sum() + dual @ gap
        return value, moved, scores, gap

    def can_not_succeed(self, dual):
        """Whether the multipliers prove that no input within the bounds succeeds."""
        u = self.direction(dual)
        pull = u @ self.weight
        best = np.where(pull > 0.0, self.bounds[1], self.bounds[0])
        pulled = pull != 0.0  # where not, zero times an infinite bound is no number
        reached = pull[pulled] @ best[pulled] + u @ self.bias
        needed = self.margin * dual.sum()
        return needed - reached > 1e-9 * (np.abs(needed) + np.abs(pull * self.x).sum())

    def solve(self, dual, tol, max_iter=200):
        """Return perturbation and distance bound."""
        gram_size = np.einsum("ij,ij->i", self.weight, self.weight).max()
        value, moved, scores, gap = self.evaluate(dual)
        for _ in range(max_iter):
            if self.can_not_succeed(dual):
                return np.zeros_like(self.x), np.inf
            scale = 1.0 + np.abs(scores).max()
            worst = max(gap.max(), np.abs(np.minimum(dual, -gap)).max()) / scale
            if worst <= tol:
                break
            damping = gram_size * max(DAMPING[1], min(DAMPING[0], 0.01 * worst))
            step = self.newton_target(dual, moved, scores, damping) - dual
            rise = step @ gap
            length = 1.0
            for _ in range(MAX_HALVINGS):
                trial = self.evaluate(dual + length * step)
                enough = SUFFICIENT_RISE * length * rise - ROUNDING * abs(value)
                if trial[0] >= value + enough:
                    break
                length *= 0.5
            else:
                break
            dual = dual + length * step
            value, moved, scores, gap = trial
        return moved - self.x, np.sqrt(max(0.0, 2.0 * value))

    def newton_target(self, dual, moved, scores, damping):
        """Maximise the dual's quadratic model, in which bound inputs do not move."""
        is_free = (moved > self.bounds[0]) & (moved < self.bounds[1])
        free = self.weight[:, is_free]
        gram = gram_of(free, damping)
        logits = scores - multiply(self.direction(dual)[None, :], gram)
        problem = logits, self.targets, gram, self.margin
        return solve_arrays(*problem, warm_start=dual[None, :])[2][0]
