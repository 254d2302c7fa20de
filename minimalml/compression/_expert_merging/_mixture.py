"""A mixture of experts for tables: each row is computed by a few of many small networks.

Routing is that of Fedus et al., "Switch Transformers", 2022 (one expert a row), and of
Jiang et al., "Mixtral of Experts", 2024 (several).
"""

from typing import NamedTuple

import numpy as np

from minimalml._core.arrays import to_numpy
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS, weighted_mean
from minimalml._core.training.network import NetworkClassifier
from minimalml._core.training.settings import Training
from minimalml._core.validation import Integral, Interval, Real

POSITIVE = Interval(Integral, 1, None, closed="left")


class RoutingStatistics(NamedTuple):
    """What a layer's router says of rows: shares of choices, and its outputs."""

    frequency: np.ndarray
    logits: np.ndarray


@document_training
class MixtureOfExpertsClassifier(NetworkClassifier):
    """Classify by a network of which each row uses a few of many experts.

    For rows that come from several sources, each with a rule of its own, and as what
    `ExpertMerger` makes smaller. On plain tables an MLP does as well. Scale the features.
    Needs torch. A step costs what ``n_active`` experts cost, and a call of each expert.

    Parameters
    ----------
    n_experts : int, default=8
        Experts of each layer.

    n_active : int, default=2
        Experts that compute each row.

    n_layers : int, default=1
        Layers of experts.

    width : int, default=32
        Width of the rows between layers.

    expert_width : int, default=32
        Hidden units of each expert.

    balance_weight : float, default=0.01
        Weight of the loss that keeps all experts in use. Raise it if some are never
        chosen.

    training : Training, default=None
        Optimiser, schedule and other settings of `minimalml.neural_network.Training`;
        None takes "adamw", "cosine" and its defaults. Layers of experts are not compiled.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode: ``stem``; ``layers``, each with ``norm``,
        ``router``, ``experts`` (``w_in`` and ``w_out``, linear layers) and ``expert_of``,
        the expert that each of the router's outputs stands for; ``norm`` and ``head``.

    balance_ : ndarray of shape (n_layers, n_experts)
        How often each of the router's outputs was chosen for the rows of the latest
        fit; each layer's sum to 1.

    See Also
    --------
    ExpertMerger : Fewer experts, once it is trained.

    Notes
    -----
    A layer adds ``sum_e g_e f_e(z)`` to its rows, ``z`` their layer norm and the sum over
    the ``n_active`` largest of ``p = softmax(R z)``; ``f_e`` is a network of one hidden
    layer with ReLU. The gate is ``g_e = p_e``, divided by the sum of those chosen where
    there are several. No expert has a limit on its rows. The loss adds
    ``balance_weight E sum_e F_e P_e`` for each layer, F the share of rows of each
    expert in the batch and P its mean probability.

    References
    ----------
    .. [1] W. Fedus, B. Zoph, N. Shazeer, "Switch Transformers: Scaling to Trillion
       Parameter Models with Simple and Efficient Sparsity", JMLR 2022. arXiv:2101.03961

    Examples
    --------
    >>> from minimalml.compression import MixtureOfExpertsClassifier
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(600, random_state=0)
    >>> model = MixtureOfExpertsClassifier(batch_size=64, max_epochs=15, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.7
    True
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "n_experts": [POSITIVE],
        "n_active": [POSITIVE],
        "n_layers": [POSITIVE],
        "width": [POSITIVE],
        "expert_width": [POSITIVE],
        "balance_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_experts=8,
        n_active=2,
        *,
        n_layers=1,
        width=32,
        expert_width=32,
        balance_weight=0.01,
        max_epochs=50,
        batch_size="auto",
        learning_rate=3e-3,
        weight_decay=1e-4,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.n_experts = n_experts
        self.n_active = n_active
        self.n_layers = n_layers
        self.width = width
        self.expert_width = expert_width
        self.balance_weight = balance_weight
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

    @property
    def _training_settings(self):
        if self.training is None:
            return Training(optimizer="adamw", schedule="cosine")
        return self.training

    def _validate_params(self):
        super()._validate_params()
        if self.n_active > self.n_experts:
            raise ValueError(
                f"n_active must be at most n_experts={self.n_experts}, got "
                f"{self.n_active}."
            )

    def _build_network(self):
        from minimalml.compression._expert_merging._mixture_torch import MixtureNetwork

        return MixtureNetwork(
            self.n_features_in_, self._n_outputs, self.n_layers, self.width,
            self.expert_width, self.n_experts, self.n_active,
        )  # fmt: skip

    def _training_loss(self, batch, state):
        from minimalml.compression._expert_merging._mixture_torch import balance_loss

        outputs, routings = state.module.routed(batch.X)
        task = weighted_mean(self._loss_of_outputs(outputs, batch.y), batch.weight)
        balance = sum(balance_loss(routing, batch.weight) for routing in routings)
        return task + self.balance_weight * balance

    def _fit_network(self, columns, X, y, **options):
        super()._fit_network(columns, X, y, **options)
        routings = self._routings(X, columns["weight"])
        self.balance_ = np.stack([frequency for frequency, _ in routings])
        return self

    def _routings(self, X, weight=None):
        """Return frequency and logits of each layer's experts, weights as repetition."""

        def logits_and_chosen(rows):
            return tuple(t for routing in self.module_.routed(rows)[1] for t in routing)

        found = self._map_rows(logits_and_chosen, X)
        weight = np.ones(len(X)) if weight is None else weight
        statistics = []
        for tensor, chosen in zip(found[::2], found[1::2], strict=True):
            logits = self._as_outputs(tensor, X)  # which are finite
            frequency = _frequency(to_numpy(chosen), weight, logits.shape[1])
            statistics.append(RoutingStatistics(frequency, logits))
        return statistics


def _frequency(chosen, weight, n_experts):
    """Return the share of all choices that went to each expert."""
    weights = np.repeat(weight, chosen.shape[1])
    return np.bincount(chosen.ravel(), weights, minlength=n_experts) / weights.sum()
