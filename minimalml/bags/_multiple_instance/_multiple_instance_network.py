"""A network of rows whose outputs are pooled to a decision about their bag.

The decision about a bag rises with each row, as multiple-instance learning assumes, or
not: the poolings of the literature that break it are here to be measured against.
Raff and Holt, "Reproducibility in Multiple Instance Learning: A Case For Algorithmic
Unit Tests", NeurIPS 2023.
"""

from functools import partial
from numbers import Integral

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator

from minimalml._core.array_checks import encode_labels
from minimalml._core.arrays import import_torch, resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.groups import GroupIndex
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS, TorchEstimatorMixin
from minimalml._core.training.settings import Training
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    validate_data,
)
from minimalml.bags._bag_estimator import encode_two_classes
from minimalml.bags._multiple_instance._bag_classifier import FLOATS, BagClassifierMixin

EMBEDDINGS = {"attention", "embedding_max"}


@document_training
class MultipleInstanceMLPClassifier(
    BagClassifierMixin, TorchEstimatorMixin, BaseEstimator
):
    """Classify bags that are positive if one of their rows is, by a network of rows.

    For bags with a label of which no row has one. With few bags "noisy_or" and
    "concepts" learn better than "max", which bears larger bags. Scale the features. Needs torch.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(64, 64)
        Width of each hidden layer of the network of rows, with leaky ReLU.

    pooling : {"max", "noisy_or", "concepts", "attention", "embedding_max"}, \
            default="max"
        How rows decide about their bag. "max": by the largest. "noisy_or": each row is
        positive by its own probability, independently. "concepts": learns several
        things that a bag must hold, each in some row; use it where two must come
        together. Under these another row never makes a bag less positive.
        "attention" and "embedding_max" pool hidden features, and are counter-examples:
        they learn that a bag is positive for want of a row.

    n_concepts : int, default=16
        Number of things that "concepts" looks for.

    module : torch.nn.Module, callable or None, default=None
        A network of rows of your own: an instance, which is copied, or a class or
        function called with ``n_features`` and ``n_outputs``, importable to be pickled.
        ``n_outputs`` is 1, with "concepts" ``n_concepts``, and with the counter-examples
        the last of ``hidden_layer_sizes``.

    batch_size : int or "auto", default=32
        Bags a step; "auto" takes as many as have about 256 rows.

    early_stopping : bool, default=False
        Whether to keep bags for validation, stop when the share of them that is right
        stops rising, and return to the best epoch.

    training : Training, default=None
        Optimiser, schedule and other settings of `minimalml.neural_network.Training`.
        None takes "adamw", and its defaults.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Labels, sorted; a bag of ``classes_[1]`` is a positive one.

    module_ : torch.nn.Module
        The network, in evaluation mode: ``rows(X)`` gives the outputs of rows,
        ``pooling(outputs, index)`` the decisions of bags.

    validation_scores_ : list of float or None
        Score on the validation bags after each epoch; None without early stopping.

    See Also
    --------
    MultipleInstanceClassifier : Any classifier of rows for the same.
    minimalml.testing.check_respects_mil_assumption : Shows whether a model keeps to it.

    Notes
    -----
    With outputs f of the network of rows, the logit of a bag is ``max f(x_i)`` ("max"),
    that of ``1 - prod(1 - sigmoid(f(x_i) + b))`` ("noisy_or", b is minus the logarithm of
    the mean bag size at the start), or ``b + sum_k softplus(a_k) sigmoid(max_i f_k(x_i))``
    ("concepts"); "embedding_max" is linear in the maxima of
    the hidden features h over rows, "attention" in their mean weighted by the softmax
    of ``w' tanh(V h)``. The loss is the mean cross-entropy over bags. A step takes time
    and memory of the rows in its bags: nothing is padded.

    References
    ----------
    .. [1] E. Raff, J. Holt, "Reproducibility in Multiple Instance Learning: A Case For
       Algorithmic Unit Tests", NeurIPS 2023. arXiv:2310.17867

    Examples
    --------
    >>> from minimalml.bags import MultipleInstanceMLPClassifier
    >>> from minimalml.datasets import make_mil_unit_test
    >>> X, y, bags = make_mil_unit_test("single_concept", 200, random_state=0)
    >>> model = MultipleInstanceMLPClassifier(max_epochs=20, random_state=0)
    >>> model.fit(X, y, bags).score(X, y, bags) > 0.9
    True
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "hidden_layer_sizes": ["array-like"],
        "pooling": [StrOptions({"max", "noisy_or", "concepts", *EMBEDDINGS})],
        "n_concepts": [Interval(Integral, 1, None, closed="left")],
        "module": [callable, None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        *,
        pooling="max",
        n_concepts=16,
        module=None,
        max_epochs=60,
        batch_size=32,
        learning_rate=2e-3,
        weight_decay=0.01,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.pooling = pooling
        self.n_concepts = n_concepts
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.training = training
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, bags=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled.

        y : array-like of shape (n_samples,)
            The label of its bag on each row, two labels of any kind.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row a bag.

        Returns
        -------
        self : MultipleInstanceMLPClassifier

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If y varies within a bag, there are no two classes of bags, the loss is not
            finite after the first epoch, or ``module`` gives other outputs than asked.
        """
        continues = self._continues()
        X, y = validate_data(self, X, y, dtype=FLOATS, reset=not continues)
        index = GroupIndex(bags, len(X))
        labels = index.constant(y)
        if continues:
            targets = encode_labels(labels, self.classes_)
        else:
            self.classes_, targets = encode_two_classes(labels)
        torch = import_torch(type(self).__name__)
        from minimalml._core.training.group_batches import GroupBatches

        dtype = getattr(torch, self._training_settings.dtype)
        batches = GroupBatches(index, X, resolve_device(self.device), dtype)
        self._batches = batches
        columns = {"bag": np.arange(len(index)), "target": targets.astype(np.float64)}
        try:
            return self._fit_network(
                columns,
                X,
                y,
                stratify=targets,
                extend=batches.extend,
                batch_size=batches.batch_size(self.batch_size),
            )
        finally:
            del self._batches

    @property
    def _training_settings(self):
        return Training(optimizer="adamw") if self.training is None else self.training

    def _build_network(self):
        from minimalml._core.training.modules import MLP, build_module
        from minimalml.bags._multiple_instance._bag_network_torch import BagNetwork

        widths = [*self.hidden_layer_sizes]
        if not all(isinstance(width, Integral) and width > 0 for width in widths):
            raise ValueError(
                "hidden_layer_sizes must be integers of at least 1, got "
                f"{self.hidden_layer_sizes!r}."
            )
        n_outputs = self.n_concepts if self.pooling == "concepts" else 1
        if self.pooling in EMBEDDINGS:
            if not widths:
                raise ValueError(
                    f"pooling={self.pooling!r} pools the last of hidden_layer_sizes, got "
                    f"none: {self.hidden_layer_sizes!r}."
                )
            n_outputs = widths.pop()
        body = build_module(
            self.module,
            partial(MLP, hidden_layer_sizes=widths, activation="leaky_relu"),
            n_features=self.n_features_in_,
            n_outputs=n_outputs,
        )
        bag_size = len(self._batches.X) / len(self._batches.sizes)
        return BagNetwork(body, self.pooling, n_outputs, bag_size)

    def _training_loss(self, batch, state):
        from torch.nn.functional import binary_cross_entropy_with_logits

        logits = state.network(*batch.rows)
        return binary_cross_entropy_with_logits(logits, batch.target)

    def _validation_score(self, columns, state):
        """Return the share of validation bags that are right."""
        rows = self._batches.gather(columns["bag"].cpu())
        is_right = (self.module_(*rows) > 0) == (columns["target"] > 0.5)
        return is_right.double().mean()

    def _decide(self, X, index):
        torch = import_torch(type(self).__name__)
        outputs = self._map_rows(self.module_.rows, X)
        with torch.inference_mode():
            logits = self.module_.pooling(outputs, index.to(outputs.device))
        return self._as_outputs(logits, X)

    def predict_proba(self, X, bags=None):
        """Predict the probability that a bag is positive.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None predicts single rows.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            The probabilities of its bag on each row, in the order of ``classes_``.
        """
        decision = self.decision_function(X, bags)
        return np.column_stack([expit(-decision), expit(decision)])
