"""One network that learns the features of several: Cat-n at the cost of one.

Its last hidden layer feeds linear heads that must give what the teachers have, on the
training rows and on noisy copies of them. The heads are dropped afterwards.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

from minimalml._core.callbacks import with_callbacks
from minimalml._core.models.delegation import last_step
from minimalml._core.models.prefit import estimator_to_use, is_used_as_fitted
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
    weighted_mean,
)
from minimalml._core.training.settings import Training
from minimalml._core.validation import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.ensemble._rich_representations._hidden_layers import (
    FLOATS,
    hidden_widths,
)
from minimalml.ensemble._rich_representations._rich_representations import (
    ConcatenatedRepresentation,
)

# Standard deviation up to which a teacher's feature says nothing.
CONSTANT = 1e-12


@document_training
class DistilledRepresentation(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    TorchEstimatorMixin,
    BaseEstimator,
):
    """Turn rows into the last hidden layer of one network that imitates several.

    Use it where `ConcatenatedRepresentation` helps and costs too much in prediction; it
    keeps a small part of the gain at best. Scale X, as for any network. Needs torch.

    Memory is that of the teachers' outputs on ``1 + n_noisy_copies`` times the rows.

    Parameters
    ----------
    representation : ConcatenatedRepresentation, default=None
        The teachers: used as it is if it is fitted or frozen, else a clone is fitted,
        which needs y. Freeze fitted ones where the student is cloned, as in a search. None is ``ConcatenatedRepresentation()``. For features, any
        transformer, with ``hidden_layer_sizes``.

    hidden_layer_sizes : array-like of int, default=None
        Width of each hidden layer of the student, the last that of the output; None is
        those of the first teacher.

    target : {"features", "probabilities"}, default="features"
        What the student has to predict: the teachers' features, standardised, or as in
        the paper the class probabilities of each teacher.

    noise : float, default=0.3
        Of noisy copies, in standard deviations of each column of X.

    n_noisy_copies : int, default=3
        Of the training rows; more imitate better away from the rows, and cost more.

    training : Training, default=None
        Optimiser, schedule and other settings of `minimalml.neural_network.Training`;
        None is AdamW with the cosine schedule.

    Attributes
    ----------
    representation_ : estimator
        The teachers.

    module_ : torch.nn.Module
        The student without its heads.

    fidelity_ : float
        How well it imitates on X: R² of the standardised features, mean over features;
        for probabilities the share of equal labels.

    See Also
    --------
    ConcatenatedRepresentation : The teachers.

    References
    ----------
    Zhang and Bottou, "Learning useful representations for shifting tasks and
    distributions", ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from minimalml.ensemble import (
    ...     ConcatenatedRepresentation, DistilledRepresentation
    ... )
    >>> X, y = load_iris(return_X_y=True)
    >>> teachers = ConcatenatedRepresentation(MLPClassifier((8,), max_iter=1000), 3)
    >>> student = DistilledRepresentation(teachers, random_state=0)
    >>> student.fit_transform(X, y).shape
    (150, 8)
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "representation": [HasMethods(["fit", "transform"]), None],
        "hidden_layer_sizes": ["array-like", None],
        "target": [StrOptions({"features", "probabilities"})],
        "noise": [Interval(Real, 0, None, closed="left")],
        "n_noisy_copies": [Interval(Integral, 0, None, closed="left")],
    }
    del _parameter_constraints["early_stopping"], _parameter_constraints["warm_start"]
    # what the training loop asks for beside the parameters
    early_stopping = warm_start = False

    def __init__(
        self,
        representation=None,
        *,
        hidden_layer_sizes=None,
        target="features",
        noise=0.3,
        n_noisy_copies=3,
        max_epochs=20,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-4,
        training=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.representation = representation
        self.hidden_layer_sizes = hidden_layer_sizes
        self.target = target
        self.noise = noise
        self.n_noisy_copies = n_noisy_copies
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # the teachers' parameters are their own business
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the student, and its teachers first if they are not fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; labels are not needed for them once the teachers are fitted.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What to fit the teachers to.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If y is missing, the teachers' features are all constant, they have no
            class probabilities to imitate, or ``hidden_layer_sizes`` is needed.
        """
        given = X
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        self.representation_ = self._teachers(given, y, seed)
        rows = self._noisy_rows(X, seed)
        outputs = [self._teach(part) for part in (given, *rows[1:])]
        self._n_classes = [part.shape[1] for part in outputs[0]]
        self._student_sizes = self._check_sizes()
        targets = np.vstack([np.hstack(parts) for parts in outputs])
        if self.target == "features":
            targets = _standardised(targets)
        self._n_outputs = targets.shape[1]
        columns = {"X": np.vstack(rows), "targets": targets.astype(X.dtype, copy=False)}
        self._fit_network(columns, X, y)
        self.fidelity_ = self._measure_fidelity(X, targets[: len(X)])
        self._drop_heads()
        return self

    def transform(self, X):
        """Return the student's last hidden layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, hidden_layer_sizes[-1])
            In the float type of ``X``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self._predict_rows(self.module_, X)

    @property
    def _training_settings(self):
        if self.training is None:
            return Training(optimizer="adamw", schedule="cosine")
        return self.training

    @property
    def _n_features_out(self):
        return self._student_sizes[-1]

    def _teachers(self, X, y, seed):
        """Return the fitted representation."""
        given = self.representation
        given = ConcatenatedRepresentation() if given is None else given
        representation, needs_fit = estimator_to_use(given)
        if not needs_fit:
            return representation
        if representation.get_params().get("random_state", 0) is None:
            representation.set_params(random_state=seed)
        return representation.fit(X, y)

    def _noisy_rows(self, X, seed):
        """Return the rows, and copies with noise."""
        noise = np.random.default_rng(seed)
        scale = (self.noise * X.std(axis=0)).astype(X.dtype)
        copies = [
            X + scale * noise.standard_normal(X.shape, dtype=X.dtype)
            for _ in range(self.n_noisy_copies)
        ]
        return [X, *copies]

    def _teach(self, X):
        """Return a list of what the student has to predict of some rows, by head."""
        with warnings.catch_warnings():
            # those that were given have been checked, noisy copies are plain arrays
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            if self.target == "features":
                return [np.asarray(self.representation_.transform(X))]
            return [
                _probabilities(network, X)
                for network in getattr(self.representation_, "estimators_", [None])
            ]

    def _check_sizes(self):
        sizes = self.hidden_layer_sizes
        if sizes is None:
            networks = getattr(self.representation_, "estimators_", [None])
            sizes = hidden_widths(last_step(networks[0]))
            if not sizes:
                raise ValueError(
                    "hidden_layer_sizes must be given: the first network of "
                    "representation is no multilayer perceptron to take them from."
                )
        sizes = list(sizes)
        if not sizes or not all(isinstance(s, Integral) and s > 0 for s in sizes):
            raise ValueError(
                "hidden_layer_sizes must be integers of at least 1, and at least one of "
                f"them, got {self.hidden_layer_sizes!r}."
            )
        return sizes

    def _build_network(self):
        from minimalml._core.training.modules import MLP

        return MLP(self.n_features_in_, self._student_sizes, self._n_outputs)

    def _training_loss(self, batch, state):
        outputs = state.network(batch.X)
        if self.target == "features":
            return weighted_mean((outputs - batch.targets).square().mean(1))
        return weighted_mean(_divergence(outputs, batch.targets, self._n_classes))

    def _measure_fidelity(self, X, targets):
        outputs = self._predict_rows(self.module_, X)
        if self.target == "features":
            return float(r2_score(targets, outputs))
        ends = np.cumsum(self._n_classes)[:-1]
        heads = zip(
            np.split(targets, ends, axis=1),
            np.split(outputs, ends, axis=1),
            strict=True,
        )
        return float(np.mean([(t.argmax(1) == o.argmax(1)).mean() for t, o in heads]))

    def _drop_heads(self):
        from torch import nn

        self.module_.head = nn.Identity()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        given = self.representation
        tags.target_tags.required = given is None or not is_used_as_fitted(given)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _standardised(features):
    """Return features of mean 0 and standard deviation 1, without constant ones."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    varies = scale > CONSTANT
    if not varies.any():
        raise ValueError(
            f"representation gives {len(scale)} features that are all constant on X: "
            "there is nothing to distil."
        )
    return (features[:, varies] - mean[varies]) / scale[varies]


def _probabilities(network, X):
    """Return the class probabilities of a teacher, shape (n_samples, n_classes)."""
    if not hasattr(network, "predict_proba"):
        raise ValueError(
            "target='probabilities' needs a representation of classifiers, got "
            f"{type(network).__name__}: take target='features'."
        )
    probabilities = network.predict_proba(X)
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3):
        raise ValueError(
            "target='probabilities' needs one class a row, got several labels: take "
            "target='features'."
        )
    return probabilities


def _divergence(outputs, targets, n_classes):
    """Return the divergence of each row's softmax from the teachers', sum over heads."""
    from torch.nn.functional import kl_div, log_softmax

    heads = zip(outputs.split(n_classes, 1), targets.split(n_classes, 1), strict=True)
    return sum(
        kl_div(log_softmax(head, dim=1), target, reduction="none").sum(1)
        for head, target in heads
    )
