"""Gaussian naive Bayes with a variance that all classes share: a linear classifier.

One pass over frozen features gives the classifier, with no iterations. It nears its own
best error with far fewer labels than logistic regression, whose best error is lower.
Zheng, Wu, Bao, Cao, Li, Zhu: "Revisiting Discriminative vs. Generative Classifiers:
Theory and Implications", ICML 2023 (arXiv 2302.02334).
"""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from minimalml._core.arrays import import_torch
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
)
from minimalml.linear_model._naive_bayes_probe._fit_from_moments import FitFromMoments
from minimalml.linear_model._naive_bayes_probe._gaussian_form import linear_form
from minimalml.linear_model._naive_bayes_probe._input import (
    check_rows,
    check_training_rows,
    encode_labels,
    unique_labels,
)
from minimalml.linear_model._naive_bayes_probe._moments import ClassMoments
from minimalml.linear_model._naive_bayes_probe._scores import (
    as_margin,
    joint_log_likelihood,
    labels,
    linear_scores,
    log_probabilities,
    probabilities,
)


class NaiveBayesProbe(FitFromMoments, ClassifierMixin, BaseEstimator):
    r"""Classify frozen features with few labels, in one pass over the data.

    Gaussian naive Bayes whose variance for each feature is shared by all classes, so
    that it is a linear classifier. Use it on features of a pre-trained network with
    few labels for each class, on streams and on data that don't fit in memory; with
    many labels logistic regression ends lower
    (`generative_discriminative_curve` shows where). It is not
    `sklearn.naive_bayes.GaussianNB`, which has a variance for each class. Fitting
    costs O(n d) time and K d numbers, predicting one matrix product.

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
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.

    class_count_ : ndarray of shape (n_classes,)
        Weight of each class.

    class_prior_ : ndarray of shape (n_classes,)
        Prior of each class; 0 for a class without weight.

    theta_ : ndarray of shape (n_classes, n_features)
        Class means.

    var_ : ndarray of shape (n_features,) or (n_classes, n_features)
        Variances, smoothed.

    epsilon_ : float
        What was added to the variances.

    coef_ : ndarray of shape (n_classes, n_features) or (1, n_features)
        Weights of the logits; one row, of the second class, if there are two. Not
        there with "per_class".

    intercept_ : ndarray of shape (n_classes,) or (1,)
        Their intercepts; -inf for a class without weight. Not there with "per_class".

    n_samples_seen_ : int
        Rows seen by ``fit`` or all calls of ``partial_fit``.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if ``X`` had string column names.

    See Also
    --------
    cross_validate_naive_bayes : Exact cross-validation for the price of one pass.
    generative_discriminative_curve : Find from how many labels on another
        classifier is better.
    sklearn.naive_bayes.GaussianNB : A variance for each class: quadratic.
    sklearn.linear_model.LogisticRegression : The other end of the two regimes.

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
            The fitted estimator.
        """
        X, y = check_training_rows(self, X, y, reset=True)
        classes, codes = unique_labels(y)
        return self._set_moments(self._measured(X, codes, classes, sample_weight))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Add a batch of rows to what was seen; the order of batches doesn't matter.

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.

        y : array-like or torch tensor of shape (n_samples,)
            Class labels; a batch need not have all of them.

        classes : array-like of shape (n_classes,), default=None
            All labels that can occur; needed in the first call.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        NaiveBayesProbe
            The fitted estimator. Where the rows so far don't determine a variance,
            predicting raises until more have come.
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
        X, y = check_training_rows(self, X, y, reset=is_first)
        moments = self._measured(X, encode_labels(y, known), known, sample_weight)
        if not is_first:
            moments = self._moments + moments
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
        return labels(self.decision_function(X), self.classes_)

    def predict_proba(self, X):
        """Return the probability of each class, of shape (n_samples, n_classes).

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.
        """
        return probabilities(self.decision_function(X))

    def predict_log_proba(self, X):
        """Return the log probability of each class, of shape (n_samples, n_classes).

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.
        """
        return log_probabilities(self.decision_function(X))

    def decision_function(self, X):
        """Return the logits of the classes.

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples,)
            For two classes the log odds of the second. With "per_class" the joint
            log likelihood takes the place of the logits.
        """
        if self.variance == "per_class":
            return as_margin(self.joint_log_likelihood(X))
        X = self._checked(X)
        scores = linear_scores(X, self.coef_, self.intercept_, self._centre)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def joint_log_likelihood(self, X):
        """Return log p(x, y) for each row and class.

        It equals the logits of the classes plus a term that is the same for all of a
        row's classes. Computed from the differences themselves: as exact as it can
        be, slower than ``decision_function``.

        Parameters
        ----------
        X : array, CSR matrix or torch tensor of shape (n_samples, n_features)
            Features.

        Returns
        -------
        array of shape (n_samples, n_classes)
            -inf for a class without weight.
        """
        X = self._checked(X)
        return joint_log_likelihood(X, self.theta_, self.var_, self._log_prior())

    def sufficient_statistics(self):
        """Return the `ClassMoments` of what was seen; they add up over models."""
        check_is_fitted(self)
        return self._moments

    @classmethod
    def from_statistics(cls, stats, **params):
        """Make a fitted estimator from moments, however they were summed.

        Parameters
        ----------
        stats : ClassMoments or dict
            Moments with the labels as ``classes``, or their ``to_dict()``.

        **params
            Parameters of the estimator.

        Returns
        -------
        NaiveBayesProbe
            As if fitted to all rows behind the moments; ``partial_fit`` goes on.
        """
        moments = ClassMoments(**stats) if isinstance(stats, dict) else stats
        probe = cls(**params)
        probe._validate_params()
        if moments.per_class and probe.variance != "per_class":
            pooled = moments.scatter.sum(axis=0)
            moments = ClassMoments(**{**moments.to_dict(), "scatter": pooled})
        elif probe.variance == "per_class" and not moments.per_class:
            raise ValueError(
                "variance='per_class' needs moments of each class: measure them with "
                "per_class=True."
            )
        probe.n_features_in_ = len(moments.origin)
        return probe._set_moments(moments.to_numpy())

    def to_torch(self):
        """Return the classifier as a ``torch.nn.Linear`` with the same logits.

        It starts the fine-tuning of a network's head where the probe ended. Two
        classes give two outputs.

        Returns
        -------
        torch.nn.Linear
            On the CPU, with torch's default dtype.
        """
        check_is_fitted(self, "coef_")
        torch = import_torch("NaiveBayesProbe.to_torch")
        form = linear_form(self._moments, self.var_, self._log_prior())
        head = torch.nn.Linear(self.n_features_in_, len(self.classes_))
        with torch.no_grad():
            head.weight.copy_(torch.as_tensor(form.coef))
            head.bias.copy_(torch.as_tensor(form.intercept))
        return head

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X):
        check_is_fitted(self)
        if self._undetermined:
            raise ValueError(self._undetermined)
        return check_rows(self, X)
