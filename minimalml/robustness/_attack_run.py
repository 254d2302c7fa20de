# SPDX-License-Identifier: BSD-3-Clause
"""Run a fitted `QuadAttack` on rows, batch by batch, and describe what came out."""

from functools import partial

import numpy as np
from sklearn.utils import Bunch, gen_batches

from minimalml.robustness._attack_loop import AdamW, search_perturbation
from minimalml.robustness._exact_attack import smallest_perturbation
from minimalml.robustness._losses import (
    QuadLoss,
    cw_loss_and_gradient,
    distillation_loss_and_gradient,
    log_teacher,
)
from minimalml.robustness._targets import ordered_top_k_success, top_k_success


def scores_of(attacker, X):
    """Score rows in batches, (n_samples, n_classes)."""
    batches = gen_batches(len(X), attacker.batch_size)
    head = attacker._head
    scores = [head.to_numpy(head.logits(head.prepare(X[b]))) for b in batches]
    return np.concatenate(scores)


def attack_batch(attacker, X, goal, random_state, context):
    """Return perturbation, coefficient and distance bound of one batch."""
    steps = attacker.n_search_steps * attacker.max_iter
    is_exact = attacker.method_ == "exact"
    part = context.subcontext("batch", max_subtasks=0 if is_exact else steps)
    part.call_on_fit_task_begin(estimator=attacker, X=X)
    head = attacker._head
    bounds = tuple(map(head.prepare, attacker.bounds_))
    unknown = np.full(len(X), np.nan)
    if is_exact:
        exact = smallest_perturbation(
            head.weight, head.bias, head.prepare(X), goal, attacker.margin, bounds
        )
        found = exact.perturbation, unknown, exact.distance_bound
    else:
        best, last, coefficient = search_perturbation(
            head,
            head.prepare(X),
            head.prepare_classes(goal),
            partial(make_loss, attacker, head.prepare_classes(goal)),
            bounds,
            [
                head.prepare(random_state.standard_normal(X.shape))
                for _ in range(attacker.n_search_steps)
            ],
            optimizer=AdamW(attacker.learning_rate_, attacker.weight_decay),
            max_iter=attacker.max_iter,
            coef_upper=attacker.coef_upper,
            warmup_iterations=attacker.warmup_iterations,
            stop_on_success=attacker.stop_on_success,
            on_iteration=partial(tick, attacker, part),
        )
        found = best.or_else(last), coefficient
        found = (*map(head.to_numpy, found), unknown)
    part.call_on_fit_task_end(estimator=attacker, X=X)
    return found


def tick(attacker, context):
    """Tell callbacks that an iteration is over, and whether one wants to stop."""
    step = context.subcontext("iteration")
    step.call_on_fit_task_begin(estimator=attacker)
    return step.call_on_fit_task_end(estimator=attacker)


def make_loss(attacker, goal):
    """Return the map from scores to losses and score gradients of one batch."""
    if attacker.loss == "quad":
        return QuadLoss(goal, attacker._gram, attacker.margin)
    if attacker.loss == "cw":
        confidence = (
            attacker.margin if attacker.confidence is None else attacker.confidence
        )
        return partial(cw_loss_and_gradient, targets=goal, confidence=confidence)
    teacher = log_teacher(goal, attacker._similarity, attacker.alpha, attacker.beta)
    return partial(distillation_loss_and_gradient, teacher=teacher)


def add_within_bounds(attacker, X, perturbation):
    """Add perturbations in the type of X, within the bounds."""
    moved = (X + perturbation).astype(X.dtype, copy=False)
    lower, upper = (np.asarray(b, dtype=X.dtype) for b in attacker.bounds_)
    return np.clip(moved, lower, upper)


def describe(attacker, X, moved, goal, true, predicted, found, shape):
    """Return all that is known about the attack of each row."""
    logits = scores_of(attacker, moved)
    success = ordered_top_k_success(logits, goal)
    if attacker.on_failure == "original":
        moved = np.where(success[:, None], moved, X)
    added = moved.astype(np.float64) - X
    return Bunch(
        X_adversarial=moved.reshape(shape),
        success=success,
        unordered_success=top_k_success(logits, goal),
        targets=attacker.classes_[goal],
        true_labels=attacker.classes_[true],
        predicted=attacker.classes_[predicted],
        logits=logits,
        target_indices=goal,
        perturbation=added,
        l1=np.abs(added).sum(axis=1),
        l2=np.sqrt((added**2).sum(axis=1)),
        linf=np.abs(added).max(axis=1),
        coefficient=found[0],
        distance_bound=found[1],
    )


class LastAttackMixin:
    """What became of each row in the last call of ``transform``."""

    @property
    def targets_(self):
        """Labels aimed at in the last call of ``transform``."""
        return self.last_attack_.targets

    @property
    def success_(self):
        """Which rows succeeded in the last call of ``transform``."""
        return self.last_attack_.success

    @property
    def perturbation_norms_(self):
        """Euclidean length of what the last call of ``transform`` added."""
        return self.last_attack_.l2

    @property
    def coef_(self):
        """Weight of the loss at the end of the last call of ``transform``."""
        return self.last_attack_.coefficient
