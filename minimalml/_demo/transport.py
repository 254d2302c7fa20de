"""Labels in one place, rows to predict in another: digits that turn."""

import warnings
from functools import partial

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import Demo
from minimalml.transport import (
    LightSchrodingerBridge,
    SparseTransportMapper,
    TransportedEstimator,
)

CODE = """
from minimalml.transport import SparseTransportMapper, TransportedEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

# sample_domain: at least 0 where labels are, below 0 where they are wanted
model = TransportedEstimator(KNeighborsClassifier(1), SparseTransportMapper(reg=8.0))
model.set_fit_request(sample_domain=True)
search = GridSearchCV(model, {"mapper__max_nonzeros": [5, 20, 100]})
search.fit(X, y, sample_domain=domain)
"""
ANGLE = 25
OURS, PLAIN = "k-sparse transport", "no adaptation"


def turned_digits(n_rows, seed, angle=ANGLE):
    """Return labelled digits, and other digits that are turned."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    source, target = order[:n_rows], order[n_rows : 2 * n_rows]
    turned = [rotate(x, angle, reshape=False, order=1) for x in digits.images[target]]
    X = np.vstack([digits.data[source], np.reshape(turned, (n_rows, -1))]) / 16
    return X, np.r_[digits.target[source], digits.target[target]]


MAPPERS = {
    OURS: lambda seed: SparseTransportMapper(60, reg=8.0, max_iter=200),
    "light Schrödinger bridge": lambda seed: LightSchrodingerBridge(
        20, max_iter=50, random_state=seed
    ),
    PLAIN: None,
}


def accuracy(make_mapper, n_rows, seed, angle=ANGLE):
    """Score one neighbour on the turned digits."""
    X, y = turned_digits(n_rows, seed, angle)
    neighbour = KNeighborsClassifier(1)
    if make_mapper is None:
        model = neighbour.fit(X[:n_rows], y[:n_rows])
    else:
        model = TransportedEstimator(neighbour, make_mapper(seed))
        with warnings.catch_warnings():  # a tenth of a per cent of mass is not worth it
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y, sample_domain=np.repeat([1, -1], n_rows))
    return model.score(X[n_rows:], y[n_rows:])


def demo(quick=False):
    """Return the demo of this family."""
    n_rows = 60 if quick else 250
    return Demo(
        title="Labels in one place, rows in another",
        question=f"Digits have labels, and other digits are turned by {ANGLE} degrees. "
        "Does a classifier know them better once the labelled ones are moved onto them?",
        data=f"{n_rows} digits with labels and {n_rows} others, turned, drawn anew for "
        "each seed; no label of a turned digit is read.",
        but="the best Sinkhorn plan does as well, and faster: "
        "python -m minimalml claims sparse_transport.",
        contenders={
            name: partial(accuracy, make, n_rows) for name, make in MAPPERS.items()
        },
        ours=OURS,
        metric="accuracy",
        n_seeds=2 if quick else 4,
        code=CODE,
        figure=partial(angle_figure, n_rows, quick),
    )


def angle_figure(n_rows, quick):
    """Draw accuracy over the angle."""
    figure, ax = import_pyplot("The demo").subplots(figsize=(7.2, 3.4))
    angles = [0, 25] if quick else [0, 15, 30, 45]
    for name, color in ((OURS, "#2f5d8a"), (PLAIN, "#9aa3ad")):
        curve = [accuracy(MAPPERS[name], n_rows, 100, angle) for angle in angles]
        ax.plot(angles, curve, "o-", color=color, label=name)
    ax.set_xticks(angles)
    ax.set(xlabel="degrees that the digits are turned by", ylabel="accuracy")
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    return "Accuracy over the angle, on one more draw.", figure
