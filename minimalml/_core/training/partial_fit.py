"""Train any estimator that has ``partial_fit``, epoch by epoch, batch by batch."""

from contextlib import contextmanager
from inspect import signature
from numbers import Integral, Real

import numpy as np
from sklearn.utils import (
    _safe_indexing,
    check_array,
    check_consistent_length,
    check_random_state,
    gen_batches,
)

from minimalml._core.validation import check_sample_weight

DEFAULT_BATCH_SIZE = 200  # that of scikit-learn's MLPs


def train_by_partial_fit(
    estimator,
    X,
    y,
    *,
    max_epochs,
    batch_size="auto",
    classes=None,
    sample_weight=None,
    after_step=None,
    random_state=None,
):
    """Train ``estimator`` in place, from where it is on.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Its own ``batch_size`` and ``early_stopping`` are set aside meanwhile.

    X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
        Rows; each epoch visits them once, in random order.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.

    max_epochs : int
        Passes over the rows.

    batch_size : int or "auto", default="auto"
        Rows a call; "auto" takes the estimator's where it is a number, else 200.

    classes : array-like of shape (n_classes,), default=None
        All labels, for a classifier that was never fitted.

    sample_weight : array-like of shape (n_samples,), default=None
        Handed on to ``partial_fit``.

    after_step : callable, default=None
        ``after_step(estimator)`` after each call.

    random_state : int, RandomState, Generator or None, default=None
        Of the order; a generator goes on where it is.

    Returns
    -------
    list of float or None
        Mean of the losses that the estimator reports, in each epoch; None if it reports
        none.
    """
    X, y, weight = check_rows_to_train(estimator, X, y, sample_weight)
    if not isinstance(random_state, np.random.Generator):
        random_state = check_random_state(random_state)
    batch_size = _rows_a_batch(estimator, batch_size)
    options = {} if classes is None else {"classes": classes}
    losses = []
    for _ in range(max_epochs):
        order, total = random_state.permutation(len(y)), 0.0
        for batch in gen_batches(len(order), batch_size):
            rows = order[batch]
            if weight is not None:
                options["sample_weight"] = weight[rows]
            with ready_for_a_batch(estimator, len(rows)):
                estimator.partial_fit(_safe_indexing(X, rows), y[rows], **options)
            options.pop("classes", None)
            if after_step is not None:
                after_step(estimator)
            loss = getattr(estimator, "loss_", None)
            total += float(loss) * len(rows) if isinstance(loss, Real) else np.nan
        losses.append(total / len(order))
    return None if np.isnan(losses).all() else losses


def check_rows_to_train(estimator, X, y, sample_weight):
    """Refuse what can't be trained; return rows, targets (one column flat), weights."""
    name = type(estimator).__name__
    if not hasattr(estimator, "partial_fit"):
        raise ValueError(f"{name} has no partial_fit, so it can't be trained further.")
    check_consistent_length(X, y)
    y = np.asarray(y)
    y = y.ravel() if y.shape[1:] == (1,) else y
    if not len(y):
        raise ValueError("X has 0 sample(s), while a minimum of 1 is required.")
    if not hasattr(X, "iloc"):  # data frames keep their feature names
        X = check_array(X, accept_sparse="csr", dtype=None)
    if sample_weight is None:
        return X, y, None
    if "sample_weight" not in signature(estimator.partial_fit).parameters:
        raise ValueError(f"{name}.partial_fit takes no sample_weight.")
    return X, y, check_sample_weight(sample_weight, X, ensure_non_negative=True)


def _rows_a_batch(estimator, batch_size):
    if batch_size == "auto":
        batch_size = getattr(estimator, "batch_size", "auto")
    return batch_size if isinstance(batch_size, Integral) else DEFAULT_BATCH_SIZE


@contextmanager
def ready_for_a_batch(estimator, n_rows):
    """Set aside settings that ``partial_fit`` refuses, or misreads on a batch."""
    own = {
        name: getattr(estimator, name)
        for name in ("batch_size", "early_stopping")
        if hasattr(estimator, name)
    }
    # an MLP warns of a batch shorter than its own batch_size, such as the last
    if isinstance(own.get("batch_size"), Integral):
        estimator.batch_size = min(own["batch_size"], n_rows)
    if own.get("early_stopping"):
        estimator.early_stopping = False
        estimator.best_loss_ = np.inf  # an MLP compares with it, and has none
    if hasattr(estimator, "_no_improvement_count"):
        # it counts epochs: batches would end a learning_rate="adaptive" at once
        estimator._no_improvement_count = 0
    try:
        yield
    finally:
        for name, value in own.items():
            setattr(estimator, name, value)
