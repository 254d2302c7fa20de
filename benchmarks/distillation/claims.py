"""Students that learn from their teachers' probabilities alone, beside students of labels.

Paper: Shen and Savvides, 2020, on ImageNet with large teachers. Here digits under noise, over
splits; nothing is chosen on the test rows. How much a student gains depends on how far labels
alone bring it, so the first claim is measured at three batch sizes.
"""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from benchmarks.claims import Outcome, claim
from minimalml._core.training.network import NetworkClassifier
from minimalml.ensemble import EnsembleDistillationClassifier
from minimalml.neural_network import Training

SPLITS, BATCHES, N_TRAIN = range(5), (32, 64, 128), 600
STUDENT = dict(hidden_layer_sizes=(24,), max_epochs=40, learning_rate=3e-3, device="cpu",
               training=Training(optimizer="adamw", schedule="cosine"))  # fmt: skip
VARIANTS = {
    "distilled": {},
    "from scratch": {"init_student": None},
    "with weight decay 0.1": {"weight_decay": 0.1},
    "half of the loss on labels": {"hard_label_weight": 0.5},
    "with the discriminator": {"discriminator": "adversarial"},
    "by one teacher": {"teacher_weights": (1, 0, 0, 0)},
    "targets out of fold": {"prefit": False},
}


@cache
def rows(split):
    """Return noisy digits in a drawn order; the first are for training."""
    rng = np.random.default_rng(split)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X = (X[order] / 16 + rng.normal(0, 0.3, X.shape)).astype(np.float32)
    return X, y[order]


@cache
def teachers(split):
    """Return four large networks, fitted on the training rows."""
    X, y = rows(split)
    return [
        NetworkClassifier(
            (256, 256), max_epochs=20, batch_size=64, learning_rate=1e-3, weight_decay=1e-2,
            training=Training(optimizer="adamw"), device="cpu", random_state=100 * split + i,
        ).fit(X[:N_TRAIN], y[:N_TRAIN])
        for i in range(4)
    ]  # fmt: skip


def scores(P, split):
    """Return accuracy and log loss on the test rows."""
    y = rows(split)[1][-len(P) :]
    return (P.argmax(axis=1) == y).mean(), log_loss(y, P)


def student_scores(variant, batch_size, split):
    """Return what a student scores, on labels or distilled."""
    X, y = rows(split)
    options = dict(STUDENT, batch_size=batch_size, random_state=split)
    if variant.startswith("labels"):
        options["max_epochs"] *= 2 if variant.endswith("twice") else 1
        model = NetworkClassifier(**options)
    else:
        options = dict(prefit=True, teachers=teachers(split)) | options
        model = EnsembleDistillationClassifier(**options | VARIANTS[variant])
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    return scores(model.predict_proba(X[N_TRAIN:]), split)


def teachers_scores(split):
    """Return what the mean of the teachers scores."""
    X = rows(split)[0][N_TRAIN:]
    return scores(np.mean([t.predict_proba(X) for t in teachers(split)], axis=0), split)


def table(variant, batch_size):
    return np.array([student_scores(variant, batch_size, split) for split in SPLITS])


def cell(found):
    means, deviations = found.mean(axis=0), found.std(axis=0, ddof=1)
    return " (".join(
        f"{m:.3f} ± {d:.3f}" for m, d in zip(means, deviations, strict=True)
    ) + ")"  # fmt: skip


@claim(
    "Going on from its trained start by its teachers' mean probabilities alone, without "
    "labels, a student gets better than by labels; labels for half of the loss add nothing"
)
def better_than_by_labels():
    """64-24-10 students of four 64-256-256-10 networks; accuracy (log loss)."""
    found = {
        (name, size): table(name, size)
        for size in BATCHES
        for name in ["labels", "labels, trained twice", "distilled"]
    }
    found |= {(name, 64): table(name, 64) for name in VARIANTS if name != "distilled"}
    gaps = {b: found["distilled", b] - found["labels", b] for b in BATCHES}
    longer = {
        b: found["distilled", b] - found["labels, trained twice", b] for b in BATCHES
    }
    holds = [
        gaps[b][:, 1].mean() <= -0.02 and gaps[b][:, 0].mean() >= 0 for b in BATCHES
    ]
    alone = found["distilled", 64][:, 0].mean()
    half = found["half of the loss on labels", 64][:, 0].mean()
    holds.append(alone >= half - 0.005)
    verdict = "reproduced" if all(holds) else "partly" if any(holds[:-1]) else (
        "not reproduced")  # fmt: skip
    cells = {f"{name}, batches of {size}": cell(v) for (name, size), v in found.items()}
    cells["mean of the teachers"] = cell(np.array([teachers_scores(s) for s in SPLITS]))
    text = "; ".join(
        f"batches of {b}: accuracy {gaps[b][:, 0].mean():+.3f}, log loss "
        f"{gaps[b][:, 1].mean():+.3f} ± {gaps[b][:, 1].std(ddof=1):.3f} against labels, "
        f"{longer[b][:, 1].mean():+.3f} against as many epochs on labels"
        for b in BATCHES
    )
    return Outcome(
        verdict,
        summary=f"{len(SPLITS)} splits. {text}. Labels for half: {half - alone:+.3f}.",
        measured={"test accuracy (log loss)": cells},
    )


def unlabelled_scores(kind, split):
    """Return scores on the last 597 rows, of a student with 200 labels."""
    X, y = rows(split)
    options = dict(hidden_layer_sizes=(32,), learning_rate=3e-3, batch_size=64,
                   device="cpu", random_state=split)  # fmt: skip
    labelled, extra = (X[:200], y[:200]), {}
    if kind.startswith("labels"):
        options["max_epochs"] = 200 if kind.endswith("twice") else 100
        model = NetworkClassifier(**options)
    else:
        forests = [RandomForestClassifier(random_state=0),
                   ExtraTreesClassifier(random_state=0)]  # fmt: skip
        network = MLPClassifier((256,), max_iter=1000, random_state=0)
        model = EnsembleDistillationClassifier([*forests, network], **options)
        if kind.endswith("1,000 rows more"):
            extra = {"X_unlabeled": X[200:1200]}
    model.fit(*labelled, **extra)
    result = scores(model.predict_proba(X[1200:]), split)
    if not extra:
        return result
    each = model._answers(X[1200:])
    return *result, *scores(np.mean(each, axis=0), split)


@claim(
    "Rows without labels, which the teachers label, make a better student than labels do"
)
def rows_without_labels():
    """200 labelled digits, 1,000 without labels; forests and a network teach."""
    kinds = ["labels", "labels, trained twice", "distilled",
             "distilled, 1,000 rows more"]  # fmt: skip
    found = {k: np.array([unlabelled_scores(k, s) for s in SPLITS]) for k in kinds}
    ours = found[kinds[-1]]
    gaps = ours[:, :2] - found["labels"]
    cells = {kind: cell(values[:, :2]) for kind, values in found.items()}
    cells["mean of the teachers"] = cell(ours[:, 2:])
    accuracy, loss = gaps.mean(axis=0)
    n_better = int(accuracy > 0) + int(loss < 0)
    spread, of_teachers = gaps.std(axis=0, ddof=1), ours[:, 2:].mean(axis=0)
    return Outcome(
        ["not reproduced", "partly", "reproduced"][n_better],
        summary=(
            f"{len(SPLITS)} splits: against labels, accuracy {accuracy:+.3f} ± "
            f"{spread[0]:.3f} and log loss {loss:+.3f} ± {spread[1]:.3f}. The teachers' mean "
            f"itself has {of_teachers[0]:.3f} and {of_teachers[1]:.3f}, the student "
            f"{ours[:, 0].mean():.3f} and {ours[:, 1].mean():.3f}."
        ),
        measured={"test accuracy (log loss)": cells},
    )
