"""Regression by infinitely wide networks: the end of gradient descent without its steps."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state, gen_batches

from minimalml._core.validation import (
    Interval,
    Real,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.training_dynamics._permutation_learning._kernels import (
    KERNEL_CONSTRAINTS,
    GradientFlow,
    draw_outputs,
    nngp_diagonal,
    relu_kernels,
    spread_of_starts,
)
from minimalml.training_dynamics._permutation_learning._permutation_formulas import SIZE

FLOATS = [np.float64, np.float32]
PREDICTED_ROWS = 2048  # at a time


class InfiniteWidthRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Predict what infinitely wide ReLU networks learn, and how far their starts differ.

    Kernel regression with the neural tangent kernel: for tables of up to some thousand
    rows, where networks are wanted without training any. Scale inputs and centre targets:
    before training the mean is 0. One-hot targets and an argmax make it a classifier.
    Fit costs O(n^3 + depth n^2) time and O(n^2) memory, prediction O(depth n) a row and
    O(n^2) with deviations.

    Parameters
    ----------
    depth : int, default=1
        Number of hidden layers.

    sigma_w : float, default=sqrt(2)
        Deviation of weights, over the root of the number of a layer's inputs.

    sigma_b : float, default=0.1
        Deviation of biases.

    training_time : float, default=inf
        Length of gradient descent, on half the sum of squared errors.

    learning_rate : float, default=1.0
        What a unit of time moves.

    alpha : float, default=0.0
        Ridge on the tangent kernel; above 0 for noisy targets.

    n_ensemble : int, default=1
        Networks in the average whose deviations and draws are asked for.

    Attributes
    ----------
    X_fit_ : ndarray of shape (n_samples, n_features)
        Rows of ``fit``.

    dual_coef_ : ndarray of shape (n_samples, n_outputs)
        Weights of the tangent kernel with these rows in the mean.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    sklearn.gaussian_process.GaussianProcessRegressor : Posteriors, and tuned kernels.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.training_dynamics import InfiniteWidthRegressor
    >>> X = np.linspace(-2, 2, 9)[:, None]
    >>> model = InfiniteWidthRegressor(depth=3).fit(X, np.sin(2 * X[:, 0]))
    >>> mean, deviation = model.predict([[0.5], [0.75], [4.0]], return_std=True)
    >>> mean.round(2)
    array([ 0.84,  0.88, -1.64])
    >>> bool(deviation[0] < 1e-6 < deviation[1] < deviation[2])
    True
    """

    _parameter_constraints = {
        **KERNEL_CONSTRAINTS,
        "training_time": [Interval(Real, 0, np.inf, closed="both")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_ensemble": [SIZE],
    }

    def __init__(
        self,
        depth=1,
        *,
        sigma_w=2**0.5,
        sigma_b=0.1,
        training_time=np.inf,
        learning_rate=1.0,
        alpha=0.0,
        n_ensemble=1,
    ):
        self.depth = depth
        self.sigma_w = sigma_w
        self.sigma_b = sigma_b
        self.training_time = training_time
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.n_ensemble = n_ensemble

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Solve for what gradient descent reaches.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        scipy.linalg.LinAlgError
            If the kernel stays singular with 1e-4 of its diagonal added.
        """
        X, y = validate_data(
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True
        )
        empty = np.flatnonzero(~X.any(axis=1)) if self.sigma_b == 0 else []
        if len(empty):
            warnings.warn(
                f"row {empty[0]} of X is all zeros, of which networks without biases "
                "(sigma_b=0) say 0.",
                UserWarning,
                stacklevel=2,
            )
        self._kernel = {
            "depth": self.depth, "sigma_w": self.sigma_w, "sigma_b": self.sigma_b
        }  # fmt: skip
        self._nngp, ntk = relu_kernels(X, **self._kernel)
        self._flow = GradientFlow(
            ntk, self.training_time * self.learning_rate, self.alpha
        )
        self.X_fit_, self._is_single = X, y.ndim == 1
        self.dual_coef_ = self._flow @ y.reshape(len(y), -1).astype(np.float64)
        return self

    def predict(self, X, return_std=False, return_cov=False):
        """Predict the mean over networks, and how they vary around it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to return deviations of the mean of ``n_ensemble`` networks.

        return_cov : bool, default=False
            Whether to return its covariance.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the float type of ``X``.

        deviation : ndarray of the shape of mean
            If ``return_std``; all outputs have the same.

        covariance : ndarray of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_outputs)
            If ``return_cov``.

        Raises
        ------
        ValueError
            If both are asked for.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std and return_cov can't both be True: ask for one."
            )
        X = self._check_rows(X)
        if return_cov:
            mean, spread = self._moments(X, relu_kernels(X, **self._kernel)[0])
        else:
            blocks = [
                self._block(X[rows], return_std)
                for rows in gen_batches(len(X), PREDICTED_ROWS)
            ]
            mean, spread = map(np.concatenate, zip(*blocks, strict=True))
        mean = self._as_given(mean, X)
        if return_std:
            return mean, self._of_each_output(np.sqrt(spread), X)
        return (mean, self._of_each_output(spread, X)) if return_cov else mean

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw trained networks, or averages of ``n_ensemble``, and let them predict.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws.

        random_state : int, RandomState instance or None, default=0
            Draws them.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
            Outputs, each drawn jointly for all rows.
        """
        X = self._check_rows(X)
        mean, covariance = self._moments(X, relu_kernels(X, **self._kernel)[0])
        seed = check_random_state(random_state).randint(2**31 - 1)
        draws = draw_outputs(
            covariance, mean.shape[1] * n_samples, np.random.default_rng(seed)
        )
        draws = draws.reshape(*mean.shape, n_samples) + mean[:, :, None]
        draws = draws.astype(X.dtype, copy=False)
        return draws[:, 0] if self._is_single else draws

    def _check_rows(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _block(self, X, with_variance):
        """Return means of some rows, and their variances or nothing."""
        if with_variance:
            return self._moments(X, nngp_diagonal(X, **self._kernel))
        _, ntk = relu_kernels(X, self.X_fit_, **self._kernel)
        return ntk @ self.dual_coef_, np.empty(len(X))

    def _moments(self, X, own):
        nngp, ntk = relu_kernels(X, self.X_fit_, **self._kernel)
        spread = spread_of_starts(self._flow, self._nngp, ntk, nngp, own)
        return ntk @ self.dual_coef_, spread / self.n_ensemble

    def _as_given(self, mean, X):
        mean = mean[:, 0] if self._is_single else mean
        return mean.astype(X.dtype, copy=False)

    def _of_each_output(self, spread, X):
        spread = spread.astype(X.dtype, copy=False)
        if self._is_single:
            return spread
        return np.repeat(spread[..., None], self.dual_coef_.shape[1], axis=-1)
