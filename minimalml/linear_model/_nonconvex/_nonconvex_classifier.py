"""Sparse logistic regression whose large coefficients are not shrunk.

The penalties and solvers of `NonconvexRegressor`, for labels.
"""

import numpy as np
from scipy.special import expit, log_expit, logit, softmax
from sklearn.base import ClassifierMixin

from minimalml._core.array_checks import unique_labels
from minimalml._core.callbacks import with_callbacks
from minimalml._core.validation import _fit_context, validate_data
from minimalml.linear_model._nonconvex._nonconvex_model import FLOATS, NonconvexModel
from minimalml.linear_model._penalised_loss import LogisticLoss


class NonconvexClassifier(ClassifierMixin, NonconvexModel):
    r"""Sparse logistic regression that leaves large coefficients as they are.

    For many features of which few matter. More than two classes are fitted one against
    the rest. The objective is not convex: the result is a stationary point, exactly
    sparse. If the classes can be separated, there may be no minimum, since the penalty
    is flat: a ConvergenceWarning says so; raise ``alpha``, or take "l1".

    O(n p) time an iteration and class, and O(n p) memory.

    Parameters
    ----------
    penalty : {"scad", "mcp", "l1"}, default="scad"
        SCAD is flat from ``concavity * alpha`` on, MCP too, "l1" is the Lasso's.

    alpha : float, default=0.1
        Slope of the penalty at zero, at least 0, for columns of unit spread. More makes
        more zeros.

    concavity : float, default=None
        The larger, the farther coefficients are shrunk, and the closer the problem is to
        the convex one. Above 2 for "scad", above 1 for "mcp"; None is 3.7 and 3.
        Ignored by "l1".

    solver : {"accelerated", "conjugate_gradient"}, default="accelerated"
        The second takes fewer iterations, of about three gradients each.

    fit_intercept : bool, default=True
        Whether there is an intercept, which is not penalised.

    standardize : bool, default=True
        Divide columns by their standard deviation, so that the penalty treats them alike.

    max_iter : int, default=5000
        Largest number of iterations for each class.

    tol : float, default=1e-6
        Largest ``stationarity_``.

    warm_start : bool, default=False
        Start from the coefficients of the fit before instead of zeros.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    coef_ : ndarray of shape (1, n_features_in_) or (n_classes, n_features_in_)
        Coefficients of ``classes_[1]``, or of each class if there are more than two, in
        the float type of the rows.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.

    n_iter_ : int
        Number of iterations, the largest of the classes.

    objective_ : float
        What was minimised, of the standardised columns; the sum over classes.

    stationarity_ : float
        Largest violation of the optimality conditions: 0 at a stationary point.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    NonconvexRegressor : The same for numbers.
    proximal_conjugate_gradient : The other solver, for any smooth function.

    Notes
    -----
    With weights w of sum 1, labels 0 and 1 and :math:`\eta = x^T \theta + b`, it minimises
    :math:`\sum_i w_i (\log(1 + e^{\eta_i}) - y_i \eta_i) + \sum_j p(|\theta_j|)`, with p
    as in `NonconvexRegressor`.

    References
    ----------
    .. [1] K. Yang, M. Asgharian, S. Bhatnagar, "Accelerated Gradient Methods for Sparse
       Statistical Learning with Nonconvex Penalties", 2020. arXiv:2009.10629

    .. [2] K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
       Dimensional Data", McGill University, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import NonconvexClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 100))
    >>> y = X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=200) > 0
    >>> model = NonconvexClassifier().fit(X, y)
    >>> np.flatnonzero(model.coef_).tolist()
    [0, 1]
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Labels of any kind, two different ones or more.

        sample_weight : array-like of shape (n_samples,), default=None
            At least 0; counts as repetition of the row.

        Returns
        -------
        self : NonconvexClassifier

        Raises
        ------
        ValueError
            If ``concavity`` is too small for the penalty, y has one class, weights are
            negative or 0 for all rows of a class, squares of X leave the range of floats,
            or a warm start meets other features or classes.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        classes, codes = unique_labels(y)
        rows = self._weigh(X, codes, sample_weight)
        targets = _one_against_rest(classes, rows.y)
        points = self._starts(classes, rows, targets)
        design = rows.columns
        if self.fit_intercept:
            design = np.column_stack([design, np.ones(len(design))])
        losses = [LogisticLoss(design, target, rows.weights) for target in targets]

        def attributes(coef, intercept):
            return {"classes_": classes, "coef_": coef, "intercept_": intercept}

        self._solve((X, y), rows, losses, points[:, : design.shape[1]], attributes)
        return self

    def decision_function(self, X):
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of ``classes_[1]``, or of each class against the rest if there are more than
            two, in the float type of ``X``.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X):
        """Return probabilities of classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_`` and the float type of ``X``; those of more than
            two classes are normalised.
        """
        scores = self._scores(X)
        if scores.shape[1] == 1:
            return expit(np.hstack([-scores, scores]))
        # as logarithms, since all of them may be too small for a float
        return softmax(log_expit(scores), axis=1)

    def predict(self, X):
        """Predict the likeliest class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels out of ``classes_``.
        """
        scores = self._scores(X)
        is_binary = scores.shape[1] == 1
        codes = (scores[:, 0] > 0).astype(int) if is_binary else scores.argmax(axis=1)
        return self.classes_[codes]

    def _starts(self, classes, rows, targets):
        """Return where to start for each target: coefficients and, last, the constant."""
        n_features = rows.columns.shape[1]
        warm = self._earlier((len(targets), n_features))
        if warm is None:
            constants = logit(targets @ rows.weights)
            return np.column_stack([np.zeros((len(targets), n_features)), constants])
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True needs the classes of the fit before, {self.classes_}, "
                f"got {classes}: set warm_start=False."
            )
        return np.column_stack(rows.prepare(*warm))


def _one_against_rest(classes, codes):
    """Return 0 and 1 of each class, or of the second of two, a row for each target."""
    if len(classes) < 2:
        raise ValueError(
            "NonconvexClassifier needs at least two classes, got one class: "
            f"{classes.tolist()[0]!r}."
        )
    absent = classes[np.bincount(codes, minlength=len(classes)) == 0]
    if len(absent):
        raise ValueError(
            f"sample_weight is 0 on all rows of the classes {absent.tolist()}: leave "
            "these rows out, or give them weight."
        )
    which = [1] if len(classes) == 2 else range(len(classes))
    return np.array([codes == code for code in which], dtype=np.float64)
