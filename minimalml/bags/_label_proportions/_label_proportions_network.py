"""The paper's whole loop: a network learns what rows are believed to be.

Its features then tell which rows are alike, and better beliefs come of these.
"""

import numpy as np

from minimalml._core.arrays import import_torch, resolve_device
from minimalml._core.callbacks import fit_task, with_callbacks
from minimalml._core.training.documentation import complete_docstring, document_training
from minimalml._core.training.network import FLOATS, NetworkEstimator
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    _fit_context,
    validate_data,
)
from minimalml.bags._bag_estimator import LogOddsMixin
from minimalml.bags._label_proportions._pseudo_labels import (
    ATTRIBUTES,
    LABELLING_CONSTRAINTS,
    PARAMETERS,
    PseudoLabelMixin,
    check_bags,
)

# Least distance of a predicted share from 0 and 1 in its log loss.
SURE = 1e-6
_OF_OTHER_NETWORKS = {"activation", "warm_start"}


@document_training
class LabelProportionMLPClassifier(LogOddsMixin, PseudoLabelMixin, NetworkEstimator):
    """Find the positive rows of bags of known shares by a network's own features.

    As `LabelProportionClassifier`, with a network as the classifier. It learns the
    labels of rows and, from the mean features of a bag, its share; then neighbours are
    found among its features, and a fresh network learns the better labels.

    Parameters
    ----------
    n_iterations : int, default=2
        Rounds of labelling and learning; one where y holds labels.

    bag_loss_weight : float, default=0.1
        What the loss of shares counts for beside the loss of rows.

    module : torch.nn.Module or callable, default=None
        A network of your own that ends in ``torch.nn.Linear``: an instance, which is
        copied, or a class or function called with ``n_features`` and ``n_outputs=1``.
        None is the built-in network.

    batch_size : int or "auto", default="auto"
        Bags a step; "auto" takes as many as hold about 256 rows.

    early_stopping : bool, default=False
        Whether to keep bags for validation, stop when the log loss of their shares
        stops falling, and return to the best epoch.

    Attributes
    ----------
    n_iter_ : int
        Epochs of the last round.

    See Also
    --------
    LabelProportionClassifier : The same around any classifier, without torch.

    References
    ----------
    S. Havaldar, N. Sharma, S. Sareen, K. Shanmugam, A. Raghuveer, Learning from label
    proportions: bootstrapping supervised learners via belief propagation, ICLR 2024.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from minimalml.bags import LabelProportionMLPClassifier, aggregate_targets
    >>> from minimalml.datasets import make_bags
    >>> X, labels = make_moons(400, noise=0.1, random_state=0)
    >>> bags = make_bags(400, 8, random_state=0)
    >>> model = LabelProportionMLPClassifier((32,), metric="euclidean", random_state=0)
    >>> model = model.fit(X, aggregate_targets(labels, bags), bags=bags)
    >>> bool((model.predict(X) == labels).mean() > 0.8)
    True
    """

    _parameter_constraints = {
        **{
            name: allowed
            for name, allowed in NetworkEstimator._parameter_constraints.items()
            if name not in _OF_OTHER_NETWORKS
        },
        **LABELLING_CONSTRAINTS,
        "n_iterations": [Interval(Integral, 1, None, closed="left")],
        "bag_loss_weight": [Interval(Real, 0, None, closed="left")],
    }
    activation, warm_start = "relu", False
    _n_outputs = 1

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        *,
        n_neighbors=5,
        metric="cosine",
        length_scale="median",
        similarity_strength=1.5,
        bag_strength=np.inf,
        pseudo_labels="hard",
        n_iterations=2,
        bag_loss_weight=0.1,
        module=None,
        max_epochs=30,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.length_scale = length_scale
        self.similarity_strength = similarity_strength
        self.bag_strength = bag_strength
        self.pseudo_labels = pseudo_labels
        self.n_iterations = n_iterations
        self.bag_loss_weight = bag_loss_weight
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.training = training
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, bags=None):
        """Label the rows and train the network, round by round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled.

        y : array-like of shape (n_samples,)
            The share of positive rows in its bag on each row, from 0 to 1. Without bags
            the labels of rows, of two classes.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row a bag.

        Returns
        -------
        self : LabelProportionMLPClassifier

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            As `LabelProportionClassifier.fit`, or if the loss is not finite after the
            first epoch.
        TypeError
            If ``module`` has no linear layer.

        Warns
        -----
        UserWarning
            If counts have to be rounded by more than 0.001.
        ConvergenceWarning
            If belief propagation did not settle.
        """
        import_torch(type(self).__name__)
        X, y = validate_data(self, X, y, dtype=FLOATS)
        self.classes_, index, shares = check_bags(y, bags)
        n_rounds = 1 if index.is_singletons else self.n_iterations
        with fit_task(self, X, y, n_rounds * self.max_epochs) as task:
            self._fit_rounds(X, y, index, shares, n_rounds, task)
        return self

    def _fit_rounds(self, X, y, index, shares, n_rounds, task):
        embedding, metric = X, self.metric
        for number in range(n_rounds):
            labels = self._label_rows(embedding, index, shares, metric=metric)
            self._fit_round(X, y, index, shares, labels, number, task)
            if task.is_stopped or number + 1 == n_rounds:
                break
            embedding = self._map_rows(self._embed, X).cpu().numpy()
            metric = "cosine"
        self.module_ = self.module_.release()

    def _fit_round(self, X, y, index, shares, labels, number, task):
        """Train a fresh network to the labels of a round."""
        import torch

        from minimalml._core.training.group_batches import GroupBatches

        settings = self._training_settings
        # labels travel with the rows of their bags, as the last column
        rows = np.column_stack([X, labels.astype(X.dtype)])
        device, dtype = resolve_device(self.device), getattr(torch, settings.dtype)
        self._batches = GroupBatches(index, rows, device, dtype)
        options = {"extend": self._batches.extend}
        if settings.optimizer != "lbfgs":  # takes all bags at once
            options["batch_size"] = self._batches.batch_size(self.batch_size)
        if settings.checkpoint is not None and number > 0:  # each round is a run
            options["checkpoint"] = f"{settings.checkpoint}.{number}"
        columns = {"bag": np.arange(len(index)), "target": shares}
        try:
            self._fit_network(columns, X, y, task=task, **options)
        finally:
            del self._batches

    def _embed(self, X):
        """Return the features that the last layer sees."""
        self.module_(X)
        return self.module_.features

    def _build_network(self):
        from minimalml.bags._label_proportions._embedding_torch import EmbeddingNetwork

        return EmbeddingNetwork(super()._build_network())

    def _training_loss(self, batch, state):
        """Return the loss of rows, and that of the shares of bags."""
        from torch.nn.functional import binary_cross_entropy_with_logits as log_loss

        rows, index = batch.rows
        log_odds = self._outputs(rows[:, :-1], state.network)[:, 0]
        losses = log_loss(log_odds, rows[:, -1], reduction="none")
        losses = {"rows": losses.mean()}
        if self.bag_loss_weight and self._has_shares():
            outputs = state.module.bag_head(index.mean(state.module.features))[:, 0]
            losses["bags"] = self.bag_loss_weight * log_loss(outputs, batch.target)
        return losses

    def _validation_score(self, columns, state):
        """Return minus the log loss of the shares of bags that are held out."""
        from torch.nn.functional import binary_cross_entropy

        rows, index = self._batches.gather(columns["bag"].cpu())
        log_odds = self._outputs(rows[:, :-1], state.module)[:, 0]
        shares = index.mean(log_odds.sigmoid()).clamp(SURE, 1.0 - SURE)
        weight = index.sizes / len(rows)
        return -binary_cross_entropy(shares, columns["target"], weight, reduction="sum")

    def _has_shares(self):
        """Whether some bag has several rows, so that y is more than labels."""
        return len(self._batches.sizes) < len(self._batches.X)


complete_docstring(LabelProportionMLPClassifier, PARAMETERS, ATTRIBUTES)
