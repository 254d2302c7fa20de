"""Global magnitude pruning as a meta-estimator, at once or in steps.

Gupta et al., "Is complexity required for neural network pruning? A case study on
global magnitude pruning", 2022.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.linear_model import LogisticRegression

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import (
    DelegatingMixin,
    rows_of_last_step,
    sample_weight_of_last_step,
)
from minimalml._core.models.named_arrays import count_nonzero, size_of
from minimalml._core.models.prefit import PREFIT_CONSTRAINT, estimator_to_use
from minimalml._core.models.weights import (
    find_weight_holder,
    model_weights,
    weight_matrices,
)
from minimalml._core.validation import Interval, StrOptions, _fit_context
from minimalml.compression._global_magnitude_pruning._fine_tuning import (
    check_training_data,
    make_trainer,
)
from minimalml.compression._global_magnitude_pruning._masks import name_weights
from minimalml.compression._global_magnitude_pruning._ranking import (
    PrunedWeights,
    Rule,
    make_generator,
    sizes_of,
)
from minimalml.compression._global_magnitude_pruning._refit_support import (
    refit_on_support,
)
from minimalml.compression._global_magnitude_pruning._schedule import (
    SCHEDULES,
    n_to_prune,
    pruning_schedule,
)

POSITIVE = Interval(Integral, 1, None, closed="left")


class GlobalMagnitudePruner(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Remove most weights of an estimator, the smallest of all layers together.

    A model of a tenth or less of the size, without importance scores or settings to
    tune. Up to about 80 % one shot without training suffices, beyond that fine-tuning
    matters, and at 98 % pruning in steps. It is not for speed by itself: zeros save time
    only with sparse arithmetic (`to_sparse`). O(n) for n weights, beside the training.

    Parameters
    ----------
    estimator : estimator or torch.nn.Module, default=None
        What to prune: a linear model, MLPClassifier, MLPRegressor, a pipeline or
        search that ends in one, an estimator with a network in ``module_``, or a torch
        module. None is ``LogisticRegression()``. It is never changed.

    sparsity : float, default=0.9
        Share of the prunable weights to remove, in [0, 1). Raise it for a smaller model
        that is worse at some point.

    scope : {"global", "layer", "random"}, default="global"
        Rank all weights together; the baselines: those of each layer, or none.

    min_weights : int, default=0
        Floor: the weights that each layer keeps at least. Raise it if layers collapse.

    min_fraction : float, default=None
        The same floor as a fraction of all prunable weights; the paper uses 0.0005.

    ties : {"exact", "threshold"}, default="exact"
        Whether ties are broken for the exact number, or all kept.

    floor_rule : {"exact", "rescale"}, default="exact"
        How floors hold, see `global_magnitude_mask`.

    schedule : {"one-shot", "cubic", "linear", "geometric"} or list of float, \
            default="one-shot"
        Sparsity over the pruning events, see `pruning_schedule`.

    n_steps : int, default=10
        Pruning events of a gradual schedule.

    epochs_per_step : int, default=1
        Epochs trained after each event of a gradual schedule.

    fine_tune : {"epochs", "refit_support"}, default="epochs"
        "epochs" trains with masks. "refit_support" fits LinearRegression, Ridge or
        LogisticRegression again on the coefficients kept.

    fine_tune_epochs : int, default=0
        Epochs trained after the last event, by ``partial_fit`` or of a torch module.

    learning_rate : float, default=None
        Of this training; None is the estimator's own, for torch modules 0.001.

    batch_size : int or "auto", default="auto"
        Rows a step of training; "auto" is the estimator's own, or 200.

    mask_every_batch : bool, default=True
        Whether to zero pruned weights after each batch rather than each epoch.

    prefit : bool or "auto", default="auto"
        Whether ``estimator`` is used as it is fitted. "auto" does so for a fitted or
        frozen estimator and for torch modules, and fits a clone of others. Cloning, as
        in a search, forgets a fit: wrap it in FrozenEstimator to keep it.

    exclude : str, list of str or callable, default=None
        Names of weights to leave alone, or ``exclude(name) -> bool``.

    regrow : bool, default=False
        Whether pruned weights may come back at a later event, with the value they had.

    random_state : int, RandomState instance or None, default=None
        Orders the rows in training, and draws the weights if ``scope="random"``.

    verbose : int, default=0
        1 prints a line at each event.

    Attributes
    ----------
    estimator_ : estimator or torch.nn.Module
        The pruned copy.

    masks_ : dict of str to boolean array or tensor
        True marks a weight that was kept.

    threshold_ : float
        Largest magnitude removed at the last event; -inf if nothing was removed.

    sparsity_ : float
        Share of the prunable weights that was removed.

    layer_sparsity_ : dict of str to float
        The same for each layer.

    n_nonzero_ : int
        Number of weights kept.

    history_ : list of dict
        Of each event ``sparsity``, and ``loss`` of the last epoch after it or None.

    collapsed_layers_ : list of str
        Layers of which nothing was kept; of linear models also rows, as ``coef_[2]``.

    classes_ : ndarray of shape (n_classes,)
        Of classifiers.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, if they all are strings.

    See Also
    --------
    prune_module : Prune a torch module in a training loop of one's own.
    global_magnitude_mask : The masks alone.

    References
    ----------
    Gupta, M., Camci, E., Keneta, V. R., Vaidyanathan, A., Kanodia, R., Foo, C.-S.,
    Wu, M., Lin, J. "Is complexity required for neural network pruning? A case study
    on global magnitude pruning", 2022. arXiv 2209.14624.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.compression import GlobalMagnitudePruner
    >>> X, y = load_digits(return_X_y=True)
    >>> pruner = GlobalMagnitudePruner(LogisticRegression(tol=0.01), sparsity=0.5)
    >>> pruner.fit(X / 16, y).n_nonzero_
    320
    >>> pruner.score(X / 16, y) > 0.9
    True
    """

    _parameter_constraints = {
        "sparsity": [Interval(Real, 0, 1, closed="left")],
        "scope": [StrOptions({"global", "layer", "random"})],
        "min_weights": [Interval(Integral, 0, None, closed="left")],
        "min_fraction": [Interval(Real, 0, 1, closed="both"), None],
        "ties": [StrOptions({"exact", "threshold"})],
        "floor_rule": [StrOptions({"exact", "rescale"})],
        "schedule": [StrOptions(set(SCHEDULES)), "array-like"],
        "n_steps": [POSITIVE],
        "epochs_per_step": [Interval(Integral, 0, None, closed="left")],
        "fine_tune": [StrOptions({"epochs", "refit_support"})],
        "fine_tune_epochs": [Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [POSITIVE, StrOptions({"auto"})],
        "mask_every_batch": ["boolean"],
        "prefit": PREFIT_CONSTRAINT,
        "exclude": [str, "array-like", callable, None],
        "regrow": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        sparsity=0.9,
        scope="global",
        min_weights=0,
        min_fraction=None,
        ties="exact",
        floor_rule="exact",
        schedule="one-shot",
        n_steps=10,
        epochs_per_step=1,
        fine_tune="epochs",
        fine_tune_epochs=0,
        learning_rate=None,
        batch_size="auto",
        mask_every_batch=True,
        prefit="auto",
        exclude=None,
        regrow=False,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.sparsity = sparsity
        self.scope = scope
        self.min_weights = min_weights
        self.min_fraction = min_fraction
        self.ties = ties
        self.floor_rule = floor_rule
        self.schedule = schedule
        self.n_steps = n_steps
        self.epochs_per_step = epochs_per_step
        self.fine_tune = fine_tune
        self.fine_tune_epochs = fine_tune_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.mask_every_batch = mask_every_batch
        self.prefit = prefit
        self.exclude = exclude
        self.regrow = regrow
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit the estimator if it is not, then prune and fine-tune a copy of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data; None if the estimator is fitted and is not trained further.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets; None likewise.

        **params : dict
            Passed to the estimator's ``fit``, by metadata routing where that is on;
            ``sample_weight`` also to its training with masks.

        Returns
        -------
        self : GlobalMagnitudePruner

        Raises
        ------
        TypeError
            If the estimator has no weights that can be pruned.
        ValueError
            If the floors are too high for the sparsity, a weight is NaN, or the
            estimator can't be trained further as asked.
        sklearn.exceptions.NotFittedError
            If ``prefit=True`` and the estimator is not fitted.
        """
        if self.fine_tune == "refit_support" and self.fine_tune_epochs:
            raise ValueError(
                "fine_tune='refit_support' trains no epochs, got fine_tune_epochs="
                f"{self.fine_tune_epochs}: set it to 0, or fine_tune='epochs'."
            )
        steps = pruning_schedule(self.schedule, self.sparsity, self.n_steps).tolist()
        names = "scope", "min_weights", "min_fraction", "ties", "floor_rule"
        options = {name: getattr(self, name) for name in names}
        rule = Rule(**options, generator=make_generator(self.random_state))
        params = self._route("fit", params)
        self.estimator_, needs_fit = estimator_to_use(
            self._estimator(), self.prefit, is_changed=True
        )
        with fit_task(self, X, y, needs_fit + len(steps)) as task:
            if needs_fit:
                with task.step("dense fit", inner=self.estimator_):
                    self.estimator_.fit(X, y, **params)
            self._take_feature_names()
            self._prune(steps, rule, X, y, params, task)
        self._warn_if_collapsed()
        return self

    def _estimator(self):
        return LogisticRegression() if self.estimator is None else self.estimator

    def _prune(self, steps, rule, X, y, params, task):
        """Take the schedule's steps, training after each."""
        holder = find_weight_holder(self.estimator_)
        weights = name_weights(weight_matrices(holder, self.exclude, is_changed=True))
        counts = [n_to_prune(s, int(sizes_of(weights).sum())) for s in steps]
        rule.floors(weights, counts[-1])  # before any training
        epochs = [0 if len(steps) == 1 else self.epochs_per_step] * len(steps)
        epochs[-1] += self.fine_tune_epochs
        refits = self.fine_tune == "refit_support"
        if refits or any(epochs):
            data = check_training_data(
                X if X is None else rows_of_last_step(self.estimator_, X),
                y,
                sample_weight_of_last_step(self.estimator_, params),
            )
        if any(epochs):
            names = "batch_size", "mask_every_batch", "learning_rate"
            options = {name: getattr(self, name) for name in names}
            options["generator"] = rule.generator
            trainer = make_trainer(self.estimator_, *data, **options)
        pruned = PrunedWeights(rule, self.regrow)
        self.history_ = []
        for n_prune, n_epochs in zip(counts, epochs, strict=True):
            with task.step("pruning event", attributes={}):
                live = model_weights(holder)  # training may have replaced arrays
                pruned.prune({name: live[name] for name in weights}, n_prune)
                self._write_down(pruned)
                loss = trainer.run(n_epochs, pruned.masks) if n_epochs else None
                self.history_.append({"sparsity": self.sparsity_, "loss": loss})
                if self.verbose:
                    told = f"sparsity {self.sparsity_:.4f}"
                    told += "" if loss is None else f"  loss {loss:.6g}"
                    print(f"[GlobalMagnitudePruner] {told}")
            if task.is_stopped:
                break
        if refits:
            refit_on_support(holder, self.masks_.get("coef_"), *data)

    def _write_down(self, pruned):
        """Set the attributes that describe the masks."""
        self.masks_, self.threshold_ = pruned.masks, pruned.threshold
        sizes = {name: size_of(mask) for name, mask in self.masks_.items()}
        kept = {name: count_nonzero(mask) for name, mask in self.masks_.items()}
        self.n_nonzero_ = sum(kept.values())
        self.sparsity_ = 1 - self.n_nonzero_ / sum(sizes.values())
        self.layer_sparsity_ = {n: 1 - kept[n] / max(sizes[n], 1) for n in sizes}
        self.collapsed_layers_ = [n for n in sizes if sizes[n] and not kept[n]]
        coefficients = self.masks_.get("coef_")
        if coefficients is not None and coefficients.ndim == 2:
            empty = np.flatnonzero(~coefficients.any(axis=1))
            self.collapsed_layers_ += [f"coef_[{row}]" for row in empty]

    def _warn_if_collapsed(self):
        if not self.collapsed_layers_:
            return
        # a floor is of a whole layer, so it does not save the row of one output
        has_layers = any(name in self.masks_ for name in self.collapsed_layers_)
        advice = "raise min_weights or min_fraction, or " if has_layers else ""
        warnings.warn(
            f"pruning left no weight of {', '.join(self.collapsed_layers_)}, whose "
            f"outputs are constant now: {advice}lower sparsity.",
            UserWarning,
            stacklevel=5,  # past fit and its decorators
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "history_")
