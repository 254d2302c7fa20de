"""Ensembles of networks that are regularised for what they are: members of an ensemble."""

import warnings

from scipy.special import softmax
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import fit_task
from minimalml._core.training.documentation import complete_docstring, document_training
from minimalml._core.training.network import NetworkClassifier, NetworkRegressor
from minimalml._core.training.settings import Training
from minimalml._core.validation import Integral, Interval, Real, StrOptions
from minimalml.ensemble._infinite_compute._held_out import held_out_score, hold_out
from minimalml.ensemble._infinite_compute._locally_optimal_search import (
    LocallyOptimalSearchCV,
)
from minimalml.ensemble._member_networks import (
    MemberClassifierMixin,
    MemberRegressorMixin,
)

# The paper's grids: steps by a factor of 2, from standard values to 64 times those.
GRID = {
    "weight_decay": [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4],
    "max_epochs": [4, 8, 16, 32, 64, 128],
}
# What an ensemble wants beside one network: the paper's rule.
FOR_ENSEMBLES = {"weight_decay": 0.5, "max_epochs": 2}
# Share of the epochs over which the learning rate rises.
WARMUP = 0.01

# What classifier and regressor say alike, for `complete_docstring`.
PARAMETERS = {
    "n_members": """int
    Number of networks.""",
    "weight_decay": """float or "auto"
    AdamW's, multiplied by the learning rate; "auto" is searched in 0, 0.1, ... 6.4, and a
    number is kept as it is.""",
    "max_epochs": """int or "auto"
    Passes over the rows; "auto" is searched in 4, 8, ... 128.""",
    "tune_for": """{"ensemble", "single"}
    "ensemble" doubles the epochs and halves the weight decay that were best for one member,
    of those that were searched; "single" keeps them.""",
    "validation_fraction": """float
    Share of the rows, in (0, 1), that the search scores on. Members see all rows.""",
    "training": """Training
    Optimiser, schedule and other settings of `minimalml.neural_network.Training`; None is
    AdamW, cosine to 0 after 1 % of warm-up, and gradients of each member cut to 1.""",
    "warm_start": """bool
    Whether fit adds members to the present ones, with the settings found.""",
}
ATTRIBUTES = {
    "module_": """torch.nn.Module
    All members; gives outputs (n_members, n_samples, n_outputs).""",
    "weight_decay_, max_epochs_": """float, int
    What the members were trained with.""",
    "search_": """LocallyOptimalSearchCV or None
    The search; None where both were given.""",
}


def document_ensemble(cls):
    """Add the shared words to the docstring of a class."""
    return document_training(complete_docstring(cls, PARAMETERS, ATTRIBUTES))


class RegularizedEnsembleMixin:
    """What classifier and regressor share: the search, and members side by side."""

    _parameter_constraints = {
        **NetworkClassifier._parameter_constraints,
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "tune_for": [StrOptions({"ensemble", "single"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }
    del _parameter_constraints["activation"], _parameter_constraints["early_stopping"]

    def __init__(
        self, n_members=5, *, hidden_layer_sizes=(256,), weight_decay="auto",
        max_epochs="auto", learning_rate=3e-3, tune_for="ensemble", validation_fraction=0.2,
        batch_size="auto", module=None, training=None, device="auto", warm_start=False,
        random_state=None, verbose=0,
    ):  # fmt: skip
        super().__init__(
            hidden_layer_sizes, module=module, max_epochs=max_epochs, batch_size=batch_size,
            learning_rate=learning_rate, weight_decay=weight_decay, device=device,
            warm_start=warm_start, random_state=random_state, verbose=verbose,
            training=training,
        )  # fmt: skip
        self.n_members = n_members
        self.tune_for = tune_for
        self.validation_fraction = validation_fraction

    @property
    def _training_settings(self):
        if self.training is None:
            return Training(optimizer="adamw", schedule="cosine", gradient_clip=1.0)
        return self.training

    def _fit_network(self, columns, X, y, *, stratify=None, partial=False):
        """Find the settings, and train the members that are not there yet."""
        import_torch(type(self).__name__)
        kept = self.module_ if self._continues() else None
        n_kept = 0 if kept is None else kept.n_members
        if n_kept > self.n_members:
            raise ValueError(
                f"n_members must be at least the {n_kept} members that warm_start=True "
                f"keeps, got {self.n_members}."
            )
        if n_kept == self.n_members:
            return self
        n_tried = 0 if kept is None else self._n_tried  # some may have been dropped
        self._n_tried = n_tried + self.n_members - n_kept
        random_state = check_random_state(self.random_state)
        seeds = random_state.randint(2**31 - 1, size=(self._n_tried, 2))
        with fit_task(self, X, y) as task:
            if kept is None:
                self._find_settings(X, y, columns["weight"], int(seeds[0, 0]), task)
            self._seeds = seeds[n_tried:]
            self._train_members(columns, X, y, kept, task)
        return self

    def _find_settings(self, X, y, weight, seed, task):
        """Set ``weight_decay_`` and ``max_epochs_``, searched by one member."""
        found = {name: getattr(self, name) for name in GRID}
        grid = {n: v for n, v in GRID.items() if isinstance(found[n], str)}
        self.search_ = None
        if grid:
            one = dict(n_members=1, warm_start=False, verbose=0, random_state=seed)
            member = type(self)(**self.get_params(deep=False) | one)
            split = hold_out(y, self.validation_fraction, seed, is_classifier(self))
            self.search_ = LocallyOptimalSearchCV(
                member, grid, scoring=held_out_score, cv=[split], refit=False,
                verbose=self.verbose,
            )  # fmt: skip
            with (
                task.step("search", inner=self.search_),
                config_context(enable_metadata_routing=False),
            ):
                self.search_.fit(X, y, sample_weight=weight)
            found |= self.search_.best_params_
            if self.tune_for == "ensemble":
                found |= {name: found[name] * FOR_ENSEMBLES[name] for name in grid}
        self.weight_decay_ = found["weight_decay"]
        self.max_epochs_ = found["max_epochs"]

    def _train_members(self, columns, X, y, kept, task):
        from minimalml._core.training.stacked import MemberOrders
        from minimalml.ensemble._infinite_compute._members_torch import (
            optimizer_of_members,
            side_by_side,
        )

        def make_optimizer(groups, learning_rate):
            nonlocal diverged
            optimizer, diverged = optimizer_of_members(
                groups, learning_rate, self.module_, self._training_settings
            )
            return optimizer

        members, diverged = [] if kept is None else _members(kept), None
        self.__dict__.pop("module_", None)  # else training would go on from it
        super()._fit_network(
            columns, X, y, task=task, sampler="sequential", gradient_clip=None,
            extend=MemberOrders(self._seeds[:, 1]), optimizer=make_optimizer,
        )  # fmt: skip
        del self._seeds, self._training_state
        is_lost = diverged.tolist()
        _tell_of_diverged(sum(is_lost), len(is_lost))
        new = zip(_members(self.module_), is_lost, strict=True)
        members += [member for member, lost in new if not lost]
        self.module_ = side_by_side(members).eval()

    def _build_network(self):
        import torch

        from minimalml._core.torch_random import isolated_noise
        from minimalml.ensemble._infinite_compute._members_torch import side_by_side

        members = []
        for seed in self._seeds[:, 0]:
            with isolated_noise(torch.device("cpu"), int(seed)):
                members.append(super()._build_network())
        return side_by_side(members)

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        options |= {"max_epochs": self.max_epochs_, "weight_decay": self.weight_decay_}
        if self.training is None:
            options["warmup_epochs"] = WARMUP * self.max_epochs_
        return options

    def _outputs(self, X, network=None):
        outputs = super()._outputs(X, network)
        if outputs.shape[-1] != self._n_outputs:
            raise ValueError(
                f"module must give n_outputs={self._n_outputs} numbers a row, got "
                f"{outputs.shape[-1]}."
            )
        return outputs

    def _training_loss(self, batch, state):
        """Return the sum of the members' losses, of those that have one."""
        import torch

        # columns are (n, n_members, ...): each member has its own order of rows
        outputs = self._outputs(batch.X.transpose(0, 1), state.network)
        losses = self._loss_of_outputs(outputs.flatten(0, 1), batch.y.flatten(0, 1))
        losses = losses.reshape(outputs.shape[:2])  # (n, n_members)
        if batch.weight is not None:
            losses = losses * batch.weight
        losses = losses.mean(0)
        return torch.where(losses.isfinite(), losses, 0.0).sum()

    def _keep(self, state):
        super()._keep(state)
        n_trained = len(self._seeds)
        self.loss_curve_ = [loss / n_trained for loss in state.loss_curve]

    @property
    def partial_fit(self):
        """Members are trained by `fit` alone, since its settings are for a whole run."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit.")


def _members(module):
    return [module.member(number) for number in range(module.n_members)]


def _tell_of_diverged(n_lost, n_members):
    advice = "lower learning_rate, or scale X and y."
    if n_lost == n_members:
        raise ValueError(f"All of {n_members} members diverged: {advice}")
    if n_lost:
        message = f"{n_lost} of {n_members} members diverged and are dropped: {advice}"
        warnings.warn(message, ConvergenceWarning, stacklevel=8)


@document_ensemble
class RegularizedEnsembleClassifier(
    RegularizedEnsembleMixin, MemberClassifierMixin, NetworkClassifier
):
    """Average networks whose weight decay and epochs are tuned for the ensemble.

    For few data and compute to spare. Weight decay and epochs are searched with one member,
    then moved by the paper's rule. Members differ in initial weights and order of rows, and
    each moves as it would alone; one whose gradient is not finite is dropped with a warning.
    Scale X, as for any network. Costs about 20 fits of one member, and ``n_members`` longer
    ones, which run together. Needs torch.

    Parameters
    ----------
    combine : {"logit", "probability"}, default="logit"
        Mean of log-probabilities, normalised, or of probabilities.

    See Also
    --------
    EnsembleScalingAnalysis : What still larger and more networks would reach.
    DiversityRegularizedClassifier : Members that are pushed apart or together.

    References
    ----------
    .. [1] K. Kim, S. Kotha, P. Liang, T. Hashimoto, "Pre-training under infinite compute",
       2025. arXiv:2509.14786

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.ensemble import RegularizedEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = RegularizedEnsembleClassifier(
    ...     3, hidden_layer_sizes=(16,), weight_decay=0.1, max_epochs=60, batch_size=30,
    ...     random_state=0)
    >>> model.fit(X, y).member_predict_proba(X).shape
    (3, 150, 3)
    >>> model.score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **RegularizedEnsembleMixin._parameter_constraints,
        "combine": [StrOptions({"logit", "probability"})],
    }

    def __init__(
        self, n_members=5, *, hidden_layer_sizes=(256,), combine="logit", weight_decay="auto",
        max_epochs="auto", learning_rate=3e-3, tune_for="ensemble", validation_fraction=0.2,
        batch_size="auto", module=None, training=None, device="auto", warm_start=False,
        random_state=None, verbose=0,
    ):  # fmt: skip
        super().__init__(
            n_members, hidden_layer_sizes=hidden_layer_sizes, weight_decay=weight_decay,
            max_epochs=max_epochs, learning_rate=learning_rate, tune_for=tune_for,
            validation_fraction=validation_fraction, batch_size=batch_size, module=module,
            training=training, device=device, warm_start=warm_start,
            random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.combine = combine

    def staged_predict_proba(self, X):
        """Predict the probabilities of the first 1, 2, ... members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Yields
        ------
        ndarray of shape (n_samples, n_classes)
        """
        outputs = self._member_outputs(X)
        for size in range(1, len(outputs) + 1):
            yield softmax(self._combined(outputs[:size]), axis=1)


@document_ensemble
class RegularizedEnsembleRegressor(
    RegularizedEnsembleMixin, MemberRegressorMixin, NetworkRegressor
):
    """Average networks whose weight decay and epochs are tuned for the ensemble.

    As `RegularizedEnsembleClassifier`, for one target and squared error.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from minimalml.ensemble import RegularizedEnsembleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RegularizedEnsembleRegressor(
    ...     3, hidden_layer_sizes=(32,), weight_decay=0.4, max_epochs=40, random_state=0)
    >>> model.fit(X / X.std(axis=0), y).score(X / X.std(axis=0), y) > 0.4
    True
    """

    def staged_predict(self, X):
        """Predict targets by the mean of the first 1, 2, ... members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Yields
        ------
        ndarray of shape (n_samples,)
        """
        predictions = self.member_predict(X)
        for size in range(1, len(predictions) + 1):
            yield predictions[:size].mean(axis=0)
