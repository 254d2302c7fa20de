"""Soups of a fine-tuning sweep beside its best candidate and the ensemble of all.

Paper: Wortsman et al., ICML 2022, where CLIP is fine-tuned on ImageNet. Here a small
network is pre-trained on digits and fine-tuned on shifted, noisy ones; what is chosen is
chosen on validation rows.
"""

import numpy as np
from scipy.stats import loguniform
from sklearn.datasets import load_digits

from benchmarks.claims import Outcome, claim
from minimalml._core.models.weights import set_model_weights
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import ModelSoupClassifier, average_weights, greedy_soup
from minimalml.ensemble._model_soup._learned_torch import learn_mixing_weights
from minimalml.neural_network import Training

SEEDS, DIFFERENT_SEEDS, N_CANDIDATES = range(20), range(3), 24
PARTS = (600, 900, 1200)  # pre-training, training, validation, test
SWEEP = {
    "learning_rate": loguniform(10**-3.5, 10**-2),
    "weight_decay": loguniform(10**-4, 10**-0.2),
    "max_epochs": [5, 10, 20, 40],
    "label_smoothing": [0.0, 0.1],
    "batch_size": [16, 64],
}
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # rows down, columns to the right


class DigitsNetwork(NetworkClassifier):
    """64-128-128-10 by AdamW with a cosine schedule, and label smoothing."""

    def __init__(
        self,
        label_smoothing=0.0,
        max_epochs=20,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-4,
        warm_start=False,
        random_state=None,
    ):
        super().__init__(
            (128, 128), max_epochs=max_epochs, batch_size=batch_size,
            learning_rate=learning_rate, weight_decay=weight_decay, device="cpu",
            warm_start=warm_start, random_state=random_state,
            training=Training(optimizer="adamw", schedule="cosine"),
        )  # fmt: skip
        self.label_smoothing = label_smoothing

    def _loss_of_outputs(self, outputs, y):
        from torch.nn.functional import cross_entropy

        smoothing = self.label_smoothing
        return cross_entropy(outputs, y, label_smoothing=smoothing, reduction="none")


def moved(images, down, right, noise, rng):
    """Move images by whole pixels, zeros coming in, and add noise."""
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    X = padded[:, 1 - down : 9 - down, 1 - right : 9 - right].reshape(-1, 64)
    return (X + noise * rng.normal(size=X.shape)).astype(np.float32)


def digits_parts(seed):
    """Return rows and labels of each part by name."""
    rng = np.random.default_rng(seed)
    images, y = load_digits(return_X_y=True)
    order = rng.permutation(len(y))
    images, y = np.split(images[order] / 16, PARTS), np.split(y[order], PARTS)
    pretrain = [moved(images[0], *shift, 0.2, rng) for shift in SHIFTS]
    parts = {"pretrain": (np.concatenate(pretrain), np.tile(y[0], len(SHIFTS)))}
    for name, X, labels in zip(
        ("train", "val", "test"), images[1:], y[1:], strict=True
    ):
        parts[name] = moved(X, 0, 1, 0.35, rng), labels
    parts["shifted"] = moved(images[3], 1, 1, 0.5, rng), y[3]
    return parts


def soup_accuracies(seed):
    """Accuracy on test and shifted rows of everything that is compared."""
    parts = digits_parts(seed)
    start = DigitsNetwork(random_state=seed).fit(*parts["pretrain"])
    greedy = ModelSoupClassifier(
        DigitsNetwork(), SWEEP, n_candidates=N_CANDIDATES, init=start, random_state=seed
    ).fit(*parts["train"], *parts["val"])
    model, states, (X, y) = greedy.estimator_, greedy.candidates_, parts["val"]
    soup = {name: array.clone() for name, array in greedy.weights_.items()}
    classes = model.classes_

    # the same candidates, not trained again
    mixing = learn_mixing_weights(model, states, X, y, None, seed)

    def logits(state, X):
        return set_model_weights(model, state)._predict_outputs(X)

    def accuracy(state, X, y):
        return np.mean(classes[logits(state, X).argmax(1)] == y)

    by_accuracy = greedy_soup(states, lambda state: accuracy(state, X, y))
    found = {
        "best by accuracy": [states[np.argmax(by_accuracy.candidate_scores)]],
        "best by log loss": [states[greedy.best_index_]],
        "mean of candidates": states,
        "uniform soup": [average_weights(states)],
        "greedy soup by accuracy": [by_accuracy.weights],
        "greedy soup by log loss": [soup],
        "learned soup": [average_weights(states, mixing)],
    }
    rows = {}
    for part in ("test", "shifted"):
        X, y = parts[part]
        for name, members in found.items():
            mean = np.mean([accuracy(state, X, y) for state in members])
            rows.setdefault(name, []).append(mean)
        votes = sum(logits(state, X) for state in states)
        ensemble = np.mean(classes[votes.argmax(1)] == y)
        rows.setdefault("logit ensemble of all", []).append(ensemble)
    return rows, len(greedy.ingredients_)


def in_words(differences):
    """Mean of paired differences, with the standard error of the mean."""
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    return f"{np.mean(differences):+.4f} ± {error:.4f}"


@claim(
    "A greedy soup of 24 fine-tuned networks is better than the best of them, and as "
    "good as the ensemble of all at 24 times its cost"
)
def digits():
    """Twenty random splits; a difference is between two answers on the same split.

    The first ten alone show no gain over the best candidate, the next ten twice as much.
    """
    runs, sizes = zip(*map(soup_accuracies, SEEDS), strict=True)
    table = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    test = {name: values[:, 0] for name, values in table.items()}
    greedy = test["greedy soup by log loss"]
    gain, loss = (
        greedy - test["best by accuracy"],
        greedy - test["logit ensemble of all"],
    )
    over_mean = {
        name: in_words(test[name] - test["mean of candidates"])
        for name in ("greedy soup by log loss", "uniform soup", "learned soup")
    }
    is_better, is_as_good = gain.mean() >= 0.003, loss.mean() >= -0.005
    verdict = "partly" if is_better or is_as_good else "not reproduced"
    return Outcome(
        "reproduced" if is_better and is_as_good else verdict,
        summary=(
            f"{len(runs)} seeds, mean difference of test accuracy and its standard "
            f"error: greedy by log loss {in_words(gain)} beside the best candidate by "
            f"validation accuracy and {in_words(loss)} beside the ensemble, with "
            f"{np.mean(sizes):.1f} ingredients."
        ),
        measured={
            "test / shifted accuracy, sd of test": {
                name: f"{v[:, 0].mean():.3f} / {v[:, 1].mean():.3f}, "
                f"{v[:, 0].std(ddof=1):.3f}"
                for name, v in table.items()
            },
            "test accuracy over the mean of candidates": over_mean,
            "greedy minus best by accuracy, by seed": np.round(gain, 3).tolist(),
        },
    )


@claim("Networks of different starts have no soup: it is far below each of them")
def different_starts():
    """Four networks a seed, pre-trained from four random starts and fine-tuned."""
    found = []
    for seed in DIFFERENT_SEEDS:
        parts = digits_parts(seed)
        models = []
        for start in range(4):
            model = DigitsNetwork(random_state=start).fit(*parts["pretrain"])
            models.append(model.set_params(warm_start=True).fit(*parts["train"]))
        each = np.mean([model.score(*parts["test"]) for model in models])
        found.append([each, average_weights(models).score(*parts["test"])])
    each, soup = np.mean(found, axis=0)
    return Outcome(
        "reproduced" if soup < each / 2 else "not reproduced",
        summary=(
            f"{len(found)} seeds, test accuracy: {each:.3f} each, {soup:.3f} their soup; "
            "chance is 0.1."
        ),
        measured={"accuracy of each, of the soup": np.round(found, 3).tolist()},
    )
