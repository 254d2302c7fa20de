"""Measure `CMixupMLPRegressor`: rotated digits with a lying cue, and small tables.

Imported by the method's own script. Bandwidths are chosen on validation rows, which are
drawn as the training rows are; differences are paired by seed.
"""

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks import _data
from benchmarks.claims import Outcome, claim
from minimalml.datasets import make_rotated_digits
from minimalml.neural_network import Training
from minimalml.resampling import CMixupMLPRegressor

N_SEEDS = 10
BANDWIDTHS = (0.1, 0.25, 0.5)
# Of rotated digits, by number of rows: about a thousand steps.
EPOCHS = {200: 140, 1000: 30}
# Of a method's candidates the one with the least validation error is tested.
CANDIDATES = {
    "plain": [{"mixup": None}],
    "mixup": [{"mixup": "mixup"}],
    "C-Mixup": [{"bandwidth": h} for h in BANDWIDTHS],
    "manifold mixup": [{"mixup": "mixup", "mix_layer": 1}],
    "manifold C-Mixup": [{"bandwidth": h, "mix_layer": 1} for h in BANDWIDTHS],
}


def rmse(y, prediction):
    return float(np.sqrt(np.mean((y - prediction) ** 2)))


def worst_domain_rmse(y, prediction, domains):
    return max(rmse(y[domains == d], prediction[domains == d]) for d in (0, 1))


def over_seeds(experiment, *arguments):
    """Run ``experiment(seed, *arguments)`` for all seeds on two cores."""

    def one(seed):
        import torch

        torch.set_num_threads(1)
        with threadpool_limits(1):
            return experiment(seed, *arguments)

    return Parallel(n_jobs=2)(delayed(one)(seed) for seed in range(N_SEEDS))


def digits_errors(seed, cue, n_rows):
    """Worst-domain error of each method under reversed shares."""
    train_images, test_images = train_test_split(
        load_digits().images / 16, test_size=0.4, random_state=seed
    )
    validation_images, test_images = (
        test_images[::3],
        test_images[np.arange(719) % 3 > 0],
    )

    def rows(n, images, share, part):
        return make_rotated_digits(
            n, images=images, aligned_fraction=share, cue=cue,
            random_state=10 * seed + part,
        )  # fmt: skip

    X, y, _ = rows(n_rows, train_images, 0.8, 0)
    validation = rows(n_rows // 2, validation_images, 0.8, 1)
    test = rows(1000, test_images, 0.2, 2)

    def errors(options):
        model = CMixupMLPRegressor(
            max_epochs=EPOCHS[n_rows], batch_size=32, learning_rate=2e-3, device="cpu",
            random_state=seed, **options,
        ).fit(X, y)  # fmt: skip
        return [worst_domain_rmse(p[1], model.predict(p[0]), p[2])
                for p in (validation, test)]  # fmt: skip

    return {
        name: min(errors(options) for options in candidates)[1]
        for name, candidates in CANDIDATES.items()
        if not name.startswith("manifold")
    }


def table_errors(seed, X, y):
    """Test error of each method, by the paper's network, recipe and shares."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)

    def errors(options):
        model = CMixupMLPRegressor(
            early_stopping=True, device="cpu",
            training=Training(validation_fraction=0.125, n_iter_no_change=100),
            random_state=seed, **options,
        ).fit(X, y)  # fmt: skip
        return -model.best_validation_score_, rmse(y_test, model.predict(X_test))

    return {
        name: min(errors(options) for options in candidates)[1]
        for name, candidates in CANDIDATES.items()
    }


def compare(runs, method, others):
    """Mean error of each method, and a method's paired differences with s.e."""
    errors = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    figures = {name: round(float(e.mean()), 3) for name, e in errors.items()}
    for other in others:
        difference = errors[method] - errors[other]
        figures[f"{method} minus {other}"] = [
            round(float(difference.mean()), 3),
            round(float(difference.std(ddof=1) / np.sqrt(len(difference))), 3),
        ]
    return figures


def wins(figures):
    """For each paired difference, whether it is below zero by two standard errors."""
    pairs = [value for value in figures.values() if isinstance(value, list)]
    return [mean < -2 * error for mean, error in pairs]


def in_words(name, figures):
    parts = [
        f"{key} {value[0]:+.3g} ± {value[1]:.2g}"
        if isinstance(value, list)
        else f"{key} {value:.4g}"
        for key, value in figures.items()
    ]
    return f"{name}: {', '.join(parts)}"


def judge(cells):
    """Reproduced: all differences of all cells are wins; partly: some."""
    won = [win for figures in cells.values() for win in wins(figures)]
    if all(won):
        return "reproduced"
    return "partly" if any(won) else "not reproduced"


@claim(
    "C-Mixup beats mixup and no mixing in the worst domain where a cue turns false "
    "(rotated digits, RMSE in degrees)"
)
def rotated_digits():
    cells = {
        f"{cue}, {n} rows": compare(
            over_seeds(digits_errors, cue, n), "C-Mixup", ("plain", "mixup")
        )
        for cue in ("color", "background")
        for n in EPOCHS
    }
    words = "; ".join(in_words(*cell) for cell in cells.items())
    return Outcome(judge(cells), f"{N_SEEDS} seeds. {words}.", cells)


@claim(
    "A network trained with C-Mixup beats mixup and no mixing on small clean tables "
    "(the paper's network and recipe, test RMSE)"
)
def tables_by_networks():
    X, y = _data.concrete()
    tables = {
        "diabetes": load_diabetes(return_X_y=True),
        "concrete": (np.asarray(X, float), np.asarray(y, float)),
    }
    cells = {
        name: compare(over_seeds(table_errors, *rows), "C-Mixup", ("plain", "mixup"))
        for name, rows in tables.items()
    }
    words = "; ".join(in_words(*cell) for cell in cells.items())
    return Outcome(judge(cells), f"{N_SEEDS} seeds. {words}.", cells)
