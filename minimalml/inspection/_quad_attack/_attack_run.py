"""Run a fitted `QuadAttack` on rows, batch by batch, and describe what came out."""

import copy
from functools import partial

import numpy as np
from sklearn.utils import Bunch, gen_batches
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from minimalml._core.arrays import is_torch_module
from minimalml.inspection._quad_attack._attack_loop import AdamW, search_perturbation
from minimalml.inspection._quad_attack._exact_attack import smallest_perturbation
from minimalml.inspection._quad_attack._losses import (
    QuadLoss,
    cw_loss_and_gradient,
    distillation_loss_and_gradient,
    log_teacher,
)
from minimalml.inspection._quad_attack._targets import (
    ordered_top_k_success,
    top_k_success,
)


def scores_of(attacker, X):
    """Score rows in batches, (n_samples, n_classes)."""
    batches = gen_batches(len(X), attacker.batch_size)
    head = attacker._head
    scores = [head.to_numpy(head.logits(head.prepare(X[b]))) for b in batches]
    return np.concatenate(scores)


def attack_batches(attacker, X, goal, random_state, context):
    """Attack batch by batch: perturbations, coefficients and bounds of all rows.

    The noise is drawn here, in order, so that nothing depends on who attacks what.
    """
    batches = list(gen_batches(len(X), attacker.batch_size))
    is_exact = attacker.method_ == "exact"
    n_starts = 0 if is_exact else attacker.n_search_steps
    steps = n_starts * attacker.max_iter
    parts = [context.subcontext("batch", max_subtasks=steps) for _ in batches]
    worker = copy.copy(attacker)
    worker.last_attack_ = None  # spares sending it about
    jobs = (
        delayed(attack_batch)(
            worker,
            X[batch],
            goal[batch],
            [random_state.standard_normal(X[batch].shape) for _ in range(n_starts)],
            part,
        )
        for batch, part in zip(batches, parts, strict=True)
    )
    results = Parallel(n_jobs=attacker.n_jobs, return_as="generator")(jobs)
    found = []
    for batch, result in zip(batches, results, strict=True):
        found.append(result)
        if attacker.verbose:
            print(f"[QuadAttack] {batch.stop} of {len(X)} rows")
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def attack_batch(attacker, X, goal, noise, context):
    """Return perturbation, coefficient and distance bound of one batch."""
    # BLAS rounds by its number of threads, which is not the same in every process
    n_threads = None if is_torch_module(getattr(attacker._head, "module", None)) else 1
    with threadpool_limits(n_threads, user_api="blas"):
        return _attack_batch(attacker, X, goal, noise, context)


def _attack_batch(attacker, X, goal, noise, context):
    context.call_on_fit_task_begin(estimator=attacker, X=X)
    head = attacker._head
    bounds = tuple(map(head.prepare, attacker.bounds_))
    unknown = np.full(len(X), np.nan)
    if attacker.method_ == "exact":
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
            [head.prepare(start) for start in noise],
            optimizer=AdamW(attacker.learning_rate_, attacker.weight_decay),
            max_iter=attacker.max_iter,
            coef_upper=attacker.coef_upper,
            warmup_iterations=attacker.warmup_iterations,
            stop_on_success=attacker.stop_on_success,
            on_iteration=partial(tick, attacker, context),
        )
        found = best.or_else(last), coefficient
        found = (*map(head.to_numpy, found), unknown)
    context.call_on_fit_task_end(estimator=attacker, X=X)
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
