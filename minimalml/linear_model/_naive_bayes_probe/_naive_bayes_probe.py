"""Gaussian naive Bayes with a variance that all classes share: a linear classifier.

It needs far fewer labels than logistic regression, whose best error is lower. Zheng, Wu,
Bao, Cao, Li, Zhu: "Revisiting Discriminative vs. Generative Classifiers: Theory and
Implications", ICML 2023 (arXiv 2302.02334).
"""

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_array, column_or_1d, indexable

from minimalml._core.arrays import import_torch, is_torch_tensor, to_numpy
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
)
from minimalml.linear_model._naive_bayes_probe import _input, _scores
from minimalml.linear_model._naive_bayes_probe._gaussian_form import (
    UndeterminedVariance,
    effective_priors,
    estimate_variances,
    linear_form,
)
from minimalml.linear_model._naive_bayes_probe._moments import (
    OVERFLOW,
    ClassMoments,
    class_moments,
)

# Logits are computed from centred rows where the features' common offset makes terms
# this much larger than their spread does: a float32 would lose digits.
LARGE_OFFSET = 16.0


class NaiveBayesProbe(ClassifierMixin, BaseEstimator):
    r"""Classify frozen features with few labels, in one pass over the data.

    Gaussian naive Bayes whose variance for each feature is shared by all classes, so
    that it is a linear classifier. Use it on features of a pre-trained network with
    few labels for each class, on streams and on data that don't fit in memory; with
    many labels logistic regression ends lower. Fitting costs O(n d) time and K d
    numbers, predicting one matrix product.

    Parameters
    ----------
    variance : {"shared", "per_class", "spherical"}, default="shared"
        Which variances are equal: "shared" has one for each feature; "spherical" one
        for all features (nearest class mean, with priors); "per_class" one for each
        class and feature, which is the classic quadratic classifier, for comparison.

    priors : None, "uniform" or array-like of shape (n_classes,), default=None
        Class probabilities; None takes the shares of the weight. Classes without
        samples have none whatever is given, and the others are scaled to sum to 1.

    var_smoothing : float, default=1e-9
        Added to the variances, see ``smoothing``. Raise it where features are nearly
        constant within classes.

    smoothing : {"relative", "absolute"}, default="relative"
        Whether ``var_smoothing`` is a share of the largest total variance among the
        features, or added as it is (what the paper's code does).

    shrinkage : float in [0, 1] or "auto", default=0.0
        How far each feature's variance moves to the mean over the features; "auto"
        estimates it from the noise of the variances. 1 gives "spherical".

    ddof : {"ml", "pooled"}, default="ml"
        Divide the scatter by the number of samples, or by that minus the number of
        classes (of each class minus 1, with "per_class").

    n_jobs : int, default=None
        Threads that read the data; None lets the size and the machine decide. The
        result doesn't depend on it.

    device : str or torch.device, default=None
        Where torch measures the moments of NumPy input; None leaves them to the
        compiled kernel. Tensors are worked on where they are.

    Attributes
    ----------
    classes_, class_count_, class_prior_ : ndarrays of shape (n_classes,)
        Sorted labels, weights and priors; 0 for the prior of a class without weight.

    theta_, var_ : ndarrays of shape (n_classes, n_features) and (n_features,)
        Class means, and variances, smoothed by adding ``epsilon_``; those of each
        class with "per_class".

    coef_, intercept_ : ndarrays of shape (n_classes, n_features) and (n_classes,)
        Weights and intercepts of the logits, -inf for a class without weight; one
        row, of the second class, if there are two. Not there with "per_class".

    n_samples_seen_, n_features_in_ : int
        Rows seen by ``fit`` or all calls of ``partial_fit``, and their features, whose
        names are ``feature_names_in_`` if ``X`` had string column names.

    See Also
    --------
    cross_validate_naive_bayes : Exact cross-validation for the price of one pass.
    generative_discriminative_curve : Find where another classifier gets better.
    sklearn.naive_bayes.GaussianNB : A variance for each class: quadratic.

    Notes
    -----
    With class means :math:`\theta_k`, shared variances :math:`v_j` and priors
    :math:`\pi_k`, the logits are :math:`\sum_j x_j \theta_{kj} / v_j + \log \pi_k -
    \frac{1}{2} \sum_j \theta_{kj}^2 / v_j`. Probabilities are over-confident where
    features are correlated, as always with naive Bayes:
    `sklearn.calibration.CalibratedClassifierCV` mends that.

    Tensors in give tensors out, from ``decision_function`` to ``predict``; fitted
    attributes are NumPy arrays, whose K d numbers leave the device once for each fit.

    References
    ----------
    Zheng, Wu, Bao, Cao, Li and Zhu, "Revisiting Discriminative vs. Generative
    Classifiers: Theory and Implications", ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from minimalml.linear_model import NaiveBayesProbe
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = NaiveBayesProbe(shrinkage=0.5).fit(X[:50], y[:50])
    >>> round(probe.score(X[50:], y[50:]), 2)
    0.76
    """

    _parameter_constraints = {
        "variance": [StrOptions({"shared", "per_class", "spherical"})],
        "priors": ["array-like", StrOptions({"uniform"}), None],
        "var_smoothing": [Interval(Real, 0, None, closed="left")],
        "smoothing": [StrOptions({"relative", "absolute"})],
        "shrinkage": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "ddof": [StrOptions({"ml", "pooled"})],
        "n_jobs": [Integral, None],
        "device": "no_validation",
    }

    def __init__(
        self,
        variance="shared",
        priors=None,
        var_smoothing=1e-9,
        smoothing="relative",
        shrinkage=0.0,
        ddof="ml",
        n_jobs=None,
        device=None,
    ):
        self.variance = variance
        self.priors = priors
        self.var_smoothing = var_smoothing
        self.smoothing = smoothing
        self.shrinkage = shrinkage
        self.ddof = ddof
        self.n_jobs = n_jobs
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit to all the data; what was seen before is forgotten.

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.

        y : array-like or torch tensor of shape (n_samples,)
            Class labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        NaiveBayesProbe
            The estimator itself.

        Raises
        ------
        ValueError
            For NaN, infinity or squares out of float64's range, one class only, bad
            weights or priors, or a variance of zero.
        """
        X, y = _input.check_training_rows(self, X, y, reset=True)
        classes, codes = _input.unique_labels(y)
        per_class = self.variance == "per_class"
        moments = self._measured(X, codes, classes, sample_weight, per_class)
        return self._set_moments(moments)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Add a batch of rows to what was seen; the order of batches doesn't matter.

        ``X``, ``y`` and ``sample_weight`` are those of `fit`; a batch need not have
        all classes. Where the rows so far don't determine a variance, predicting
        raises until more have come.

        Parameters
        ----------
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur; needed in the first call.

        Raises
        ------
        ValueError
            If ``classes`` are missing in the first call or change later, a label is
            not among them, or ``variance`` was changed to "per_class" in between. A
            batch that is refused isn't counted.
        """
        is_first = not hasattr(self, "classes_")
        if is_first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = np.unique(classes) if is_first else self.classes_
        if classes is not None and not np.array_equal(known, np.unique(classes)):
            raise ValueError(
                f"classes={np.unique(classes)} is not the same as on the first call to "
                f"partial_fit: {known}."
            )
        X, y = _input.check_training_rows(self, X, y, reset=is_first)
        codes = _input.encode_labels(y, known)
        seen = None if is_first else self._moments
        per_class = self.variance == "per_class" if is_first else seen.per_class
        moments = self._measured(X, codes, known, sample_weight, per_class)
        if not is_first:
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                moments = seen + moments
        return self._set_moments(moments, more_may_come=True)

    def predict(self, X):
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.

        Returns
        -------
        array of shape (n_samples,)
            Labels; a tensor for a tensor if they are numbers. The first class wins
            a tie.
        """
        return _scores.labels(self.decision_function(X), self.classes_)

    def predict_proba(self, X):
        """Return probabilities (n_samples, n_classes) for ``X`` as in `predict`."""
        return _scores.probabilities(self.decision_function(X))

    def predict_log_proba(self, X):
        """Return log probabilities (n_samples, n_classes) for ``X`` as in `predict`."""
        return _scores.log_probabilities(self.decision_function(X))

    def decision_function(self, X):
        """Return the logits of the classes for ``X`` as in `predict`.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples,)
            For two classes the log odds of the second. With "per_class" the joint
            log likelihood takes the place of the logits. float64 for float64 rows,
            else float32: half precision is too narrow for logits.
        """
        if not hasattr(self, "coef_"):  # quadratic, or refused there
            joint = self.joint_log_likelihood(X)
            return joint[:, 1] - joint[:, 0] if joint.shape[1] == 2 else joint
        X = self._checked(X)
        scores = _scores.linear_scores(X, self.coef_, self.intercept_, self._centre)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def joint_log_likelihood(self, X):
        """Return log p(x, y) for each row of ``X``, as in `predict`, and each class.

        It equals the logits plus a term of the row. Computed from the differences
        themselves: as exact as it can be, slower than ``decision_function``.

        Returns
        -------
        array of shape (n_samples, n_classes)
            -inf for a class without weight.
        """
        X = self._checked(X)
        with np.errstate(divide="ignore"):
            log_prior = np.log(self.class_prior_)
        return _scores.joint_log_likelihood(X, self.theta_, self.var_, log_prior)

    def sufficient_statistics(self):
        """Return the `ClassMoments` of what was seen; they add up over models."""
        check_is_fitted(self)
        return self._moments

    @classmethod
    def from_statistics(cls, stats, **params):
        """Make an estimator of parameters ``params``, fitted to the rows behind moments.

        ``stats`` are `ClassMoments` with the labels as ``classes``, or their ``to_dict()``.
        """
        moments = ClassMoments(**stats) if isinstance(stats, dict) else stats
        probe = cls(**params)
        probe._validate_params()
        probe.n_features_in_ = len(moments.origin)
        return probe._set_moments(moments.to_numpy())

    def to_torch(self):
        """Return a ``torch.nn.Linear`` with the same logits, to start fine-tuning.

        Two classes give two outputs. It is on the CPU and has torch's default dtype,
        but none narrower than float32; a ValueError says if a weight leaves its range
        or the classifier is not linear ("per_class").
        """
        self._check_determined()
        torch = import_torch("NaiveBayesProbe.to_torch")
        if self._moments.per_class:
            raise ValueError(
                "to_torch needs a linear classifier: fit with variance='shared' or "
                "'spherical', got 'per_class'."
            )
        coef, intercept = linear_form(self._moments, self.var_, self.class_prior_)
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
        head = torch.nn.Linear(*coef.T.shape, dtype=dtype)
        with torch.no_grad():
            head.weight.copy_(torch.as_tensor(coef))
            head.bias.copy_(torch.as_tensor(intercept))
        if not bool(head.weight.isfinite().all()):
            raise ValueError(
                f"coef_ has weights up to {np.abs(coef).max():.2g}, out of the range "
                f"of {dtype}: rescale X."
            )
        return head

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _measured(self, X, codes, classes, sample_weight, per_class):
        """Return the moments of checked rows, as arrays on the host."""
        if sample_weight is not None:
            sample_weight = to_numpy(sample_weight)
        if self.device is not None and isinstance(X, np.ndarray):
            torch = import_torch("NaiveBayesProbe")
            # torch takes no negative strides, and warns of read-only memory
            X = torch.as_tensor(np.require(X, requirements="CW"), device=self.device)
        n_jobs = None if self.n_jobs is None else effective_n_jobs(self.n_jobs)
        moments = class_moments(
            X, codes, len(classes), sample_weight, per_class, n_threads=n_jobs
        )
        moments = moments.to_numpy().with_classes(classes)
        if is_torch_tensor(X) and not moments._is_finite():
            _input.refuse_not_finite(X)
        return moments

    def _set_moments(self, moments, more_may_come=False):
        """Set all fitted attributes from the moments; none if they are refused."""
        if self.variance == "per_class" and not moments.per_class:
            raise ValueError(
                "variance='per_class' needs moments with a scatter of each class: "
                "measure them with per_class=True, or call fit."
            )
        if self.variance != "per_class":
            moments = moments.pooled()
        if len(moments.classes) < 2:
            raise ValueError(
                "NaiveBayesProbe needs samples of at least 2 classes, got one class: "
                f"{moments.classes}."
            )
        if not moments._is_finite():
            raise ValueError(OVERFLOW)
        if not moments.counts.sum() > 0:
            raise ValueError("sample_weight is zero for every sample.")
        prior = effective_priors(self.priors, moments.counts)
        fitted, undetermined = {}, None
        try:
            fitted = self._gaussian_attributes(moments, prior)
        except UndeterminedVariance as error:
            if not more_may_come:
                raise
            undetermined = str(error)
        for name in ("var_", "epsilon_", "coef_", "intercept_"):
            vars(self).pop(name, None)
        self._moments, self._undetermined = moments, undetermined
        self.classes_, self.class_count_ = moments.classes, moments.counts
        self.class_prior_, self.theta_ = prior, moments.means
        self.n_samples_seen_ = moments.n_samples
        vars(self).update(fitted)
        return self

    def _gaussian_attributes(self, moments, prior):
        """Return variances, and for a linear classifier coefficients, by name."""
        var, epsilon = estimate_variances(
            moments, kind=self.variance, ddof=self.ddof, shrinkage=self.shrinkage,
            var_smoothing=self.var_smoothing, smoothing=self.smoothing,
        )  # fmt: skip
        fitted = {"var_": var, "epsilon_": epsilon}
        if moments.per_class:
            return fitted
        coef, intercept = linear_form(moments, var, prior)
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        centre = prior @ moments.means
        size, spread = np.abs(coef), np.sqrt(moments.total_variance())
        is_far = (size @ np.abs(centre)).max() > LARGE_OFFSET * (size @ spread).max()
        fitted |= {"coef_": coef, "intercept_": intercept}
        return fitted | {"_centre": centre if is_far else None}

    def _check_determined(self):
        check_is_fitted(self)
        if self._undetermined:
            raise ValueError(self._undetermined)

    def _checked(self, X):
        self._check_determined()
        return _input.check_rows(self, X)


def cross_validate_naive_bayes(
    X, y, cv=None, *, estimator=None, scoring=None, sample_weight=None, groups=None
):
    """Score a `NaiveBayesProbe` by exact cross-validation, for the price of one fit.

    The moments of a fold's training rows are those of all rows minus those of its
    test rows, so each row is read twice, however many folds there are: O(n d) time
    beside the scoring. The scores are those of ``cross_val_score``.

    Parameters
    ----------
    X, y : arrays of shape (n_samples, n_features) and (n_samples,)
        Features, dense or CSR, and class labels.

    cv : int, cross-validation generator or iterable, default=None
        As in ``cross_val_score``: None means 5 stratified folds. A split whose
        training rows are not all rows outside its test rows is measured directly.

    estimator, scoring : NaiveBayesProbe, and str or callable, default=None
        Whose parameters to use, None for the defaults; a scorer, None for accuracy.

    sample_weight, groups : array-like of shape (n_samples,), default=None
        Weights of the rows in training, and groups for splitters that keep them whole.

    Returns
    -------
    ndarray of shape (n_splits,)
        Scores of the test rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.linear_model import cross_validate_naive_bayes
    >>> X, y = load_iris(return_X_y=True)
    >>> cross_validate_naive_bayes(X, y, cv=3)
    array([0.96, 0.94, 0.96])
    """
    estimator = NaiveBayesProbe() if estimator is None else estimator
    estimator._validate_params()
    X = check_array(X, **_input.ROWS)
    X, y, groups = indexable(X, y, groups)
    y = column_or_1d(y, warn=True)
    classes, codes = _input.unique_labels(y)
    weights = _input.check_weights(sample_weight, X)
    scorer = check_scoring(estimator, scoring)
    per_class = estimator.variance == "per_class"

    def measured(rows):
        part = _safe_indexing(X, rows), codes[rows], len(classes), weights[rows]
        return class_moments(*part, per_class).with_classes(classes)

    total = measured(slice(None))
    scores = []
    for train, test in check_cv(cv, y, classifier=True).split(X, y, groups):
        times = np.bincount(np.concatenate([train, test]), minlength=len(y))
        is_partition = (times == 1).all()
        moments = total.remove(measured(test)) if is_partition else measured(train)
        probe = estimator.from_statistics(moments, **estimator.get_params())
        scores.append(scorer(probe, _safe_indexing(X, test), y[test]))
    return np.array(scores)
