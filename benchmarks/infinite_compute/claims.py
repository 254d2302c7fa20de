"""Strong weight decay, then ensembles: losses on few data that fall with size and number.

Paper: Kim, Kotha, Liang and Hashimoto, 2025, on 200M tokens of web text with networks of
150M to 1.4B weights. Here 16,000 windows of Python's help texts; settings are chosen on 4,000
other windows, figures are of 4,000 more. Seeds draw windows, weights and orders.
"""

from functools import cache, partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from benchmarks.claims import Outcome, claim
from benchmarks.infinite_compute.text import ByteNetwork, draw_windows, generate
from minimalml.ensemble import (
    EnsembleDistillationClassifier,
    RegularizedEnsembleClassifier,
    ScalingLawRegressor,
    ensemble_loss_curve,
)
from minimalml.neural_network import Training

SEEDS, N_MEMBERS, N_EPOCHS = range(3), 4, 12
SIZES, STANDARD, STRONG = (32, 128, 256, 512), 0.1, 1.0
DECAYS = (STANDARD, 0.4, STRONG)
N_ROWS = (2_000, 4_000, 8_000, 16_000)
OPTIONS = dict(batch_size=128, learning_rate=3e-3, device="cpu")
data = cache(draw_windows)


def train(seed, width, decay, *, n_rows=16_000, n_members=N_MEMBERS, epochs=N_EPOCHS):
    X, y = data(seed)[0]
    return RegularizedEnsembleClassifier(
        n_members, module=partial(ByteNetwork, width=width), weight_decay=decay,
        max_epochs=epochs, random_state=seed, **OPTIONS,
    ).fit(X[:n_rows], y[:n_rows])  # fmt: skip


def curve(model, rows):
    """Return losses over the number of members."""
    X, y = rows
    codes = np.searchsorted(model.classes_, y)
    return ensemble_loss_curve(model.member_predict_proba(X), codes)


@cache
def recipe(seed, width, decay):
    """Return an ensemble with its curves on validation and test rows."""
    model = train(seed, width, decay)
    return model, *(curve(model, rows) for rows in data(seed)[1:])


@cache
def tuned_curve(seed, width, n_members):
    """Return test losses with the decay that is best for so many members."""
    cells = [recipe(seed, width, decay) for decay in DECAYS]
    return min(cells, key=lambda cell: cell[1][n_members - 1])[2]


@cache
def baseline(seed, n_rows):
    """Return the test loss of one network of standard decay, size and epochs tuned."""
    tried = [
        train(seed, width, STANDARD, n_rows=n_rows, n_members=1, epochs=epochs)
        for width in (32, 128, 512)
        for epochs in (N_EPOCHS // 2, N_EPOCHS)
    ]
    _, validation, test = data(seed)
    best = min(tried, key=lambda model: curve(model, validation)[0])
    return curve(best, test)[0]


def spread(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


@claim(
    "With standard weight decay the largest network is worse than a smaller one; with ten "
    "times as much, losses fall with size; small and lightly regularised members gain far "
    "more by ensembling"
)
def regularise_hard():
    """Three signs in every seed: nats a byte, mean of single members and ensembles of 4."""
    signs, cells = [], {}
    for seed in SEEDS:
        light, strong = (
            [recipe(seed, width, decay)[2] for width in (32, 128, 512)]
            for decay in (STANDARD, STRONG)
        )
        gains = light[1][0] - light[1][-1], strong[1][0] - strong[1][-1]
        signs += [
            light[2][0] > light[1][0],
            strong[0][0] > strong[1][0] > strong[2][0],
            gains[0] > 3 * gains[1],
        ]
    for decay in (STANDARD, STRONG):
        for width in (32, 128, 512):
            found = [recipe(seed, width, decay)[2] for seed in SEEDS]
            single, whole = ([one[k] for one in found] for k in (0, -1))
            cells[f"decay {decay:g}, width {width}"] = (
                f"{spread(single)} to {spread(whole)}"
            )
    verdict = (
        "reproduced" if all(signs) else "partly" if any(signs) else "not reproduced"
    )
    light, strong = (f"decay {decay:g}, width 512" for decay in (STANDARD, STRONG))
    return Outcome(
        verdict,
        summary=(
            f"{sum(signs)} of {len(signs)} signs over {len(SEEDS)} seeds. Width 128 and "
            f"standard decay {cells['decay 0.1, width 128']}, width 512 {cells[light]}; ten "
            f"times the decay {cells[strong]} (one network, then four)."
        ),
        measured={"test loss, one member to four": cells},
    )


@claim(
    "The limits in size, and in size and number, of the regularised recipe are worth several "
    "times the data of the standard one, and distillation keeps most of an ensemble's gain"
)
def what_the_limits_are_worth():
    """Laws fitted to means over seeds; multipliers by the baseline's law over rows."""
    rows = np.array(N_ROWS, dtype=float)[:, None]
    base = [np.mean([baseline(seed, n) for seed in SEEDS]) for n in N_ROWS]
    data_law = ScalingLawRegressor().fit(rows, base)
    singles = [
        np.mean([tuned_curve(seed, width, 1)[0] for seed in SEEDS]) for width in SIZES
    ]
    curves = [
        np.mean([tuned_curve(seed, width, N_MEMBERS) for seed in SEEDS], axis=0)
        for width in SIZES
    ]
    members = np.arange(1.0, N_MEMBERS + 1)[:, None]
    limits = [ScalingLawRegressor().fit(members, one).asymptote_ for one in curves]
    model = recipe(0, 32, STANDARD)[0]
    outside = len(model.classes_)  # of embedding and output layer, beside the width
    weights = [width * (128 + 1 + outside) + 17 * outside for width in SIZES]
    weights = np.array(weights, dtype=float)[:, None]
    single_law = ScalingLawRegressor().fit(weights, singles)
    joint_law = ScalingLawRegressor().fit(weights, limits)
    losses = {
        "standard recipe": base[-1],
        "one regularised network": min(singles),
        "limit of size": single_law.asymptote_,
        "four regularised networks": min(one[-1] for one in curves),
        "limit of size and number": joint_law.asymptote_,
    }
    worth = {name: data_law.efficiency(loss, base[-1]) for name, loss in losses.items()}
    students = [distilled(seed) for seed in SEEDS]
    retention = [(one - student) / (one - four) for one, four, student in students]
    is_ordered = losses["limit of size and number"] < losses["limit of size"] < base[-1]
    found = [
        is_ordered,
        worth["limit of size and number"] > 2,
        np.mean(retention) > 0.5,
    ]
    verdict = (
        "reproduced" if all(found) else "partly" if any(found) else "not reproduced"
    )
    return Outcome(
        verdict,
        summary=(
            f"Nats a byte: {', '.join(f'{n} {v:.3f}' for n, v in losses.items())}. Times "
            f"the data: {', '.join(f'{n} {v:.2f}' for n, v in list(worth.items())[1:])}. A "
            f"student keeps {spread(retention)} of the gain of four networks."
        ),
        measured={
            "baseline over rows": dict(zip(map(str, N_ROWS), map(float, base), strict=True)),
            "laws (asymptote, coefficient, exponent)": {
                name: [law.asymptote_, law.coefficient_[0], law.exponent_[0]]
                for name, law in [
                    ("data", data_law), ("single", single_law), ("joint", joint_law)
                ]
            },
            "intervals": {"single": single_law.interval_, "joint": joint_law.interval_},
            "losses": losses,
            "times the data": worth,
            "one network, four, student": [[float(v) for v in one] for one in students],
        },
    )  # fmt: skip


def distilled(seed):
    """Return test losses of one network, of four, and of a student of them.

    The student sees the real windows and three times as many that the four have written.
    """
    cells = [recipe(seed, SIZES[-1], decay) for decay in DECAYS]
    one = min(cells, key=lambda cell: cell[1][0])[2][0]
    model, _, four = min(cells, key=lambda cell: cell[1][-1])
    (X, y), _, (X_test, y_test) = data(seed)
    written = generate(model, X[: 3 * len(X) // 8], 8, seed)
    student = EnsembleDistillationClassifier(
        [model], prefit=True, init_student=None, max_epochs=N_EPOCHS, weight_decay=STANDARD,
        module=partial(ByteNetwork, width=SIZES[-1]), random_state=seed, **OPTIONS,
        training=Training(optimizer="adamw", schedule="cosine", gradient_clip=1.0),
    ).fit(X, y, X_unlabeled=written)  # fmt: skip
    loss = log_loss(y_test, student.predict_proba(X_test), labels=student.classes_)
    return one, four[-1], loss


@claim(
    "Ensembles want twice the epochs and half the weight decay that one network wants"
)
def rule_for_ensembles():
    """150 noisy digits, three networks of width 64, settings searched and then moved."""
    gaps, losses = [], {"single": [], "ensemble": []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        X, y = load_digits(return_X_y=True)
        order = rng.permutation(len(X))
        X, y = X[order] / 16 + rng.normal(0, 0.3, X.shape), y[order]
        for tune_for, found in losses.items():
            model = RegularizedEnsembleClassifier(
                3, hidden_layer_sizes=(64,), tune_for=tune_for, batch_size=50, device="cpu",
                random_state=seed,
            ).fit(X[:150], y[:150])  # fmt: skip
            found.append(log_loss(y[150:], model.predict_proba(X[150:])))
        gaps.append(losses["ensemble"][-1] - losses["single"][-1])
    n_better = sum(gap < 0 for gap in gaps)
    verdict = {0: "not reproduced", len(gaps): "reproduced"}.get(n_better, "partly")
    return Outcome(
        verdict,
        summary=(
            f"Test log loss with the rule less that without it {spread(gaps)}; better in "
            f"{n_better} of {len(gaps)} seeds."
        ),
        measured={name: [float(v) for v in found] for name, found in losses.items()},
    )
