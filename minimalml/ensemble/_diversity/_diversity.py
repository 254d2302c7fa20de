"""Networks trained together, with a push towards or away from differing.

Abe, Buchanan, Pleiss, Cunningham: "Pathologies of Predictive Diversity in Deep Ensembles",
TMLR 2024.
"""

import warnings

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import weighted_mean
from minimalml._core.training.network import NetworkClassifier, NetworkRegressor
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
)
from minimalml.ensemble._diversity._measures import (
    MEASURES,
    ambiguity,
    measure_of_logs,
)
from minimalml.ensemble._member_networks import (
    MemberClassifierMixin,
    MemberRegressorMixin,
)
from minimalml.ensemble._member_probabilities import combined_logs, of_class

# Where members are coupled, gradients are cut to this length unless training says so.
GRADIENT_CLIP = 5.0
CONSTRAINTS = {
    "n_members": [Interval(Integral, 1, None, closed="left")],
    "gamma": [Interval(Real, None, None, closed="neither")],
    "bootstrap": ["boolean"],
}


class StackedEnsembleMixin:
    """What classifier and regressor share: members side by side, loss and curves."""

    def _build_network(self):
        import torch

        from minimalml._core.training.stacked import make_stacked_mlp

        sizes = self.hidden_layer_sizes
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes must be integers of at least 1, got {sizes!r}."
            )
        seeds = torch.randint(2**31 - 1, (self.n_members,)).tolist()
        return make_stacked_mlp(
            seeds, self.n_features_in_, sizes, self._n_outputs, self.activation
        )

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        if self.gamma != 0 and self._training_settings.gradient_clip is None:
            options["gradient_clip"] = GRADIENT_CLIP
        return options

    def _fit_network(self, columns, X, y, *, partial=False, **options):
        self._refuse_unbounded()
        if self.bootstrap:
            columns["counts"] = self._bootstrap_counts(len(X))
        is_new = not self._continues(partial)
        self._sums = {}
        super()._fit_network(columns, X, y, partial=partial, **options)
        self._write_curves(is_new)
        return self

    def _bootstrap_counts(self, n_rows):
        """How often each member's own sample with replacement has each row."""
        generator = check_random_state(self.random_state)
        draws = generator.randint(n_rows, size=(self.n_members, n_rows))
        counts = [np.bincount(rows, minlength=n_rows) for rows in draws]
        return np.stack(counts, axis=1).astype(np.float64)

    def _training_loss(self, batch, state):
        """Return the members' mean loss less gamma times their diversity, times members.

        A member then moves as it would alone where gamma is 0.
        """
        import torch

        # (n_members, n, n_outputs)
        outputs = self._for_loss(state.network(batch.X))
        losses = self._losses_of_members(outputs, batch.y)
        counts = getattr(batch, "counts", None)
        counted = losses if counts is None else losses * counts.T
        members = weighted_mean(counted.mean(0), batch.weight)
        with torch.set_grad_enabled(bool(self.gamma) and torch.is_grad_enabled()):
            differ = self._diversity_of(outputs, batch.y)
            differ = weighted_mean(differ, batch.weight)
        n_rows, seen = len(batch.X), torch.stack([members.detach(), differ.detach()])
        sums, n_seen = self._sums.get(state.epoch, (0, 0))
        self._sums[state.epoch] = sums + n_rows * seen, n_seen + n_rows
        objective = members if self.gamma == 0 else members - self.gamma * differ
        return self.n_members * objective

    def _write_curves(self, is_new):
        import torch

        if is_new:
            self.member_loss_curve_, self.diversity_curve_ = [], []
        means = torch.stack([sums / n_rows for sums, n_rows in self._sums.values()])
        del self._sums
        members, differ = means.T.tolist()
        self.member_loss_curve_ += members
        self.diversity_curve_ += differ

    def _keep(self, state):
        super()._keep(state)
        self.loss_curve_ = [loss / self.n_members for loss in state.loss_curve]


@document_training
class DiversityRegularizedClassifier(
    StackedEnsembleMixin, MemberClassifierMixin, NetworkClassifier
):
    """Train several networks together, and say how much they shall differ.

    "Should members of an ensemble be more different?" Of small networks yes, of large ones
    no, and pushing those together is harmless or helps: search over ``gamma``. Members
    are trained by batched products, about as fast as one of them while they are small.

    Parameters
    ----------
    n_members : int, default=4
        Number of networks.

    diversity : {"jensen_gap", "variance", "jsd", "jsd_one_vs_all", "one_vs_all"}, \
            default="jensen_gap"
        What is meant by it, see `minimalml.ensemble.diversity`.

    gamma : float, default=0.0
        Above 0 members are pushed apart, below 0 together; 0 trains them apart from each
        other, and 1 with "jensen_gap" trains the ensemble as one network. With
        "jensen_gap" at most 1: beyond, the loss has no minimum.

    combine : {"probability", "logit"}, default="probability"
        Mean of probabilities, or normalised geometric mean.

    bootstrap : bool, default=False
        Whether each member sees its own sample of rows with replacement.

    Attributes
    ----------
    member_loss_curve_ : list of float
        Mean training loss of the members in each epoch.

    diversity_curve_ : list of float
        Their diversity on the training rows in each epoch.

    See Also
    --------
    diversity_decomposition : What an ensemble's loss is made of.
    subset_report : Whether diversity pays in a set of models.

    Notes
    -----
    Minimises ``mean_i l(f_i, y) - gamma D(f_1, ..., f_M)``. With the Jensen gap that is
    ``(1 - gamma)`` times the members' mean loss and ``gamma`` times the ensemble's.

    References
    ----------
    .. [1] T. Abe, E. K. Buchanan, G. Pleiss, J. Cunningham, "Pathologies of Predictive
       Diversity in Deep Ensembles", TMLR 2024. arXiv:2302.00704

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.ensemble import DiversityRegularizedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DiversityRegularizedClassifier(
    ...     hidden_layer_sizes=(4,), gamma=0.5, learning_rate=0.01, random_state=0)
    >>> model.fit(X, y).member_predict_proba(X).shape
    (4, 150, 3)
    >>> model.score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **{
            name: constraint
            for name, constraint in NetworkClassifier._parameter_constraints.items()
            if name != "module"
        },
        **CONSTRAINTS,
        "diversity": [StrOptions(set(MEASURES))],
        "combine": [StrOptions({"probability", "logit"})],
    }

    def __init__(
        self,
        n_members=4,
        *,
        diversity="jensen_gap",
        gamma=0.0,
        hidden_layer_sizes=(100,),
        activation="relu",
        combine="probability",
        bootstrap=False,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.n_members = n_members
        self.diversity = diversity
        self.gamma = gamma
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.combine = combine
        self.bootstrap = bootstrap
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

    def _refuse_unbounded(self):
        if self.diversity == "jensen_gap" and self.gamma > 1:
            raise ValueError(
                f"gamma must be at most 1 with diversity='jensen_gap', got {self.gamma}: "
                "beyond, the members' loss counts negatively and has no lower bound."
            )
        if self.diversity == "one_vs_all" and self.gamma > 1:
            self._warn(
                f"gamma={self.gamma} with diversity='one_vs_all' may not converge."
            )
        if self.n_members == 1 and self.gamma != 0:
            self._warn("n_members=1 has no diversity: gamma changes nothing.")

    @staticmethod
    def _warn(message):
        warnings.warn(message, UserWarning, stacklevel=6)

    def _for_loss(self, outputs):
        return outputs.log_softmax(-1)

    def _losses_of_members(self, logs, y):
        return -of_class(logs, y)

    def _diversity_of(self, logs, y):
        if self.combine == "logit" and self.diversity == "jensen_gap":
            return -logs.mean(0).logsumexp(-1)
        return measure_of_logs(logs, y, self.diversity)

    def _score_of_outputs(self, outputs, y, weight):
        """Score by the ensemble's log loss, greater is better."""
        logs = outputs.transpose(0, 1).log_softmax(-1)
        return weighted_mean(of_class(combined_logs(logs, self.combine), y), weight)


@document_training
class DiversityRegularizedRegressor(
    StackedEnsembleMixin, MemberRegressorMixin, NetworkRegressor
):
    """Train several networks together, and say how much their predictions shall differ.

    Negative correlation learning: diversity is the members' variance.

    Parameters
    ----------
    n_members : int, default=4
        Number of networks.

    gamma : float, default=0.0
        Above 0 members are pushed apart, below 0 together; 0 trains them apart from each
        other, and 1, the largest value, trains the ensemble as one network.

    bootstrap : bool, default=False
        Whether each member sees its own sample of rows with replacement.

    Attributes
    ----------
    member_loss_curve_ : list of float
        Mean squared error of the members in each epoch, of standardised targets.

    diversity_curve_ : list of float
        Their variance on the training rows in each epoch.

    See Also
    --------
    DiversityRegularizedClassifier : The same for classes.

    Notes
    -----
    Minimises ``mean_i (f_i - y)^2 - gamma mean_i (f_i - mean f)^2``.

    References
    ----------
    .. [1] T. Abe, E. K. Buchanan, G. Pleiss, J. Cunningham, "Pathologies of Predictive
       Diversity in Deep Ensembles", TMLR 2024. arXiv:2302.00704

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from minimalml.ensemble import DiversityRegularizedRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DiversityRegularizedRegressor(gamma=0.5, max_epochs=50, random_state=0)
    >>> model.fit(X / X.std(axis=0), y).score(X / X.std(axis=0), y) > 0.4
    True
    """

    _parameter_constraints = {
        **{
            name: constraint
            for name, constraint in NetworkRegressor._parameter_constraints.items()
            if name != "module"
        },
        **CONSTRAINTS,
    }

    def __init__(
        self,
        n_members=4,
        *,
        gamma=0.0,
        hidden_layer_sizes=(100,),
        activation="relu",
        bootstrap=False,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.n_members = n_members
        self.gamma = gamma
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.bootstrap = bootstrap
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

    def _refuse_unbounded(self):
        if self.gamma > 1:
            raise ValueError(
                f"gamma must be at most 1, got {self.gamma}: beyond, the members' loss "
                "counts negatively and has no lower bound."
            )

    def _for_loss(self, outputs):
        return outputs

    def _losses_of_members(self, outputs, y):
        return (outputs[..., 0] - y[:, 0]) ** 2

    def _diversity_of(self, outputs, y):
        return ambiguity(outputs[..., 0])

    def _score_of_outputs(self, outputs, y, weight):
        return super()._score_of_outputs(outputs.mean(1), y, weight)
