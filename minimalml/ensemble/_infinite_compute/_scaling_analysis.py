"""The double limit: what a recipe reaches with networks, and ensembles of them, without end."""

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    validate_data,
    validate_params,
)
from minimalml.ensemble._infinite_compute._held_out import hold_out
from minimalml.ensemble._infinite_compute._infinite_compute import (
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
)
from minimalml.ensemble._infinite_compute._scaling_law import (
    FLOATS,
    ScalingLawRegressor,
)
from minimalml.ensemble._member_probabilities import (
    check_codes,
    check_members,
    combined_logs,
    logarithms,
    member_subsets,
    of_class,
)


@validate_params(
    {
        "probas": ["array-like"],
        "y": ["array-like"],
        "combine": [StrOptions({"logit", "probability"})],
        "max_subsets": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def ensemble_loss_curve(
    probas, y, *, combine="logit", max_subsets=200, random_state=None
):
    """Return the mean log loss of ensembles of 1, 2, ... M of the members.

    Over all subsets of each size it never rises, and a law fitted to it says what still more
    members would gain. Time O(n C sum_k min(comb(M, k), max_subsets) k).

    Parameters
    ----------
    probas : array-like of shape (n_members, n_samples, n_classes)
        Each member's probabilities, as ``member_predict_proba`` returns them.

    y : array-like of shape (n_samples,)
        Column of the true class of each row.

    combine : {"logit", "probability"}, default="logit"
        Mean of log-probabilities, normalised, or of probabilities; the logarithm of 0 is
        that of the smallest float.

    max_subsets : int, default=200
        Of more subsets of one size so many are drawn; the curve may then rise a little.

    random_state : int, RandomState instance or None, default=None
        Of the random ones.

    Returns
    -------
    ndarray of shape (n_members,)
        Mean loss for each number of members.

    Raises
    ------
    ValueError
        If shapes do not fit, ``probas`` are no probabilities or ``y`` no columns.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import ensemble_loss_curve
    >>> probas = [[[0.9, 0.1]], [[0.5, 0.5]], [[0.6, 0.4]]]
    >>> ensemble_loss_curve(probas, [0]).round(3)
    array([0.436, 0.375, 0.351])
    """
    probas = check_members(probas).astype(np.float64)
    if probas.ndim != 3:
        raise ValueError(
            "probas must have shape (n_members, n_samples, n_classes), got "
            f"{probas.shape}."
        )
    y = check_codes(y, probas)
    generator = check_random_state(random_state)
    logs, _ = logarithms(probas)
    n_members, curve = len(logs), []
    for size in range(1, n_members + 1):
        subsets = member_subsets(n_members, size, max_subsets, generator)
        losses = [-of_class(combined_logs(logs[s], combine), y).mean() for s in subsets]
        curve.append(np.mean(losses))
    return np.array(curve)


def squared_error_curve(predictions, y):
    """Return the mean squared error of means of 1, ..., M of predictions (M, n).

    Over all subsets, in closed form: a straight line over 1 / K.
    """
    n_members = len(predictions)
    whole = np.mean((predictions.mean(axis=0) - y) ** 2)
    variance = predictions.var(axis=0).mean()
    sizes = np.arange(1, n_members + 1)
    return whole + variance * (n_members - sizes) / (sizes * max(n_members - 1, 1))


class EnsembleScalingAnalysis(BaseEstimator):
    """Measure losses over size and number of networks, and fit where they end.

    Is more compute worth it on these data, and which way: larger networks, more of them, or
    both? Costs a fit of ``estimator`` for each size and share of the rows. Three sizes show
    a trend, five or more say how sure it is.

    Parameters
    ----------
    estimator : estimator, default=None
        The recipe: an ensemble with ``hidden_layer_sizes``, ``n_members`` and
        ``member_predict_proba`` or ``member_predict``. None is
        `RegularizedEnsembleClassifier` or `RegularizedEnsembleRegressor`, by the kind of y.

    sizes : sequence of array-like of int, default=((32,), (128,), (512,))
        Values of ``hidden_layer_sizes``.

    n_members : int, default=5
        Of each ensemble.

    data_fractions : sequence of float, default=(1.0,)
        Shares of the training rows, in (0, 1]; three or more for ``data_law_``.

    validation_fraction : float, default=0.2
        Share of the rows, in (0, 1), held out to measure losses where `fit` gets no others.

    random_state : int, RandomState instance or None, default=None
        Of the split, the order of rows and, where it has none, ``estimator``.

    n_jobs : int, default=None
        Fits in parallel, by joblib.

    verbose : int, default=0
        1 prints a line for each fit.

    Attributes
    ----------
    results_ : dict of str to ndarray of shape (n_results,)
        An entry for each share, size and number of members: rows of ``data``,
        ``n_parameters`` of one member, ``members``, mean ``loss`` of so many of them (log
        loss of classes, or squared error), ``weight_decay``, ``max_epochs``.

    single_law_, joint_law_ : ScalingLawRegressor or None
        Loss of one network, and limits of ``member_laws_``, over the parameters of one: the
        latter's ``asymptote_`` is that of endless ensembles of endless networks. None for
        one size; of two, the exponent is 1.

    member_laws_ : list of ScalingLawRegressor or None
        Loss over the number of members, of each size; exponent 1 for fewer than 4 numbers.

    data_law_ : ScalingLawRegressor or None
        Loss of the largest ensemble over rows; None for fewer than three numbers of rows.
        The other laws are of the most rows.

    References
    ----------
    .. [1] K. Kim, S. Kotha, P. Liang, T. Hashimoto, "Pre-training under infinite compute",
       2025. arXiv:2509.14786

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.ensemble import (
    ...     EnsembleScalingAnalysis, RegularizedEnsembleClassifier)
    >>> X, y = load_iris(return_X_y=True)
    >>> recipe = RegularizedEnsembleClassifier(weight_decay=0.1, max_epochs=20)
    >>> analysis = EnsembleScalingAnalysis(
    ...     recipe, sizes=[(2,), (8,)], n_members=2, random_state=0).fit(X, y)
    >>> analysis.results_["n_parameters"], analysis.results_["members"]
    (array([19, 19, 67, 67]), array([1, 2, 1, 2]))
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "sizes": ["array-like"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "data_fractions": ["array-like"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self, estimator=None, *, sizes=((32,), (128,), (512,)), n_members=5,
        data_fractions=(1.0,), validation_fraction=0.2, random_state=None, n_jobs=None,
        verbose=0,
    ):  # fmt: skip
        self.estimator = estimator
        self.sizes = sizes
        self.n_members = n_members
        self.data_fractions = data_fractions
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # the recipe's parameters are its own business
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, X_val=None, y_val=None):
        """Fit the ensembles, and the laws to their losses.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,)
            Class labels or targets.

        X_val : array-like of shape (n_validation, n_features), default=None
            Rows to measure losses on; None holds some of X out.

        y_val : array-like of shape (n_validation,), default=None
            Their labels or targets.

        Returns
        -------
        self : object
            The fitted analysis.

        Raises
        ------
        ValueError
            If a list is empty or out of range, or ``y_val`` has classes that y has not.
        """
        if not len(self.sizes):
            raise ValueError("sizes must hold at least one size, got none.")
        fractions = np.asarray(self.data_fractions)
        if not fractions.size or not ((fractions > 0) & (fractions <= 1)).all():
            raise ValueError(
                "data_fractions must hold numbers in (0, 1], at least one, got "
                f"{self.data_fractions!r}."
            )
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together, got one of them.")
        X, y = validate_data(self, X, y, dtype=FLOATS)
        recipe = self._recipe(y)
        classes = unique_labels(y)[0] if is_classifier(recipe) else None
        random_state = check_random_state(self.random_state)
        split_seed, seed = map(int, random_state.randint(2**31 - 1, size=2))
        if X_val is None:
            rows, held_out = hold_out(
                y, self.validation_fraction, split_seed, classes is not None
            )
            X, X_val, y, y_val = X[rows], X[held_out], y[rows], y[held_out]
        else:
            X_val, y_val = validate_data(self, X_val, y_val, dtype=FLOATS, reset=False)
        if recipe.get_params().get("random_state", 0) is None:
            recipe.set_params(random_state=seed)
        order = random_state.permutation(len(X))
        counts = np.round(fractions * len(X)).astype(int)
        if counts.min() < 2:
            raise ValueError(
                f"data_fractions has {fractions.min()}, which leaves {counts.min()} of "
                f"{len(X)} rows: raise it."
            )
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_member_curve)(
                clone(recipe).set_params(hidden_layer_sizes=size, n_members=self.n_members),
                X[order[:n_rows]], y[order[:n_rows]], X_val, y_val, classes, seed,
                self.verbose,
            )
            for n_rows in counts
            for size in self.sizes
        )  # fmt: skip
        self.results_ = {
            name: np.concatenate([one[name] for one in found]) for name in found[0]
        }
        self._fit_laws(found)
        return self

    def _recipe(self, y):
        if self.estimator is not None:
            return clone(self.estimator)
        is_continuous = type_of_target(y).startswith("continuous")
        kinds = RegularizedEnsembleClassifier, RegularizedEnsembleRegressor
        return kinds[is_continuous]()

    def _fit_laws(self, found):
        """Fit laws to the curves, which come by share, and within it by size."""
        n_sizes, n_rows = len(self.sizes), [one["data"][0] for one in found]
        first = int(np.argmax(n_rows))
        whole = found[first : first + n_sizes]
        self.member_laws_ = [_law(one["members"], one["loss"], 4) for one in whole]
        limits = [
            one["loss"][0] if law is None else law.asymptote_
            for one, law in zip(whole, self.member_laws_, strict=True)
        ]
        n_parameters = np.array([one["n_parameters"][0] for one in whole])
        self.single_law_ = _law(n_parameters, [one["loss"][0] for one in whole])
        self.joint_law_ = _law(n_parameters, limits)
        largest = slice(int(n_parameters.argmax()), None, n_sizes)
        losses = [one["loss"][-1] for one in found[largest]]
        is_enough = len(set(n_rows)) >= 3
        self.data_law_ = _law(n_rows[largest], losses) if is_enough else None


def _member_curve(model, X, y, X_val, y_val, classes, seed, verbose):
    """Fit one ensemble, and return its losses over numbers of members, with the settings."""
    model.fit(X, y)
    if classes is None:
        curve = squared_error_curve(model.member_predict(X_val), y_val)
    else:
        seen = model.member_predict_proba(X_val)
        probas = np.zeros((*seen.shape[:2], len(classes)), dtype=seen.dtype)
        probas[..., encode_labels(model.classes_, classes)] = seen
        codes = encode_labels(y_val, classes, name="y_val")
        combine = getattr(model, "combine", "logit")
        curve = ensemble_loss_curve(probas, codes, combine=combine, random_state=seed)
    n_members = len(curve)
    if verbose:
        print(
            f"{len(X)} rows  hidden_layer_sizes {model.hidden_layer_sizes}  loss of one "
            f"{curve[0]:.4g}, of {n_members} {curve[-1]:.4g}"
        )
    n_weights = sum(parameter.numel() for parameter in model.module_.parameters())
    row = {"data": len(X), "n_parameters": n_weights // n_members}
    row |= {"members": np.arange(1, n_members + 1), "loss": curve}
    for name in ("weight_decay", "max_epochs"):
        row[name] = getattr(model, f"{name}_", getattr(model, name, np.nan))
    return {name: np.broadcast_to(values, n_members) for name, values in row.items()}


def _law(sizes, losses, n_for_exponent=3):
    """Return a law, with the exponent 1 for few sizes, or None for one."""
    n_sizes = len(np.unique(sizes))
    if n_sizes < 2:
        return None
    exponent, n_free = (None, 3) if n_sizes >= n_for_exponent else (1.0, 2)
    interval = "profile" if len(sizes) > n_free else None
    law = ScalingLawRegressor(exponent=exponent, interval=interval)
    return law.fit(np.asarray(sizes, dtype=np.float64)[:, None], losses)
