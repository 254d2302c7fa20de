"""The iterative attack: AdamW on a perturbation, the smallest success kept.

One loop for NumPy and torch: both offer the operators that it needs, and the head
supplies scores and the way back from score gradients to input gradients.
"""

from dataclasses import dataclass

import numpy as np

from minimalml._core.arrays import array_namespace
from minimalml.inspection._quad_attack._targets import ordered_top_k_success

# As in the official code: standard deviation of the first perturbation, and after how
# many steps the optimiser's moments are reset.
START_NOISE, WARMUP_ITERATIONS = 2e-3, 5
# The weight of the attack falls by this after each success, so that the norm shrinks.
COEFFICIENT_DECAY = 0.75


@dataclass
class AdamW:
    """Adam with decoupled weight decay on one array."""

    learning_rate: float
    weight_decay: float = 0.01
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    n_steps: int = 0
    first: object = 0.0
    second: object = 0.0

    def reset(self):
        """Forget the moments."""
        self.n_steps, self.first, self.second = 0, 0.0, 0.0

    def step(self, values, gradient):
        """Return the values after one step."""
        self.n_steps += 1
        slow, slower = self.betas
        self.first = slow * self.first + (1.0 - slow) * gradient
        self.second = slower * self.second + (1.0 - slower) * gradient**2
        first = self.first / (1.0 - slow**self.n_steps)
        second = self.second / (1.0 - slower**self.n_steps)
        values = values * (1.0 - self.learning_rate * self.weight_decay)
        return values - self.learning_rate * first / (second**0.5 + self.eps)


class Best:
    """Smallest successful perturbation so far, row by row."""

    def __init__(self, X, keeps_first):
        self.xp, self.keeps_first = array_namespace(X), keeps_first
        self.perturbation = self.xp.zeros_like(X)
        self.energy = self.perturbation[:, 0] + np.inf
        self.succeeded = self.energy < 0.0

    def update(self, success, perturbation):
        """Take in what improves and return where that was."""
        energy = (perturbation**2).sum(1) ** 0.5
        improved = success & (energy <= self.energy)
        if self.keeps_first:
            improved = improved & ~self.succeeded
        where = self.xp.where
        self.perturbation = where(improved[:, None], perturbation, self.perturbation)
        self.energy = where(improved, energy, self.energy)
        self.succeeded = self.succeeded | success
        return improved

    def or_else(self, last):
        """Return the perturbations, with ``last`` where nothing succeeded."""
        return self.xp.where(self.succeeded[:, None], self.perturbation, last)


def search_perturbation(
    head,
    X,
    targets,
    loss,
    bounds,
    noise,
    *,
    optimizer,
    max_iter,
    coef_upper,
    stop_on_success,
    on_iteration,
):
    """Look for small perturbations that put the targets on top, for one batch.

    ``head.logits_and_pullback(X)`` scores and propagates back, ``loss(logits)`` returns
    losses and gradients, each of ``noise`` starts a binary search step, and
    ``on_iteration()`` may stop all. Returns the perturbations, the smallest successes or
    what the last step led to, and the last weights of the loss.
    """
    xp, best = array_namespace(X), Best(X, stop_on_success)
    lower = xp.zeros_like(X[:, 0])
    upper = lower + coef_upper

    def project(perturbation):
        return (X + perturbation).clip(*bounds) - X

    def attempt(perturbation):
        logits, pullback = head.logits_and_pullback(X + perturbation)
        is_finite = xp.isfinite(logits).all(1)
        success = ordered_top_k_success(logits, targets) & is_finite
        # a network that returns NaN for a row has failed there, and only there
        logits = xp.where(is_finite[:, None], logits, 0.0)
        return logits, pullback, is_finite, success, best.update(success, perturbation)

    for start in noise:
        middle = (lower + upper) / 2.0
        coefficient, hit = middle, lower < 0.0
        perturbation = project(START_NOISE * start)
        optimizer.reset()
        for iteration in range(max_iter):
            if iteration == WARMUP_ITERATIONS:
                optimizer.reset()
            logits, pullback, is_finite, success, improved = attempt(perturbation)
            hit = hit | success
            gradient = pullback(coefficient[:, None] * loss(logits)[1])
            gradient = xp.where(
                is_finite[:, None], gradient + 2.0 * perturbation, 0.0 * perturbation
            )
            perturbation = project(optimizer.step(perturbation, gradient))
            coefficient = coefficient * xp.where(improved, COEFFICIENT_DECAY, 1.0)
            is_over = stop_on_success and bool(best.succeeded.all())
            if on_iteration() or is_over:
                return best.or_else(perturbation), coefficient
        hit = hit | attempt(perturbation)[3]
        lower, upper = xp.where(hit, lower, middle), xp.where(hit, middle, upper)
    return best.or_else(perturbation), coefficient
