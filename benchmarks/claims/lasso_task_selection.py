"""Claims of "Improved Active Multi-Task Representation Learning via Lasso"."""

import warnings

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score

from benchmarks.claims import Outcome, claim
from minimalml.multitask import (
    ActiveMultiTaskRegressor,
    allocate_samples,
    fit_shared_representation,
    make_low_rank_tasks,
    relevance_l1,
    relevance_l2,
    task_statistics,
)

SEEDS = range(20)
DIGIT_TARGET_ROWS = (100, 500)
BUDGETS = (2000, 4000, 8000, 16000)
N_FEATURES, RANK, N_TASKS, NOISE, N_TARGET = 30, 4, 40, 0.5, 500

ACTIVE = {
    "uniform": {"strategy": "uniform"},
    "l2-active (squared, 2022)": {"strategy": "l2", "exponent": 2},
    "l2-active (absolute)": {"strategy": "l2"},
    "l1-active (Lasso 0.05)": {"strategy": "lasso"},
    "l1-active (LP)": {"strategy": "lasso", "lambda_": "lp"},
    "l1-active (discrepancy)": {"strategy": "lasso", "lambda_": "discrepancy"},
}
OURS = "l1-active (Lasso 0.05)"
STRATEGIES = ("uniform", "l2-active (squared, 2022)", OURS)
KNOWN = {
    "known nu, l1": (relevance_l1, 1),
    "known nu, l2 squared": (relevance_l2, 2),
}


class Problem:
    """One draw of the synthetic tasks; samples without end."""

    def __init__(self, seed, n_target=N_TARGET):
        *_, self.truth = make_low_rank_tasks(
            N_TASKS, N_FEATURES, RANK, 3, NOISE, random_state=seed, n_samples=1
        )
        self.X, self.y = self._rows(self.truth.target_head, n_target, 10_000 + seed)

    def _rows(self, head, n, seed):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, N_FEATURES))
        return X, X @ self.truth.basis @ head + NOISE * rng.standard_normal(n)

    def sampler(self, task, n, seed):
        return self._rows(self.truth.heads[:, task], n, seed)

    def excess_risk(self, coefficients):
        error = coefficients - self.truth.basis @ self.truth.target_head
        return float(error @ error)

    def active_risk(self, budget, seed, settings):
        model = ActiveMultiTaskRegressor(
            RANK, budget=budget, center=False, random_state=seed, **settings
        )
        model.fit_sampler(self.sampler, np.arange(N_TASKS), self.X, self.y)
        return self.excess_risk(model.coef_)

    def known_risk(self, budget, seed, relevance, exponent):
        """Excess risk and number of sources with the true relevance."""
        nu = relevance(self.truth.heads, self.truth.target_head)
        counts = allocate_samples(nu, budget, exponent=exponent)
        used = np.flatnonzero(counts)
        blocks = [self.sampler(t, counts[t], [seed, t]) for t in used]
        X, y = (np.concatenate(part) for part in zip(*blocks, strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer sources than rank
            shared = fit_shared_representation(
                task_statistics(X, y, np.repeat(used, counts[used])),
                RANK,
                random_state=seed,
            )
        features = self.X @ shared.basis
        head = np.linalg.lstsq(features, self.y, rcond=None)[0]
        return self.excess_risk(shared.basis @ head), len(used)


def _spread(values):
    values = np.asarray(values)
    return {
        "mean": float(values.mean()),
        "standard error": float(values.std(ddof=1) / np.sqrt(len(values))),
        "quartiles": np.percentile(values, [25, 50, 75]).tolist(),
    }


@claim(
    "Sampling sources in proportion to the smallest-L1 relevance gives the target a "
    "smaller excess risk than uniform and than smallest-L2 sampling (synthetic tasks)"
)
def synthetic_budgets():
    risks = {name: {n: [] for n in BUDGETS} for name in (*ACTIVE, *KNOWN)}
    n_used = []
    for seed in SEEDS:
        problem = Problem(seed)
        for budget in BUDGETS:
            for name, settings in ACTIVE.items():
                risks[name][budget].append(problem.active_risk(budget, seed, settings))
            for name, settings in KNOWN.items():
                risk, used = problem.known_risk(budget, seed, *settings)
                risks[name][budget].append(risk)
                if name == "known nu, l1":
                    n_used.append(used)
    mean = {name: np.mean(risks[name][4000]) for name in risks}
    lasso, uniform = mean[OURS], mean["uniform"]
    squared = mean["l2-active (squared, 2022)"]
    absolute = mean["l2-active (absolute)"]
    beats_uniform = lasso <= 0.8 * uniform
    beats_l2 = lasso <= 0.95 * min(squared, absolute)
    is_sparse = max(n_used) <= RANK
    holds = sum([beats_uniform, beats_l2, is_sparse])
    verdict = {3: "reproduced", 0: "not reproduced"}.get(holds, "partly")
    summary = (
        f"Excess risk at a budget of 4000 over {len(SEEDS)} seeds: uniform "
        f"{uniform:.4f}, l2-active {squared:.4f} (squared) and {absolute:.4f} "
        f"(absolute), l1-active {lasso:.4f} "
        f"({lasso / uniform:.2f} of uniform, aim 0.8; "
        f"{lasso / min(squared, absolute):.2f} of the better l2, aim 0.95); known nu: "
        f"l1 {mean['known nu, l1']:.4f} with at most {max(n_used)} sources, l2 "
        f"{mean['known nu, l2 squared']:.4f}. " + _other_budgets(risks)
    )
    measured = {
        name: {str(n): _spread(values) for n, values in by_budget.items()}
        for name, by_budget in risks.items()
    }
    return Outcome(verdict, summary, measured | {"most sources, known nu": max(n_used)})


def _other_budgets(risks):
    """Say how the strategies stand where the aims are not set."""
    parts = [
        f"at {budget} "
        + ", ".join(f"{np.mean(risks[name][budget]):.4f}" for name in STRATEGIES)
        for budget in BUDGETS
        if budget != 4000
    ]
    return (
        "Other budgets (uniform, l2 squared, l1-active): "
        + "; ".join(parts)
        + ". Where exploration is too short to know the heads (2000), acting on them "
        "can cost more than it gains."
    )


@claim(
    "With few target samples the choice of sources hardly matters: the error of the "
    "target's own head dominates (synthetic tasks, 20 target samples)"
)
def few_target_samples():
    names = STRATEGIES
    risks = {
        name: [Problem(s, 20).active_risk(4000, s, ACTIVE[name]) for s in SEEDS]
        for name in names
    }
    means = [np.mean(risks[name]) for name in names]
    is_drowned = max(means) <= 1.2 * min(means)
    summary = "Excess risk with 20 target samples: " + ", ".join(
        f"{name} {mean:.4f}" for name, mean in zip(names, means, strict=True)
    )
    return Outcome(
        "reproduced" if is_drowned else "not reproduced",
        summary + " (claim: all within 20 % of each other).",
        {name: _spread(values) for name, values in risks.items()},
    )


def _corruptions(images, seed):
    """Eight ways to spoil 8 by 8 images with values 0 to 1, after MNIST-C."""
    rng = np.random.default_rng(seed)
    stripes = np.zeros((8, 8))
    stripes[:, ::3] = 0.6
    salt = rng.random(images.shape)
    return {
        "rotate": ndimage.rotate(images, 30, axes=(1, 2), reshape=False, order=1),
        "shift": ndimage.shift(images, (0, 1.5, 1), order=1),
        "blur": ndimage.gaussian_filter(images, (0, 0.8, 0.8)),
        "noise": images + 0.3 * rng.standard_normal(images.shape),
        "invert": 1 - images,
        "contrast": 0.5 + 0.3 * (images - 0.5),
        "stripe": np.maximum(images, stripes),
        "salt": np.where(salt < 0.08, 1.0, np.where(salt > 0.92, 0.0, images)),
    }


def _digit_tasks():
    digits = load_digits()
    names, blocks = [], []
    for name, images in _corruptions(digits.images / 16, 0).items():
        names.append(name)
        blocks.append(images.reshape(len(images), -1))
    return names, blocks, digits.target


def _digit_scores(blocks, target, corruption, digit, seed, n_target):
    """Test error rate and AUC of each strategy for one pair as the target."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(target))
    train, test = order[:1000], order[1000:]
    sources = [
        (other, label)
        for other in range(len(blocks))
        if other != corruption
        for label in range(10)
    ]
    mean = np.mean([block[train].mean(axis=0) for block in blocks], axis=0)
    X = np.concatenate(
        [blocks[c][train] for c, _ in sources] + [blocks[corruption][train[:n_target]]]
    )
    y = np.concatenate(
        [target[train] == label for _, label in sources]
        + [target[train[:n_target]] == digit]
    )
    tasks = np.concatenate(
        [
            np.repeat(np.arange(len(sources)), len(train)),
            np.full(n_target, len(sources)),
        ]
    )
    scores = {}
    for name in STRATEGIES:
        model = ActiveMultiTaskRegressor(
            20, budget=14_000, random_state=seed, **ACTIVE[name]
        )
        model.fit(X - mean, 2.0 * y - 1, tasks=tasks)
        predicted = model.predict(blocks[corruption][test] - mean)
        truth = target[test] == digit
        error = np.mean((predicted > 0) != truth)
        scores[name] = error, roc_auc_score(truth, predicted)
    alone = RidgeCV(np.logspace(-3, 3, 13)).fit(
        X[-n_target:] - mean, 2.0 * y[-n_target:] - 1
    )
    predicted = alone.predict(blocks[corruption][test] - mean)
    scores["target alone (ridge)"] = (
        np.mean((predicted > 0) != truth),
        roc_auc_score(truth, predicted),
    )
    return scores


@claim(
    "On corrupted digits (8 corruptions by 10 one-against-all digits, in the manner of "
    "MNIST-C) L1 sampling serves the target better than uniform and L2 sampling"
)
def corrupted_digits():
    names, blocks, target = _digit_tasks()
    pairs = [(c, digit) for c in range(len(names)) for digit in (3, 8)]
    summaries, measured, n_won = [], {}, 0
    for n_target in DIGIT_TARGET_ROWS:
        scores = [
            _digit_scores(blocks, target, c, digit, 10 * c + digit, n_target)
            for c, digit in pairs
        ]
        error, auc = (
            {name: np.array([s[name][at] for s in scores]) for name in scores[0]}
            for at in (0, 1)
        )
        gains = {name: error[name] - error[OURS] for name in error if name != OURS}
        errors_of_gain = {n: g.std(ddof=1) / len(g) ** 0.5 for n, g in gains.items()}
        n_won += all(
            gains[name].mean() > 2 * errors_of_gain[name]
            for name in STRATEGIES
            if name != OURS
        )
        summaries.append(
            f"{n_target} target rows, test error over {len(pairs)} targets (AUC): "
            + ", ".join(
                f"{name} {error[name].mean():.4f} ({auc[name].mean():.3f})"
                for name in error
            )
            + "; gain of l1-active "
            + ", ".join(
                f"over {name} {gain.mean():+.4f} ± {errors_of_gain[name]:.4f}"
                for name, gain in gains.items()
            )
        )
        measured[f"{n_target} target rows"] = {
            "error": {name: _spread(values) for name, values in error.items()},
            "auc": {name: _spread(values) for name, values in auc.items()},
        }
    verdict = ("not reproduced", "partly", "reproduced")[n_won]
    aim = "The claim asks for a gain of two standard errors over uniform and l2."
    return Outcome(verdict, ". ".join([*summaries, aim]), measured)
