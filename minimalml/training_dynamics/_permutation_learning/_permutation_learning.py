"""An ensemble that has seen k unit vectors and permutes all 2^k - 1 nonzero inputs of k bits.

Giapitzakis, Back de Luca, Fountoulakis: "Exact Learning of Permutations for Nonzero Binary
Inputs with Logarithmic Training Size and Quadratic Ensemble Complexity", 2025.
"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from minimalml._core.arrays import import_torch
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS
from minimalml._core.validation import (
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.training_dynamics._permutation_learning._kernels import (
    GradientFlow,
    draw_outputs,
    relu_kernels,
    spread_of_starts,
)
from minimalml.training_dynamics._permutation_learning._permutation_formulas import (
    FRACTION,
    ROUNDINGS,
    SIZE,
    output_threshold,
    permutation_ensemble_size,
    permutation_moments,
)

FLOATS = [np.float64, np.float32]
# Of a row's largest mean output: what is closer to 0 is rounding.
DUST = 1e-9
LARGEST_DRAW = 4000  # rows; their covariance is decomposed
LARGEST_ENSEMBLE = 2e9  # bytes of weights
# A mean error of outputs on the training inputs above it is not the limit yet.
TOLERANCE = 0.01


class PermutationEnsemble(RegressorMixin, BaseEstimator):
    """Learn a permutation of k bits from k examples, exact on all nonzero inputs.

    Averages ReLU networks of one wide hidden layer, of which it says how many it takes:
    to see what the theory says, or what real networks make of it. Where the permutation
    alone is wanted, it can be read off the examples. The limit costs O(n k) a prediction,
    networks O(n_networks width k^2) an epoch.

    Parameters
    ----------
    n_networks : int or "auto", default="auto"
        Size of the ensemble; "auto" takes ``certified_size_``.

    delta : float, default=0.05
        Probability that any of all inputs has a wrong output, in (0, 1).

    mode : {"limit", "gaussian", "networks"}, default="limit"
        "limit" averages infinitely many networks of infinite width. "gaussian" draws the
        average of ``n_networks`` of these, jointly for the rows of a call. "networks"
        trains finite ones, with torch.

    rounding : {"sign", "midpoint"}, default="sign"
        Whether an output is 1 above 0, as in the paper, or above the middle of the two
        means at the input's number of ones, which takes far fewer networks.

    width : int, default=2048
        Hidden units of networks.

    max_epochs : int, default=500
        Steps of gradient descent for networks.

    learning_rate : float, default=1.0
        Of these steps; up to about 2 they converge.

    random_state : int, RandomState instance or None, default=None
        Draws outputs, or weights at the start.

    device : str, default="auto"
        Where networks are; "auto" takes an accelerator if there is one.

    Attributes
    ----------
    permutation_ : ndarray of shape (k,)
        Bit i of an input goes to bit ``permutation_[i]`` of the output.

    n_networks_ : int or float
        How many are averaged; infinity in mode "limit".

    certified_size_ : int
        What `permutation_ensemble_size` returns for all inputs.

    n_features_in_ : int
        Number of bits, k.

    See Also
    --------
    InfiniteWidthRegressor : Such networks for any rows and targets.
    permutation_moments : What they answer.

    References
    ----------
    .. [1] G. Giapitzakis, A. Back de Luca, K. Fountoulakis, "Exact Learning of
       Permutations for Nonzero Binary Inputs with Logarithmic Training Size and
       Quadratic Ensemble Complexity", 2025. arXiv:2502.16763

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.training_dynamics import PermutationEnsemble
    >>> model = PermutationEnsemble().fit(np.eye(4), np.eye(4)[[2, 0, 3, 1]])
    >>> model.predict([[1, 1, 0, 0], [1, 0, 1, 1]])
    array([[1, 0, 1, 0],
           [0, 1, 1, 1]])
    >>> model.certified_size_
    441
    """

    _parameter_constraints = {
        "n_networks": [StrOptions({"auto"}), SIZE],
        "delta": [FRACTION],
        "mode": [StrOptions({"limit", "gaussian", "networks"})],
        "rounding": [ROUNDINGS],
        "width": [SIZE],
        "max_epochs": [SIZE],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "device": TRAINING_CONSTRAINTS["device"],
    }

    def __init__(
        self,
        n_networks="auto",
        *,
        delta=0.05,
        mode="limit",
        rounding="sign",
        width=2048,
        max_epochs=500,
        learning_rate=1.0,
        random_state=None,
        device="auto",
    ):
        self.n_networks = n_networks
        self.delta = delta
        self.mode = mode
        self.rounding = rounding
        self.width = width
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, Y):
        """Read the permutation, and train the networks if there are any.

        Parameters
        ----------
        X : array-like of shape (k, k)
            Each of the k unit vectors once, in any order, at any positive length.

        Y : array-like of shape (k, k)
            The permuted unit vectors, row by row.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``X`` or ``Y`` is not that, or networks take more than 2 GB.
        ImportError
            If ``mode="networks"`` and torch is not installed.
        """
        X, Y = validate_data(
            self, X, Y, dtype=FLOATS, multi_output=True, y_numeric=True
        )
        sources = _unit_places(X, "X")
        targets = _unit_places(Y.reshape(len(Y), -1), "Y")
        if len(sources) != len(targets):
            raise ValueError(f"Y must have the shape of X, {X.shape}, got {Y.shape}.")
        k = len(sources)
        self.permutation_ = np.empty(k, dtype=np.intp)
        self.permutation_[sources] = targets
        self.certified_size_ = permutation_ensemble_size(
            k, self.delta, rounding=self.rounding
        )
        n_networks = self.n_networks
        self.n_networks_ = self.certified_size_ if n_networks == "auto" else n_networks
        if self.mode == "limit":
            self.n_networks_ = np.inf
        self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        self._fitted_mode, self._fitted_rounding = self.mode, self.rounding
        self._weights = None
        if self.mode == "networks":
            self._train()
        return self

    def decision_function(self, B):
        """Compute the averaged outputs, before they are rounded.

        Parameters
        ----------
        B : array-like of shape (n_samples, k)
            Rows of zeros and ones, at least a one in each.

        Returns
        -------
        ndarray of shape (n_samples, k)
            In the float type of ``B``.

        Raises
        ------
        ValueError
            If an entry is neither 0 nor 1, a row has no one, or ``mode="gaussian"`` and
            there are more than 4,000 rows.
        """
        B = self._check_bits(B)
        if self._fitted_mode == "networks":
            outputs = self._network_outputs(_normalised(B))
        else:
            outputs = self._means(B)
            if self._fitted_mode == "gaussian":
                outputs += self._drawn(B)
        return outputs.astype(B.dtype, copy=False)

    def predict(self, B):
        """Permute rows of bits.

        Rows of a single one are the training inputs, and are answered as they were.

        Parameters
        ----------
        B : array-like of shape (n_samples, k)
            Rows of zeros and ones, at least a one in each.

        Returns
        -------
        ndarray of shape (n_samples, k)
            Zeros and ones, integers.

        Raises
        ------
        ValueError
            As `decision_function`.
        """
        outputs = self.decision_function(B)
        B = self._check_bits(B)
        n_ones = B.sum(axis=1).astype(np.intp)
        if self._fitted_rounding == "sign":
            thresholds = DUST * np.abs(outputs).max(axis=1)
        else:
            mean_in, mean_out, _ = permutation_moments(self.n_features_in_, n_ones)
            thresholds = output_threshold(mean_in, mean_out)
        bits = (outputs > thresholds[:, None]).astype(np.int64)
        known = n_ones == 1
        bits[np.ix_(known, self.permutation_)] = B[known]
        return bits

    def _check_bits(self, B):
        check_is_fitted(self)
        B = validate_data(self, B, dtype=FLOATS, reset=False)
        odd = np.argwhere((B != 0) & (B != 1))
        if len(odd):
            i, j = odd[0]
            raise ValueError(
                f"inputs must be 0 or 1, got {B[i, j]:g} in row {i}, column {j}."
            )
        empty = np.flatnonzero(~B.any(axis=1))
        if len(empty):
            raise ValueError(
                f"each input must hold a 1, got none in row {empty[0]}: the zero vector "
                "has no direction."
            )
        return B

    def _means(self, B):
        n_ones = B.sum(axis=1).astype(np.intp)
        mean_in, mean_out, _ = permutation_moments(self.n_features_in_, n_ones)
        outputs = np.empty(B.shape)
        outputs[:, self.permutation_] = np.where(
            B == 1, mean_in[:, None], mean_out[:, None]
        )
        return outputs

    def _drawn(self, B):
        """Draw how the average of finitely many networks differs from the mean."""
        if len(B) > LARGEST_DRAW:
            raise ValueError(
                f"mode='gaussian' draws for at most {LARGEST_DRAW} rows at once, got "
                f"{len(B)}: take mode='limit', or fewer rows."
            )
        X, Z = np.eye(self.n_features_in_), _normalised(B)
        nngp_train, ntk_train = relu_kernels(X, sigma_w=1.0)
        nngp_cross, ntk_cross = relu_kernels(Z, X, sigma_w=1.0)
        nngp_test, _ = relu_kernels(Z, sigma_w=1.0)
        flow = GradientFlow(ntk_train, np.inf, 0.0)
        covariance = spread_of_starts(
            flow, nngp_train, ntk_cross, nngp_cross, nngp_test
        )
        rng = np.random.default_rng(self._seed)
        return draw_outputs(covariance / self.n_networks_, len(X), rng)

    def _train(self):
        n_bytes = 8.0 * self.n_networks_ * self.width * self.n_features_in_
        if n_bytes > LARGEST_ENSEMBLE:
            raise ValueError(
                f"n_networks={self.n_networks_} of width {self.width} on "
                f"{self.n_features_in_} bits take {n_bytes / 1e9:.1f} GB, more than "
                f"{LARGEST_ENSEMBLE / 1e9:.0f}: lower n_networks or width."
            )
        import_torch("PermutationEnsemble(mode='networks')")
        from minimalml.training_dynamics._permutation_learning._networks_torch import (
            train_networks,
        )

        self._weights, error = train_networks(
            self.permutation_, self.n_networks_, self.width, self.max_epochs,
            self.learning_rate, self._seed, self.device,
        )  # fmt: skip
        if not error <= TOLERANCE:
            warnings.warn(
                f"networks miss the training outputs by {error:.2g} on average after "
                f"max_epochs={self.max_epochs}: raise it, or learning_rate="
                f"{self.learning_rate:g} if it is below 1, else lower that.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _network_outputs(self, Z):
        from minimalml.training_dynamics._permutation_learning._networks_torch import (
            outputs_of_networks,
        )

        return outputs_of_networks(self._weights, Z, self.device) / self.n_networks_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


def _normalised(B):
    return B / np.sqrt(B.sum(axis=1, keepdims=True, dtype=np.float64))


def _unit_places(rows, name):
    """Return where each row of a permuted, scaled identity has its entry."""
    if rows.shape[0] != rows.shape[1]:
        raise ValueError(
            f"{name} must hold each of k unit vectors of length k once, got shape "
            f"{rows.shape}."
        )
    is_unit = ((rows != 0).sum(axis=1) == 1) & (rows >= 0).all(axis=1)
    if not is_unit.all():
        row = np.flatnonzero(~is_unit)[0]
        raise ValueError(
            f"rows of {name} must be unit vectors, a positive number and else zeros, got "
            f"{rows[row].tolist()} in row {row}."
        )
    places = rows.argmax(axis=1)
    first = {}
    for row, place in enumerate(places):
        if place in first:
            raise ValueError(
                f"{name} must hold each unit vector once, but rows {first[place]} and "
                f"{row} both have their entry in column {place}."
            )
        first[place] = row
    return places
