"""What makes grokking come and go: laziness, misaligned features, and the number of rows.

Paper: Kumar, Bordelon, Gershman and Pehlevan, ICLR 2024. Its polynomial task, smaller: 25
columns, 120 rows, 100 units; a loss counts as low from a tenth of that of predicting 0.
The first seeds differ in data and weights, and nothing is chosen on the test loss.
"""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale

from benchmarks.claims import Outcome, claim
from benchmarks.grokking.polynomial import MEAN_SQUARE, polynomial_task
from minimalml.training_dynamics import (
    LazyRichRegressor,
    detect_grokking,
    simulate_lazy_rich,
)

SEEDS, SPLITS = range(5), range(3)
ALPHAS = (0.25, 0.5, 1.0, 4.0)


@cache
def run(seed, n_samples=120, **options):
    """Return the verdict on a simulated run, and the run."""
    X, y, beta = polynomial_task(seed, n_samples=n_samples)
    history = simulate_lazy_rich(
        X, y, **{"eta0": 2.0, "n_hidden": 100} | options, beta=beta, random_state=seed
    )
    curves = history.step, history.train_loss, history.test_loss
    return detect_grokking(*curves, scale=MEAN_SQUARE), history


def medians(values):
    return float(np.median(values))


def times(**options):
    """Return the steps at which both losses got low, by seed, and their ratios."""
    found = [run(seed, **options)[0] for seed in SEEDS]
    train, test = (np.array([f[name] for f in found]) for name in ("t_train", "t_test"))
    return train, test, test / np.maximum(train, 1)


def in_words(train, test):
    return f"train {medians(train):.0f}, test {medians(test):.0f}"


@claim(
    "The lazier the network, the later the test loss falls after the training loss, while "
    "features turn to the target; the initial features alone would never generalise"
)
def laziness_sets_the_gap():
    """Compare steps from alpha = 0.25 to 4, and final losses with the plateau."""
    found = {alpha: times(alpha=alpha) for alpha in ALPHAS}
    later = medians(found[4.0][1]) / medians(found[0.25][1])
    wider = medians(found[4.0][2]) / medians(found[0.25][2])
    ends = [run(seed, alpha=alpha)[1] for seed in SEEDS for alpha in ALPHAS]
    alignment = min(history.alignment[-1] for history in ends)
    plateau = min(h.kernel_test_loss / h.test_loss[-1] for h in ends)
    passed = [later >= 8, wider >= 1.3, alignment > 0.99, plateau >= 20]
    return Outcome(
        _verdict(passed),
        summary=(
            f"{len(SEEDS)} seeds, medians: from alpha=0.25 to 4 the test loss falls "
            f"{later:.1f} times as late, and {wider:.2f} times as late in proportion to the "
            f"training loss; the features end at an alignment of {alignment:.3f} or more; "
            f"the loss of the initial kernel is {plateau:.0f} times the final one or more."
        ),
        measured={
            "steps to a low loss": {
                f"alpha={alpha:g}": f"{in_words(train, test)}, ratio {medians(ratio):.1f} "
                f"({ratio.min():.1f} to {ratio.max():.1f})"
                for alpha, (train, test, ratio) in found.items()
            },
            "test loss of the initial kernel": [
                round(run(seed)[1].kernel_test_loss, 3) for seed in SEEDS
            ],
            "final test loss": {
                f"alpha={alpha:g}": round(
                    medians([run(s, alpha=alpha)[1].test_loss[-1] for s in SEEDS]), 5
                )
                for alpha in ALPHAS
            },
        },
    )


@claim(
    "Grokking needs initial features that go badly with the target, and a number of rows "
    "between too few to generalise at all and enough for no gap"
)
def alignment_and_rows_set_the_gap():
    """Compare steps for epsilon of 0.1, 0.25 and 1, and for 60 to 480 rows; alpha = 1."""
    by_epsilon = {epsilon: times(epsilon=epsilon) for epsilon in (0.1, 0.25, 1.0)}
    by_rows = {n: times(n_samples=n) for n in (60, 80, 120, 240, 480)}
    lags = [medians(test - train) for train, test, _ in by_epsilon.values()]
    shares = [medians(ratio) for *_, ratio in by_epsilon.values()]
    ratios = {n: medians(ratio) for n, (_, _, ratio) in by_rows.items()}
    never = {n: int(np.isinf(test).sum()) for n, (_, test, _) in by_rows.items()}
    passed = [
        lags[0] > lags[1] > lags[2],
        shares[0] > shares[1] > shares[2],
        never[60] > len(SEEDS) / 2 and never[120] == 0,
        ratios[120] > 2 * ratios[480],
    ]
    return Outcome(
        _verdict(passed),
        summary=(
            f"{len(SEEDS)} seeds, medians: the test loss lags by "
            + ", ".join(f"{lag:.0f}" for lag in lags)
            + " steps with epsilon=0.1, 0.25 and 1, and falls "
            + ", ".join(f"{share:.1f}" for share in shares)
            + " times as late as the training loss; within 20,000 steps "
            f"{never[60]} of {len(SEEDS)} runs never generalise with 60 rows and "
            f"{never[80]} with 80; it falls {ratios[120]:.1f} times as late as the "
            f"training loss with 120 rows, {ratios[240]:.1f} with 240 and {ratios[480]:.1f} with 480."
        ),
        measured={
            "epsilon": {
                f"{e:g}": in_words(train, test)
                for e, (train, test, _) in by_epsilon.items()
            },
            "rows": {
                str(n): in_words(train, test) + f", never {never[n]}"
                for n, (train, test, _) in by_rows.items()
            },
        },
    )


@claim(
    "In ReLU networks the tangent kernel moves the less, the larger the output scale is"
)
def laziness_of_networks():
    """Train on 500 digits, classes in columns, for 200 epochs; the rest are to test on."""
    X, y = load_digits(return_X_y=True)
    X, Y = scale(X), np.eye(10)[y]
    drifts, errors = {}, {}
    for alpha in (0.5, 2.0, 20.0):
        runs = []
        for seed in SPLITS:
            order = np.random.default_rng(seed).permutation(len(X))
            parts = [part[order[rows]] for rows in (slice(500), slice(500, None))
                     for part in (X, Y)]  # fmt: skip
            model = LazyRichRegressor(
                alpha, max_epochs=200, kernel_rows=16, device="cpu", random_state=seed
            )
            runs.append(model.fit(*parts).history_)
        drifts[alpha] = np.array([history["kernel_drift"][-1] for history in runs])
        errors[alpha] = np.array([history["test_loss"][-1] for history in runs])
    share = medians(drifts[20.0] / drifts[0.5])
    falls = all((drifts[a] > drifts[b]).all() for a, b in ((0.5, 2.0), (2.0, 20.0)))
    return Outcome(
        _verdict([falls, share < 0.3]),
        summary=(
            f"{len(SPLITS)} splits of the digits: the kernel moves by "
            + ", ".join(f"{medians(drift):.3f}" for drift in drifts.values())
            + " of its norm at alpha=0.5, 2 and 20; test losses are "
            + ", ".join(f"{medians(error):.3f}" for error in errors.values())
            + "."
        ),
        measured={
            f"alpha={alpha:g}": f"drift {drift.mean():.4f} ± {drift.std(ddof=1):.4f}, test "
            f"loss {errors[alpha].mean():.3f} ± {errors[alpha].std(ddof=1):.3f}"
            for alpha, drift in drifts.items()
        },
    )


def _verdict(passed):
    if all(passed):
        return "reproduced"
    return "partly" if any(passed) else "not reproduced"
