"""Members that are pushed apart: better for small networks, worse for large ones.

Paper: Abe, Buchanan, Pleiss and Cunningham, TMLR 2024, on image sets with large networks. Here
noisy digits; each split draws 400 training rows, and nothing is chosen on the others.
"""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from benchmarks.claims import Outcome, claim
from minimalml.ensemble import DiversityRegularizedClassifier

SPLITS, SIZES, PUSHES = range(5), ((3,), (256, 256)), (-1.0, 0.0, 0.75)


@cache
def ensemble_loss(sizes, gamma, split):
    """Return the test log loss of four networks."""
    rng = np.random.default_rng(split)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X = X[order] / 16 + rng.normal(0, 0.3, X.shape)
    y = y[order]
    model = DiversityRegularizedClassifier(
        4, gamma=gamma, hidden_layer_sizes=sizes, max_epochs=100, batch_size=50,
        learning_rate=3e-3, device="cpu", random_state=split,
    ).fit(X[:400], y[:400])  # fmt: skip
    return log_loss(y[400:], model.predict_proba(X[400:]))


@claim(
    "Pushing members apart lowers the ensemble's loss for small networks and not for large "
    "ones; pushing them together raises it for small ones and does not hurt large ones"
)
def sign_turns_with_width():
    """Networks of 3 hidden units, and of 256 and 256; differences to gamma=0, by split."""
    gaps, cells = {}, {}
    for sizes in SIZES:
        plain = np.array([ensemble_loss(sizes, 0.0, split) for split in SPLITS])
        cells[f"{sizes}, gamma=0"] = f"{plain.mean():.3f}"
        for gamma in (-1.0, 0.75):
            found = np.array([ensemble_loss(sizes, gamma, split) for split in SPLITS])
            gap = found - plain
            gaps[sizes, gamma] = gap.mean()
            cells[f"{sizes}, gamma={gamma:g}"] = (
                f"{found.mean():.3f}, difference {gap.mean():+.3f} ± {gap.std(ddof=1):.3f}"
            )
    small, large = SIZES
    passed = [
        gaps[small, 0.75] < -0.01, gaps[large, 0.75] > -0.01,
        gaps[small, -1.0] > 0, gaps[large, -1.0] < 0.01,
    ]  # fmt: skip
    verdict = (
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    )
    return Outcome(
        verdict,
        summary=(
            f"{len(SPLITS)} splits, log loss against no push: apart (gamma=0.75) "
            f"{gaps[small, 0.75]:+.3f} with 3 units and {gaps[large, 0.75]:+.3f} with "
            f"256 + 256; together (gamma=-1) {gaps[small, -1.0]:+.3f} and "
            f"{gaps[large, -1.0]:+.3f}."
        ),
        measured={"test log loss": cells},
    )
