"""Cat-n: hidden layers of networks that differ only in their seed, side by side.

A network keeps the features that lower its loss on its own task; another seed keeps
others. On a new task the features of several are worth more than those of one.
Zhang and Bottou, "Learning useful representations for shifting tasks and distributions",
ICML 2023.
"""

from functools import partial
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from minimalml._core.arrays import is_torch_module
from minimalml._core.models.delegation import last_step
from minimalml._core.validation import (
    HasMethods,
    Interval,
    _fit_context,
    check_feature_names_in,
    check_is_fitted,
    validate_data,
    validate_parameter_constraints,
)
from minimalml.ensemble._rich_representations._fine_tuning import fine_tuned
from minimalml.ensemble._rich_representations._hidden_layers import (
    hidden_representation,
    output_layer,
)


class ConcatenatedRepresentation(TransformerMixin, MetaEstimatorMixin, BaseEstimator):
    """Turn rows into the hidden layers of several networks, trained with other seeds.

    Use it before a linear model where labels of one task are many and those of the task
    at hand are few. On the task that the networks were trained on it gains nothing, and
    where all weights may be tuned on many rows one larger network is as good.

    The fit costs ``n_networks`` fits of one network, a transform as many predictions.

    Parameters
    ----------
    estimator : estimator or list of estimators, default=None
        The network, cloned ``n_networks`` times, with every ``random_state`` in it set
        from this one's; or a list, whose members are cloned and fitted. A
        `sklearn.frozen.FrozenEstimator` in a list is used with the fit that it has: so
        networks come in that were trained before. None is an MLPClassifier, or an
        MLPRegressor where y is continuous. `hidden_representation` says what can be read.

    n_networks : int, default=5
        How many; more cost more, and gain less and less. Ignored for a list.

    layer : int, default=-1
        Which hidden layer, the last by default; see `hidden_representation`.

    n_jobs : int, default=None
        Networks that are fitted at the same time, see :term:`n_jobs`.

    random_state : int, RandomState instance or None, default=None
        Draws the seeds; for a list, those of members whose own is None. With an int,
        the first k of n networks are those of ``n_networks=k``.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted networks.

    seeds_ : ndarray of shape (n_networks,)
        The seeds that were drawn for them.

    widths_ : ndarray of shape (n_networks,)
        How many columns each gives.

    classes_ : ndarray of shape (n_classes,)
        Labels of the networks, where all have the same.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    DistilledRepresentation : The same in one network of the size of one.

    Notes
    -----
    Columns have no common scale. Let a StandardScaler see the rows of the new task:
    ``make_pipeline(FrozenEstimator(representation), StandardScaler(), probe)``. One
    that is fitted on the old task blows up units that are nearly silent there.

    References
    ----------
    Zhang and Bottou, "Learning useful representations for shifting tasks and
    distributions", ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from minimalml.ensemble import ConcatenatedRepresentation
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), max_iter=1000)
    >>> representation = ConcatenatedRepresentation(network, 3, random_state=0)
    >>> representation.fit_transform(X, y).shape
    (150, 24)
    """

    _parameter_constraints = {
        "estimator": [HasMethods("fit"), list, None],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
        "layer": [Integral],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator=None, n_networks=5, *, layer=-1, n_jobs=None, random_state=None
    ):
        self.estimator = estimator
        self.n_networks = n_networks
        self.layer = layer
        self.n_jobs = n_jobs
        self.random_state = random_state

    # the networks' parameters are their own business
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Train the networks.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, as the networks take them.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels or targets of the task to learn from; None if all are frozen.

        **params : dict
            Passed to the ``fit`` of the networks, ``sample_weight`` for one.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        TypeError
            If a network has no hidden layer that can be read.
        ValueError
            If ``layer`` is out of range, the list is empty, or the estimator has no
            ``random_state``, so that all networks would be the same.
        sklearn.exceptions.NotFittedError
            If a frozen network is not fitted.
        """
        members = self._check_members(y)
        all_params = self._route(params, len(members))
        if y is None and not all(map(_is_frozen, members)):
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None: only frozen networks need none."
            )
        X = self._check_rows(X, reset=True)
        members = self._seeded(members)
        self._fitted_layer = self.layer
        self.estimators_ = self._each(_fit_network, X, y, members, all_params)
        self.widths_ = np.array([part.shape[1] for part in self._parts(X[:1])])
        self._set_classes()
        return self

    def transform(self, X):
        """Return the hidden layers of all networks, side by side.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, as the networks take them.

        Returns
        -------
        ndarray of shape (n_samples, widths_.sum())
            In the float type of ``X``.
        """
        check_is_fitted(self)
        X = self._check_rows(X)
        ends = np.cumsum(self.widths_)
        features = None
        for end, width, part in zip(ends, self.widths_, self._parts(X), strict=True):
            if features is None:
                features = np.empty((len(part), ends[-1]), dtype=part.dtype)
            features[:, end - width : end] = part
        return features

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the features seen by `fit`, and not used: columns do not
            come from single features.

        Returns
        -------
        ndarray of shape (widths_.sum(),)
            As "network0_unit3".
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        names = [
            f"network{network}_unit{unit}"
            for network, width in enumerate(self.widths_)
            for unit in range(width)
        ]
        return np.array(names, dtype=object)

    def averaged_head(self):
        """Return the output layer that turns the features into the networks' mean.

        It is where the last stage of training on the same classes can start.

        Returns
        -------
        coef : ndarray of shape (n_outputs, widths_.sum())
            Of the mean of the decisions before softmax or sigmoid, one row for two
            classes; of the mean prediction of regressors.

        intercept : ndarray of shape (n_outputs,)

        Raises
        ------
        ValueError
            If ``layer`` is not the last one, or the networks have not the same classes
            and number of outputs.
        """
        check_is_fitted(self)
        if self._fitted_layer != -1:
            raise ValueError(
                "averaged_head acts on the last hidden layer, layer=-1, got "
                f"{self._fitted_layer}."
            )
        layers = [output_layer(e, self.n_features_in_) for e in self.estimators_]
        labels = [_classes(e) for e in self.estimators_]
        shapes = {bias.shape for _, bias in layers}
        if len(shapes) > 1 or not all(_same(labels[0], other) for other in labels[1:]):
            raise ValueError(
                "averaged_head needs networks with the same classes_ and outputs, got "
                f"{[None if c is None else list(c) for c in labels]}."
            )
        coefs, intercepts = zip(*layers, strict=True)
        return np.hstack(coefs) / len(coefs), np.mean(intercepts, axis=0)

    def fine_tune(self, X, y, *, max_epochs=30):
        """Fit each network anew on other labels, from its present hidden layers.

        The first of two stages; a probe on the features of what comes back is the
        second. The present networks stay as they are.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the new task.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their labels, other classes than before or the same.

        max_epochs : int, default=30
            Passes over the rows.

        Returns
        -------
        ConcatenatedRepresentation
            A fitted one, of the new networks, frozen: it survives cloning.

        Raises
        ------
        TypeError
            If a network is a bare torch module.
        """
        check_is_fitted(self)
        validate_parameter_constraints(
            {"max_epochs": [Interval(Integral, 1, None, closed="left")]},
            {"max_epochs": max_epochs},
            caller_name="fine_tune",
        )
        X = self._check_rows(X)
        seeds = self._draw_seeds(len(self.estimators_))
        tune = partial(fine_tuned, max_epochs=max_epochs)
        tuned = self._each(tune, X, y, self.estimators_, seeds)
        frozen = [e if _is_frozen(e) else FrozenEstimator(e) for e in tuned]
        return clone(self).set_params(estimator=frozen).fit(X)

    def get_metadata_routing(self):
        """Get how metadata is passed on to the networks.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=self)
        for name, member in self._templates().items():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: member}, method_mapping=mapping)
        return router

    def _templates(self):
        """Return the estimators that the user gave, by name."""
        if isinstance(self.estimator, list):
            return {f"network{i}": e for i, e in enumerate(self.estimator)}
        is_default = self.estimator is None
        return {"estimator": MLPClassifier() if is_default else self.estimator}

    def _route(self, params, n_members):
        """Return what the ``fit`` of each network takes."""
        if not _routing_enabled():
            return [params] * n_members
        routed = process_routing(self, "fit", **params)
        each = [routed[name].fit for name in self._templates()]
        return each if isinstance(self.estimator, list) else each * n_members

    def _check_members(self, y):
        """Return one template for each network."""
        if self.estimator is None:
            is_continuous = y is not None and type_of_target(y).startswith("continuous")
            default = MLPRegressor() if is_continuous else MLPClassifier()
            return [default] * self.n_networks
        if self.estimator == []:
            raise ValueError("estimator must be a list of at least 1 network, got [].")
        is_list = isinstance(self.estimator, list)
        for index, (name, member) in enumerate(self._templates().items()):
            _check_member(f"estimator[{index}]" if is_list else name, member)
        return self.estimator if is_list else [self.estimator] * self.n_networks

    def _seeded(self, members):
        """Return estimators to fit, clones unless frozen, each with its seed."""
        is_list = isinstance(self.estimator, list)
        if not is_list and len(members) > 1 and not _seed_parameters(members[0]):
            raise ValueError(
                f"estimator {type(members[0]).__name__} has no random_state to set: all "
                f"networks would be the same, got n_networks={len(members)}."
            )
        self.seeds_ = self._draw_seeds(len(members))
        seeded = []
        for member, seed in zip(members, self.seeds_, strict=True):
            seeded.append(clone(member))
            if names := _seed_parameters(member, only_missing=is_list):
                seeded[-1].set_params(**dict.fromkeys(names, int(seed)))
        return seeded

    def _check_rows(self, X, *, reset=False):
        """Return rows as the networks take them: data frames as they are, or an array."""
        if hasattr(X, "columns"):
            return validate_data(self, X, reset=reset, skip_check_array=True)
        options = {"dtype": None, "ensure_all_finite": False, "allow_nd": True}
        return validate_data(self, X, reset=reset, accept_sparse="csr", **options)

    def _each(self, function, X, y, *values):
        """Return ``function(X, y, *own)`` with each network's own of the ``values``.

        One BLAS thread each, so that the sums are those of any ``n_jobs``; set here for
        the threads of this process, and by `_with_one_thread` in others.
        """
        with threadpool_limits(1, user_api="blas"):
            return Parallel(n_jobs=self.n_jobs)(
                delayed(_with_one_thread)(function, X, y, *own)
                for own in zip(*values, strict=True)
            )

    def _draw_seeds(self, n):
        return check_random_state(self.random_state).randint(2**31 - 1, size=n)

    def _parts(self, X):
        """Yield the hidden layer of each network."""
        for estimator in self.estimators_:
            yield hidden_representation(estimator, X, layer=self._fitted_layer)

    def _set_classes(self):
        labels = [_classes(estimator) for estimator in self.estimators_]
        self.__dict__.pop("classes_", None)
        if labels[0] is not None and all(_same(labels[0], c) for c in labels):
            self.classes_ = labels[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        members = list(self._templates().values())
        tags.target_tags.required = not all(map(_is_frozen, members))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = all(
            not is_torch_module(last_step(member))
            and get_tags(member).input_tags.sparse
            for member in members
        )
        return tags


def _is_frozen(estimator):
    return isinstance(estimator, FrozenEstimator)


def _check_member(name, member):
    if not hasattr(member, "fit"):
        raise TypeError(
            f"{name} must be an estimator, in a FrozenEstimator if it is fitted already, "
            f"got {type(member).__name__}."
        )
    if not _is_frozen(member) or is_torch_module(last_step(member)):
        return
    try:
        check_is_fitted(member)
    except NotFittedError as error:
        raise NotFittedError(f"{name} is frozen but not fitted.") from error


def _seed_parameters(estimator, only_missing=False):
    """Return the names of all seeds among the parameters, but those of frozen parts."""
    params = {"": estimator, **estimator.get_params()}
    frozen = tuple(
        f"{name}__" if name else "" for name, part in params.items() if _is_frozen(part)
    )
    return [
        name
        for name, value in params.items()
        if name.split("__")[-1] == "random_state"
        and not name.startswith(frozen)
        and (value is None or not only_missing)
    ]


def _fit_network(X, y, estimator, params):
    return estimator if _is_frozen(estimator) else estimator.fit(X, y, **params)


def _with_one_thread(function, *arguments):
    with threadpool_limits(1, user_api="blas"):
        return function(*arguments)


def _classes(estimator):
    return getattr(estimator, "classes_", None)


def _same(classes, others):
    """Whether two networks have the same labels, or none."""
    if classes is None or others is None:
        return classes is others
    return np.array_equal(classes, others)
