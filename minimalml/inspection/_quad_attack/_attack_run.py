"""Run a fitted `QuadAttack` on rows, batch by batch, and describe what came out."""

from functools import partial

import numpy as np
from sklearn.utils import Bunch, gen_batches
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from minimalml._core.arrays import is_torch_module
from minimalml._core.callbacks import FitTask
from minimalml.inspection._quad_attack._attack_loop import AdamW, search_perturbation
from minimalml.inspection._quad_attack._exact_attack import smallest_perturbation
from minimalml.inspection._quad_attack._gram import gram_of
from minimalml.inspection._quad_attack._losses import (
    cw_loss_and_gradient,
    distillation_loss_and_gradient,
    log_teacher,
    mean_cosines,
    quad_loss_and_gradient,
)
from minimalml.inspection._quad_attack._ordered_top_k import OrderedTopKSolver
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


def attack_batches(attacker, method, X, goal, random_state, context):
    """Attack batch by batch: perturbations, coefficients and bounds of all rows.

    The noise is drawn here, in order, so that nothing depends on who attacks what.
    """
    batches = list(gen_batches(len(X), attacker.batch_size))
    n_starts = 0 if method == "exact" else attacker.n_search_steps
    steps = n_starts * attacker.max_iter
    parts = [context.subcontext("batch", max_subtasks=steps) for _ in batches]
    jobs = (
        delayed(attack_batch)(
            attacker,
            method,
            X[batch],
            goal[batch],
            [random_state.standard_normal(X[batch].shape) for _ in range(n_starts)],
            part,
        )
        for batch, part in zip(batches, parts, strict=True)
    )
    found = Parallel(n_jobs=attacker.n_jobs)(jobs)
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def attack_batch(attacker, method, X, goal, noise, context):
    """Return perturbation, coefficient and distance bound of one batch."""
    # BLAS rounds by its number of threads, which is not the same in every process
    n_threads = None if is_torch_module(getattr(attacker._head, "module", None)) else 1
    attack = exact_attack if method == "exact" else gradient_attack
    data = {"estimator": attacker, "X": X, "y": None}
    context.call_on_fit_task_begin(**data)
    with threadpool_limits(n_threads, user_api="blas"):
        found = attack(attacker, X, goal, noise, FitTask(context, data))
    context.call_on_fit_task_end(**data)
    return found


def exact_attack(attacker, X, goal, noise, task):
    """Attack a linear model, on which there is one smallest perturbation."""
    head = attacker._head
    perturbation, distance_bound = smallest_perturbation(
        head.weight, head.bias, head.prepare(X), goal, attacker.margin, attacker.bounds_
    )
    return perturbation, np.full(len(X), np.nan), distance_bound


def gradient_attack(attacker, X, goal, noise, task):
    """Attack any model by steps down a loss."""
    head = attacker._head

    def is_stopped():
        with task.step("iteration", attributes=None):
            pass
        return task.is_stopped

    found = search_perturbation(
        head,
        head.prepare(X),
        head.prepare_classes(goal),
        make_loss(attacker, goal),
        tuple(map(head.prepare, attacker.bounds_)),
        [head.prepare(start) for start in noise],
        optimizer=AdamW(attacker.learning_rate_),
        max_iter=attacker.max_iter,
        coef_upper=attacker.coef_upper,
        stop_on_success=attacker.stop_on_success,
        on_iteration=is_stopped,
    )
    return (*map(head.to_numpy, found), np.full(len(X), np.nan))


def make_loss(attacker, goal):
    """Return the map from scores to losses and score gradients of one batch."""
    head = attacker._head
    if attacker.loss == "quad":
        gram = attacker._gram  # None where fit did not expect gradient steps
        gram = gram_of(head.weight) if gram is None else gram
        solver = OrderedTopKSolver(gram, goal, attacker.margin)
        return partial(quad_loss_and_gradient, solver=solver)
    targets = head.prepare_classes(goal)
    if attacker.loss == "cw":
        return partial(
            cw_loss_and_gradient, targets=targets, confidence=attacker.margin
        )
    if attacker.class_similarity is None:
        similarity = mean_cosines(head.weight, targets)
    else:
        similarity = np.asarray(attacker.class_similarity, dtype=float)[goal].mean(1)
    teacher = log_teacher(head.prepare(similarity), targets)
    return partial(distillation_loss_and_gradient, teacher=teacher)


def describe(attacker, X, perturbation, goal):
    """Add perturbations in the type of X, within the bounds, and say what came out."""
    moved = (X + perturbation).astype(X.dtype, copy=False)
    moved = np.clip(moved, *(bound.astype(X.dtype) for bound in attacker.bounds_))
    logits = scores_of(attacker, moved)
    success = ordered_top_k_success(logits, goal)
    if attacker.on_failure == "original":
        moved = np.where(success[:, None], moved, X)
    added = moved.astype(np.float64) - X
    largest = np.abs(added).max(axis=1)
    # in units of the largest, whose square may leave the range of floats
    unit = np.where(largest > 0.0, largest, 1.0)
    return Bunch(
        X_adversarial=moved,
        success=success,
        unordered_success=top_k_success(logits, goal),
        targets=attacker.classes_[goal],
        target_indices=goal,
        logits=logits,
        perturbation=added,
        l1=np.abs(added).sum(axis=1),
        l2=unit * np.sqrt(((added / unit[:, None]) ** 2).sum(axis=1)),
        linf=largest,
    )
