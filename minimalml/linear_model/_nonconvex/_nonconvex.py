"""Sparse linear regression whose large coefficients are not shrunk.

SCAD and MCP penalties, minimised to stationary points by solvers that hold their pace
where columns are correlated.

Yang, Asgharian, Bhatnagar, "Accelerated Gradient Methods for Sparse Statistical Learning
with Nonconvex Penalties", 2020, arXiv:2009.10629; Yang, "Contributions to Robust and
Efficient Methods for Analysis of High Dimensional Data", McGill University, 2025.
"""

import numpy as np
from sklearn.base import RegressorMixin

from minimalml._core.callbacks import with_callbacks
from minimalml._core.validation import _fit_context, validate_data
from minimalml.linear_model._nonconvex._nonconvex_model import FLOATS, NonconvexModel
from minimalml.linear_model._penalised_loss import SquaredLoss


class NonconvexRegressor(RegressorMixin, NonconvexModel):
    r"""Sparse linear regression that leaves large coefficients as they are.

    For many features of which few matter, where Lasso would shrink the coefficients that
    it keeps, and keep too many. The objective is not convex: the result is a stationary
    point, exactly sparse. Not for neighbours that are alike and all matter.

    O(n p) time an iteration, with at most 2 p rows after one pass of O(n p²) over
    longer tables, and O(n p) memory.

    Parameters
    ----------
    penalty : {"scad", "mcp", "l1"}, default="scad"
        SCAD is flat from ``concavity * alpha`` on, MCP too, "l1" is the Lasso.

    alpha : float, default=0.1
        Slope of the penalty at zero, at least 0, in units of y for columns of unit
        spread. More makes more zeros.

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
        Largest number of iterations.

    tol : float, default=1e-6
        Largest ``stationarity_``, in units of y for columns of unit spread.

    warm_start : bool, default=False
        Start from the coefficients of the fit before instead of zeros.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients, in the float type of the rows.

    intercept_ : float
        The intercept.

    n_iter_ : int
        Number of iterations.

    objective_ : float
        What was minimised, of the standardised columns.

    stationarity_ : float
        Largest violation of the optimality conditions: 0 at a stationary point.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    NonconvexClassifier : The same for classes.
    accelerated_proximal_gradient : The solver, for any smooth function.

    Notes
    -----
    With weights w of sum 1, it minimises
    :math:`\frac12 \sum_i w_i (y_i - x_i^T \theta - b)^2 + \sum_j p(|\theta_j|)`. The
    slope of p at t is :math:`\lambda` up to :math:`\lambda` (SCAD) or 0 (MCP), and then
    falls linearly to 0 at :math:`a \lambda`. Beyond it there is no shrinkage.

    References
    ----------
    .. [1] K. Yang, M. Asgharian, S. Bhatnagar, "Accelerated Gradient Methods for Sparse
       Statistical Learning with Nonconvex Penalties", 2020. arXiv:2009.10629

    .. [2] K. Yang, "Contributions to Robust and Efficient Methods for Analysis of High
       Dimensional Data", McGill University, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import NonconvexRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 200))
    >>> y = 3 * X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=100)
    >>> model = NonconvexRegressor(alpha=0.3).fit(X, y)
    >>> np.flatnonzero(model.coef_).tolist(), model.coef_[:2].round(1).tolist()
    ([0, 1], [3.0, -2.0])
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
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            At least 0; counts as repetition of the row.

        Returns
        -------
        self : NonconvexRegressor

        Raises
        ------
        ValueError
            If ``concavity`` is too small for the penalty, weights are negative or all 0,
            squares of X or y leave the range of floats, or a warm start meets another
            number of features.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        rows = self._weigh(X, y.astype(np.float64), sample_weight)
        # columns are centred where there is an intercept, so the mean is all it needs
        mean = rows.y[0] + rows.weights @ (rows.y - rows.y[0])
        offset = mean if self.fit_intercept else 0.0
        warm = self._earlier((1, X.shape[1]))
        points = np.zeros((1, X.shape[1])) if warm is None else rows.prepare(*warm)[0]
        roots = np.sqrt(rows.weights)
        losses = [SquaredLoss(roots[:, None] * rows.columns, roots * (rows.y - offset))]
        self._solve((X, y), rows, losses, points, _attributes, offset)
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions, in the float type of ``X``.
        """
        return self._scores(X)[:, 0]


def _attributes(coef, intercept):
    return {"coef_": coef[0], "intercept_": float(intercept[0])}
