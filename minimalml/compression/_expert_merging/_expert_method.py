"""What merging and compressing share: a copy is changed, then the original teaches it."""

from contextlib import ExitStack

from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import check_consistent_length, check_random_state

from minimalml._core.array_checks import encode_labels
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.models.delegation import (
    DelegatingMixin,
    last_step,
    sample_weight_of_last_step,
)
from minimalml._core.models.prefit import PREFIT_CONSTRAINT, estimator_to_use
from minimalml._core.training.documentation import complete_docstring
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_sample_weight,
)
from minimalml.compression._expert_merging._mixture import MixtureOfExpertsClassifier
from minimalml.compression._expert_merging._mixture_parts import (
    find_mixture,
    rows_of_mixture,
)

POSITIVE = Interval(Integral, 1, None, closed="left")
EPOCHS = Interval(Integral, 0, None, closed="left")
PARAMETERS = {
    "distillation_weight": """float
    Weight of the divergence from the full mixture's probabilities, beside the
    cross-entropy of labels.""",
    "temperature": """float
    What logits are divided by in that divergence.""",
    "learning_rate": """float
    First step size; it falls to 0 along a cosine.""",
    "batch_size": """int or "auto"
    Rows a step; "auto" is 200, or all if they are fewer.""",
    "prefit": """bool or "auto"
    Whether ``estimator`` is used as it is fitted. "auto" does so for a fitted or frozen
    one, and fits a clone of others. Cloning, as in a search, forgets a fit: wrap it in
    FrozenEstimator to keep it.""",
    "random_state": """int, RandomState instance or None
    Orders the rows of the training.""",
    "verbose": """int
    1 prints a line an epoch, and one of the experts.""",
}
ATTRIBUTES = {
    "n_parameters_": """int
    Numbers in the network of ``estimator_``.""",
    "classes_": """ndarray of shape (n_classes,)
    Labels.""",
    "n_features_in_": """int
    Number of features.""",
    "feature_names_in_": """ndarray of shape (n_features,)
    Names of features, if they all are strings.""",
}


def document_method(cls):
    """Add to the docstring of a class what it leaves to the shared words."""
    return complete_docstring(cls, PARAMETERS, ATTRIBUTES)


class ExpertMethod(
    CallbackSupportMixin, DelegatingMixin, MetaEstimatorMixin, BaseEstimator
):
    """Change the experts of a copy of a mixture, and train it by the mixture.

    A subclass names its parameter of epochs in ``_epochs_parameter``, and writes
    ``_change(mixture, columns)``, which returns options of the training, None for none.
    """

    _parameter_constraints = {
        "distillation_weight": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [POSITIVE, StrOptions({"auto"})],
        "prefit": PREFIT_CONSTRAINT,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit the mixture if it is not, then change and train a copy of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data; None if the mixture is fitted and the method needs no rows.

        y : array-like of shape (n_samples,), default=None
            Labels; None if the mixture is fitted and no epochs are trained.

        **params : dict
            Passed to the estimator's ``fit``, by metadata routing where that is on;
            ``sample_weight`` counts in all that follows too.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the estimator is no mixture of experts, or one with compressed experts.
        ValueError
            If there are not as many experts as asked for, the rank is above the smaller
            side of an expert's matrix, a label is not among the mixture's, or X or y is
            None where it is needed.
        sklearn.exceptions.NotFittedError
            If ``prefit=True`` and the estimator is not fitted.
        """
        params = self._route("fit", params)
        model, needs_fit = estimator_to_use(self._estimator(), self.prefit)
        n_epochs = getattr(self, self._epochs_parameter)
        with fit_task(self, X, y, needs_fit + 1 + n_epochs) as task:
            if needs_fit:
                with task.step("mixture fit", inner=model):
                    model.fit(X, y, **params)
            start, teacher = self._start_and_teacher(model)
            find_mixture(start, is_changed=True)
            weight = sample_weight_of_last_step(model, params)
            columns = self._columns(start, X, y, weight)
            with task.step("change of experts", attributes={}):
                copied, _ = estimator_to_use(start, True, is_changed=True)
                mixture = last_step(copied)
                options = self._change(mixture, columns)
                mixture._training_state = None  # moments of weights that are gone
                self.estimator_, self.teacher_ = copied, teacher
                self._take_feature_names()
            if n_epochs and options is not None and not task.is_stopped:
                self._train(mixture, columns, task, max_epochs=n_epochs, **options)
            self._finish(mixture, options)
        return self

    def _estimator(self):
        return (
            MixtureOfExpertsClassifier() if self.estimator is None else self.estimator
        )

    def _start_and_teacher(self, model):
        """Return the fitted model that is changed, and the one that teaches it."""
        return model, model

    def _columns(self, model, X, y, weight):
        """Return checked rows, numbers of classes and weights, those that are needed."""
        name = self._epochs_parameter
        n_epochs = getattr(self, name)
        needed = {"X": n_epochs or self._needs_rows, "y": n_epochs}
        for key, values in (("X", X), ("y", y)):
            if values is None and needed[key]:
                raise ValueError(
                    f"{key} must be given to {type(self).__name__} with "
                    f"{name}={n_epochs}, got None."
                )
        if not needed["X"]:
            return None
        X = rows_of_mixture(model, X)
        if weight is not None:
            weight = check_sample_weight(weight, X, ensure_non_negative=True)
        if n_epochs:
            y = encode_labels(y, last_step(model).classes_)
            check_consistent_length(X, y)
        return {"X": X, "y": y, "weight": weight}

    def _train(self, mixture, columns, task, **options):
        """Distil the teacher into the changed mixture, an epoch a step of the task."""
        from minimalml.compression._expert_merging._distillation_torch import distil

        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        names = ("distillation_weight", "temperature", "learning_rate", "batch_size")
        options |= {name: getattr(self, name) for name in (*names, "verbose")}
        with ExitStack() as epoch:

            def begin_epoch(state):
                epoch.enter_context(task.step("epoch", attributes={}))

            def end_epoch(state):
                epoch.close()
                return task.is_stopped

            distil(
                mixture.module_, last_step(self.teacher_).module_, columns,
                order_seed=int(seeds[0]), noise_seed=int(seeds[1]),
                on_epoch_begin=begin_epoch, on_epoch_end=end_epoch, **options,
            )  # fmt: skip

    def _finish(self, mixture, options):
        """Set what describes the trained mixture."""
        parameters = mixture.module_.parameters()
        self.n_parameters_ = sum(parameter.numel() for parameter in parameters)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")
