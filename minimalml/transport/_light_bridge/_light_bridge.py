"""Learn the entropic transport plan of two samples, and the diffusion along it.

The plan's potential is a mixture of Gaussians: its loss needs neither pairs of rows,
nor a simulation, nor a transport problem inside, and all laws of the plan are mixtures
too. Korotin, Gushchin, Burnaev, "Light Schrödinger Bridge", ICLR 2024.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, check_scalar, gen_batches

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.sample_domain import split_domains
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)
from minimalml.transport._light_bridge._adam import adam
from minimalml.transport._light_bridge._expectation_maximization import (
    expectation_maximization,
)
from minimalml.transport._light_bridge._potential import (
    BLOCK_ROWS,
    Potential,
    check_potential,
    log_sums,
    potential_loss,
    source_terms,
    target_terms,
)
from minimalml.transport._light_bridge._process import (
    conditional_mean,
    conditional_moments,
    draw_conditional,
    draw_path,
    drift,
)
from minimalml.transport._light_bridge._start import (
    check_sizes,
    smallest_epsilon,
    start_at_mixture,
    start_at_rows,
)

FLOATS = [np.float64, np.float32]
MAX_ITER = {"em": 200, "adam": 2000}


class LightSchrodingerBridge(
    CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    """Carry one sample into another: their entropic transport plan and its diffusion.

    For two samples whose rows are not paired, such as cells at two times: it maps new
    rows, draws where they may end with a calibrated spread, and shows the way there.
    Minutes on a CPU up to some hundred features: an iteration takes O(n K d) time, with
    full matrices O(n K d^2 + K d^3), and twice the memory of the rows (a start by "gmm"
    O(n K)). Not for maps without spread: a small ``epsilon`` needs many components.

    Parameters
    ----------
    n_components : int, default=10
        Number of Gaussians in the potential. More follow finer shapes, and need more
        rows.

    epsilon : float, default=1.0
        Weight of the entropy beside half the squared distance, in squared units of the
        features: the variance that the diffusion adds. Scale the features together,
        or scale ``epsilon``.

    covariance_type : {"diag", "full"}, default="diag"
        "diag" stretches along the features, so rotate with PCA first where they depend
        on each other. "full" stretches in any direction.

    solver : {"em", "adam"}, default="em"
        "em" goes over all rows in each iteration, and its loss never rises. "adam" is
        the solver of the paper, with minibatches; for "diag" only.

    init : {"gmm", "samples"}, default="gmm"
        "gmm" starts at a `GaussianMixture` of the target, "samples" at rows of it.

    max_iter : int, default=None
        Largest number of iterations of "em", None for 200, or number of steps of
        "adam", None for 2000.

    tol : float, default=1e-6
        "em" stops where an iteration lowers the loss by less.

    reg_covar : float, default=1e-6
        What keeps variances of "em" above 0: their least value with "diag", added to
        them with "full".

    learning_rate : float, default=1e-2
        Step size of "adam".

    batch_size : int, default=128
        Rows of each sample that "adam" draws for a step.

    random_state : int, RandomState instance or None, default=None
        Draws of the start and of minibatches.

    Attributes
    ----------
    log_weights_ : ndarray of shape (n_components,)
        Logarithms of the weights of the potential, which sum to 1.

    means_ : ndarray of shape (n_components, n_features_in_)
        Means r: component k moves x0 to ``r_k + S_k x0``.

    covariances_ : ndarray of shape (n_components, n_features_in_) or \
            (n_components, n_features_in_, n_features_in_)
        Diagonals of S with "diag", matrices S with "full".

    epsilon_ : float
        The ``epsilon`` of the fit, which all methods use.

    loss_ : float
        `light_bridge_loss` of the training rows.

    loss_curve_ : ndarray of shape (n_iter_,)
        Loss after each iteration of "em"; on the rows of each step of "adam".

    n_iter_ : int
        Number of iterations or steps.

    converged_ : bool
        Whether the loss of "em" fell by less than ``tol``. "adam" has no such test.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, if all are strings.

    See Also
    --------
    gaussian_entropic_map : The same for two Gaussians, in closed form.
    light_bridge_loss : What the fit lowers.
    SparseTransportMapper : Moves rows without a spread.
    TransportedEstimator : Learns from rows that a bridge moved.
    sklearn.mixture.GaussianMixture : Models one sample alike.

    Notes
    -----
    The law of x1 given x0 is the mixture of ``N(r_k + S_k x0, epsilon S_k)`` with weights
    in proportion to ``alpha_k exp((x0' S_k x0 + 2 r_k' x0) / (2 epsilon))``. The rows in
    between form a Brownian bridge of variance ``epsilon``. Features far from 0, measured
    in ``sqrt(epsilon)``, cost digits: center both samples together. ``solver="em"`` is
    not in the paper: a component's loss has no slope where it is the entropic transport
    between the Gaussians of its shares, which gives a step.

    References
    ----------
    .. [1] A. Korotin, N. Gushchin, E. Burnaev, "Light Schrödinger Bridge", ICLR 2024.
       arXiv:2310.01174

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.transport import LightSchrodingerBridge
    >>> rng = np.random.default_rng(0)
    >>> X0 = rng.normal(size=(500, 1))
    >>> X1 = rng.choice([-4.0, 4.0], size=(500, 1)) + 0.5 * rng.normal(size=(500, 1))
    >>> bridge = LightSchrodingerBridge(n_components=2, random_state=0)
    >>> bridge = bridge.fit_samples(X0, X1)
    >>> (bridge.transform([[-1.0], [1.0]]).round() + 0.0).tolist()
    [[-4.0], [4.0]]
    >>> bridge.sample_path([[1.0]], [0.0, 0.5, 1.0], random_state=0).shape
    (1, 3, 1)
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "covariance_type": [StrOptions({"diag", "full"})],
        "solver": [StrOptions({"em", "adam"})],
        "init": [StrOptions({"gmm", "samples"})],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=10,
        *,
        epsilon=1.0,
        covariance_type="diag",
        solver="em",
        init="gmm",
        max_iter=None,
        tol=1e-6,
        reg_covar=1e-6,
        learning_rate=1e-2,
        batch_size=128,
        random_state=None,
    ):
        self.n_components = n_components
        self.epsilon = epsilon
        self.covariance_type = covariance_type
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.reg_covar = reg_covar
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state

    @classmethod
    def from_parameters(
        cls, log_weights, means, covariances, *, epsilon, covariance_type="diag"
    ):
        """Make a fitted bridge of a known potential.

        Its plan is the optimal one between any sample and the law to which it carries
        this sample: pairs of samples with a known answer are drawn so.

        Parameters
        ----------
        log_weights : array-like of shape (n_components,)
            Logarithms of the weights, kept as they are.

        means : array-like of shape (n_components, n_features)
            Means r.

        covariances : array-like of shape (n_components, n_features) or \
                (n_components, n_features, n_features)
            Diagonals of S, or with "full" the matrices; positive definite.

        epsilon : float
            Weight of the entropy.

        covariance_type : {"diag", "full"}, default="diag"
            Which of the two ``covariances`` are.

        Returns
        -------
        LightSchrodingerBridge
            Fitted, without what tells of a fit.

        Raises
        ------
        ValueError
            If shapes disagree, something is not finite, or S is not positive definite.
        """
        potential = check_potential(log_weights, means, covariances, epsilon)
        found = "diag" if potential.is_diagonal else "full"
        if covariance_type != found:
            raise ValueError(
                f"covariance_type={covariance_type!r} does not fit covariances of shape "
                f"{potential.covariances.shape}, which are {found!r}."
            )
        bridge = cls(
            len(potential.means), epsilon=epsilon, covariance_type=covariance_type
        )
        bridge._keep(potential)
        bridge.n_features_in_ = potential.means.shape[1]
        return bridge

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_domain=None):
        """Learn the plan between the source rows and the target rows of one array.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of both samples.

        y : None
            Ignored.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for a row of the source, below 0 for one of the target. None
            takes every row as both.

        Returns
        -------
        self : LightSchrodingerBridge

        Raises
        ------
        ValueError
            If a sample has less than 2 rows, or the target less than ``n_components``.
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        source, target = split_domains(sample_domain, len(X))
        return self._fit(X, y, source, target)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_samples(self, X0, X1):
        """Learn the plan between two arrays, with the same result as `fit`.

        Parameters
        ----------
        X0 : array-like of shape (n_source_samples, n_features)
            Rows of the source.

        X1 : array-like of shape (n_target_samples, n_features)
            Rows of the target.

        Returns
        -------
        self : LightSchrodingerBridge

        Raises
        ------
        ValueError
            If a sample has less than 2 rows, or the target less than ``n_components``.
        """
        X0 = validate_data(self, X0, dtype=FLOATS)
        X1 = validate_data(self, X1, dtype=FLOATS, reset=False)
        rows = np.arange(len(X0) + len(X1))
        return self._fit(np.vstack([X0, X1]), None, *np.split(rows, [len(X0)]))

    def _fit(self, X, y, source, target):
        check_sizes(len(source), len(target), self.n_components)
        if self.solver == "adam" and self.covariance_type == "full":
            raise ValueError(
                "solver='adam' takes covariance_type='diag' only, got 'full'."
            )
        means = [X[rows].mean(axis=0, dtype=np.float64) for rows in (source, target)]
        center = np.mean(means, axis=0)
        X0, X1 = X[source] - center, X[target] - center
        smallest = smallest_epsilon(X0, X1)
        if self.epsilon < smallest:
            warnings.warn(
                f"epsilon={self.epsilon:g} is small beside the variance of the features: "
                "it takes many components, and the loss is ill-conditioned. Take more "
                f"components, or an epsilon of at least {smallest:.2g}.",
                UserWarning,
                stacklevel=5,
            )
        rng = check_random_state(self.random_state)
        steps = self._steps(X0, X1, self._start(X0, X1, rng), rng)
        # what centering on the middle of both means takes from the loss
        offset = center @ center / self.epsilon
        losses, max_iter = [], self.max_iter or MAX_ITER[self.solver]
        with fit_task(self, X, y, max_iter) as task:
            for self.n_iter_ in range(1, max_iter + 1):
                with task.step("iteration"):
                    potential, loss, fall = next(steps)
                    self._keep(potential.translate(center).normalize())
                losses.append(loss + offset)
                self.converged_ = bool(fall < self.tol)
                if self.converged_ or task.is_stopped:
                    break
        self.loss_curve_ = np.array(losses)
        if self.solver == "adam":
            loss = potential_loss(X0, X1, potential)
        elif not (self.converged_ or task.is_stopped):
            warnings.warn(
                f"The loss still fell by {fall:.2g} in iteration {self.n_iter_}, with "
                f"tol={self.tol:g}: raise max_iter.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.loss_ = float(loss + offset)
        return self

    def _start(self, X0, X1, rng):
        """Return the potential of the first iteration."""
        options = {"covariance_type": self.covariance_type, "random_state": rng}
        size = self.n_components, float(self.epsilon)
        if self.init == "samples":
            return start_at_rows(X1, *size, **options)
        return start_at_mixture(X0, X1, *size, reg_covar=self.reg_covar, **options)

    def _steps(self, X0, X1, start, rng):
        """Return the iterator over what the solver finds."""
        if self.solver == "em":
            return expectation_maximization(X0, X1, start, self.reg_covar)
        options = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return adam(X0, X1, start, **options, random_state=rng)

    def _keep(self, potential):
        self.log_weights_, self.means_, self.covariances_, self.epsilon_ = potential

    @property
    def _potential(self):
        return Potential(
            self.log_weights_, self.means_, self.covariances_, self.epsilon_
        )

    def transform(self, X):
        """Map rows of the source to the mean of where they end.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, all taken as rows of the source.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The conditional means, in the float type of X.
        """
        return self._by_blocks(conditional_mean, X)

    def conditional_moments(self, X):
        """Compute mean and covariance of where rows of the source end.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the source.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_features)
            The conditional means.

        covariance : ndarray of shape (n_samples, n_features, n_features)
            The conditional covariance matrices.
        """
        X, dtype = self._rows(X)
        mean, covariance = conditional_moments(X, self._potential)
        return mean.astype(dtype), covariance.astype(dtype)

    def sample_conditional(self, X, n_samples=1, random_state=None):
        """Draw where rows of the source end.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the source.

        n_samples : int, default=1
            Number of draws for each row.

        random_state : int, RandomState instance or None, default=None
            What draws.

        Returns
        -------
        ndarray of shape (n_rows, n_samples, n_features)
            Draws of x1 given each row.
        """
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = check_random_state(random_state)
        return self._by_blocks(draw_conditional, X, int(n_samples), rng)

    def sample_path(self, X, times, random_state=None):
        """Draw the way of each row from the source to the target.

        Exact at any times: an end is drawn, then a Brownian bridge to it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the source: where the paths are at time 0.

        times : array-like of shape (n_times,)
            Growing times in [0, 1].

        random_state : int, RandomState instance or None, default=None
            What draws.

        Returns
        -------
        ndarray of shape (n_samples, n_times, n_features)
            The path of each row.

        Raises
        ------
        ValueError
            If ``times`` do not grow or leave [0, 1].
        """
        options = {"ensure_2d": False, "ensure_min_samples": 0}
        times = check_array(times, dtype=np.float64, input_name="times", **options)
        grows = times.ndim == 1 and times.size and (np.diff(times) > 0).all()
        if not grows or times[0] < 0 or times[-1] > 1:
            raise ValueError(f"times must grow within [0, 1], got {times.tolist()}.")
        rng = check_random_state(random_state)
        return self._by_blocks(draw_path, X, times, rng)

    def drift(self, X, t):
        """Compute the drift of the diffusion ``dx = drift dt + sqrt(epsilon) dW``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        t : float or array-like of shape (n_samples,)
            Time of all rows or of each, in [0, 1).

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The drift, at time 0 ``transform(X) - X``.

        Raises
        ------
        ValueError
            If a time is outside [0, 1).
        """
        X, dtype = self._rows(X)
        options = {"ensure_2d": False, "ensure_min_samples": 0}
        t = check_array(t, dtype=np.float64, input_name="t", **options)
        if t.shape not in ((), (len(X),)):
            raise ValueError(
                f"t must be one number or one for each of the {len(X)} rows, got shape "
                f"{t.shape}."
            )
        if (t < 0).any() or (t > 1).any():
            raise ValueError(f"t must be in [0, 1), got {t.min():g} to {t.max():g}.")
        if (t == 1).any():
            raise ValueError("use t < 1, got 1: the mean of x1 is x there.")
        return drift(X, np.broadcast_to(t, len(X)), self._potential).astype(dtype)

    def log_potential(self, X1):
        """Compute the logarithm of the adjusted potential v at rows of the target.

        Parameters
        ----------
        X1 : array-like of shape (n_samples, n_features)
            Rows of the target.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``log v(x1)``.
        """
        X1, dtype = self._rows(X1)
        return log_sums(X1, target_terms(self._potential)).astype(dtype)

    def log_normalizer(self, X0):
        """Compute the logarithm of the normalizer c at rows of the source.

        Parameters
        ----------
        X0 : array-like of shape (n_samples, n_features)
            Rows of the source.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``log c(x0)``, c being the integral of ``exp(x0' x1 / epsilon) v(x1)``.
        """
        X0, dtype = self._rows(X0)
        return log_sums(X0, source_terms(self._potential)).astype(dtype)

    def score(self, X, y=None, sample_domain=None, sample_weight=None):
        """Return minus the loss, which compares bridges of one ``epsilon``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of both samples.

        y : None
            Ignored.

        sample_domain : array-like of shape (n_samples,), default=None
            At least 0 for a row of the source, below 0 for one of the target. None
            takes every row as both.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of rows within their sample.

        Returns
        -------
        float
            The higher the better.
        """
        X, _ = self._rows(X)
        samples = split_domains(sample_domain, len(X))
        weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        X0, X1 = (X[rows] for rows in samples)
        weights = [weight[rows] for rows in samples]
        if not all(part.any() for part in weights):
            raise ValueError("sample_weight is 0 on all rows of the source or target.")
        return -potential_loss(X0, X1, self._potential, weights)

    def _rows(self, X):
        """Return checked rows as float64, in which all is computed, and their type."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return X.astype(np.float64, copy=False), X.dtype

    def _by_blocks(self, function, X, *options):
        """Return ``function(rows, potential, *options)`` of blocks of rows, as one."""
        X, dtype = self._rows(X)
        parts = [
            function(X[block], self._potential, *options)
            for block in gen_batches(len(X), BLOCK_ROWS)
        ]
        return np.concatenate(parts).astype(dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
