"""A network that trains on pairs of rows with close labels (Yao et al., NeurIPS 2022).

C-Mixup on the fly: new partners and new lambdas in every epoch, in the inputs or after
any block of the network.
"""

from numbers import Integral

from sklearn.base import BaseEstimator, RegressorMixin

from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.resampling._c_mixup._mixed_training import FLOATS, LOSSES, MixedTraining
from minimalml.resampling._c_mixup._mixing import MIXING_CONSTRAINTS
from minimalml.resampling._c_mixup._target_kernel import SAMPLER_CONSTRAINTS


@document_training
class CMixupMLPRegressor(MixedTraining, RegressorMixin, BaseEstimator):
    """Train a network on mixed rows, partners drawn by the closeness of labels.

    For regression with few rows, or where the data shift between training and use:
    rows of one label and different surroundings are mixed, which makes the surroundings
    useless to the network. On small clean tables it seldom beats ``mixup=None``: search
    over both. The paper's network and recipe are the defaults. Needs torch.

    Parameters
    ----------
    module : torch.nn.Module, callable or None, default=None
        A network of your own: an instance, which is copied, or a class or function
        called with ``n_features`` and ``n_outputs``. It needs ``blocks``, a
        ``torch.nn.ModuleList``, to mix behind one of them. To be pickled with the
        estimator it must be importable: no lambda.

    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Of the standardised target; "huber" is quadratic up to 1.

    mixup : {"c-mixup", "mixup"} or None, default="c-mixup"
        "mixup" draws partners regardless of labels, None trains on the rows themselves.

    mix_layer : int or "random", default=0
        What is mixed: 0 the inputs, k what comes out of block k, "random" any of these,
        drawn for each batch.

    alpha : float, default=2.0
        lambda ~ Beta(alpha, alpha): large values mix halves, small ones hardly mix.

    lambda_per : {"batch", "pair"}, default="batch"
        Whether all pairs of a batch share one lambda or each has its own.

    batch_partners : bool, default=False
        Whether partners come from the batch itself and a second random one only: for
        rows so many that their labels can't be compared.

    bandwidth : float, default=0.5
        Width of the kernel of labels, in standard deviations of the target if
        ``standardize_target``, else in its units. Search over 0.05 to 2.

    kernel : {"gaussian", "tophat", "uniform"}, default="gaussian"
        How the probability of a partner falls with the distance.

    standardize_target : bool, default=True
        Whether ``bandwidth`` counts in standard deviations of each target. The network
        always learns the standardised target.

    metric : {"target", "input", "target_and_input"}, default="target"
        What the distance compares.

    input_bandwidth : float, default=None
        Width of the kernel of inputs; None takes ``bandwidth``.

    exclude_self : bool, default=False
        Whether a row can't be its own partner.

    max_neighbors : int, default=None
        Draw among this many nearest rows only: approximate.

    early_stopping : bool, default=False
        Whether to keep rows for validation (unmixed), stop when their score stops
        rising, and return to the best epoch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network; it predicts the standardised targets.

    target_mean_ : ndarray of shape (n_outputs_,)
        What was subtracted from the targets.

    target_scale_ : ndarray of shape (n_outputs_,)
        What they were divided by: their standard deviation, 1 if it is 0.

    loss_ : float
        Training loss of the last epoch, on mixed rows.

    best_loss_ : float
        The lowest.

    validation_scores_ : list of float or None
        R² on the validation rows after each epoch; None without early stopping.

    best_validation_score_ : float or None
        The best of them.

    t_ : int
        Training rows seen since then.

    n_layers_ : int
        Blocks of the network, plus input and output; None without ``blocks``.

    n_outputs_ : int
        Number of targets.

    out_activation_ : str
        "identity".

    See Also
    --------
    CMixupRegressor : The same idea around any regressor, on rows mixed once.

    Notes
    -----
    Row i gets row j as partner with probability ~ ``w_j exp(-(y_i - y_j)^2 / (2 h^2))``
    and both are replaced by ``lambda x_i + (1 - lambda) x_j`` and the same of y. Weights
    count like repeated rows: w_i weighs the loss, w_j the draw. Rows of weight 0 are left
    out. Partners come from all training rows, in O(log n) each, for a whole epoch at
    once; an epoch costs little more than without mixing, twice the blocks before
    ``mix_layer`` where that is above 0.

    Scale the features, as for any network. Callbacks, such as scikit-learn's
    `ProgressBar`, are shown each epoch.

    References
    ----------
    .. [1] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022. arXiv:2210.05775

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from minimalml.resampling import CMixupMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, scaled=True)
    >>> model = CMixupMLPRegressor((16,), max_epochs=10, random_state=0)
    >>> model.fit(X * 20, y).score(X * 20, y) > 0.4
    True
    """

    _parameter_constraints = {
        **SAMPLER_CONSTRAINTS,
        **MIXING_CONSTRAINTS,
        **TRAINING_CONSTRAINTS,
        "hidden_layer_sizes": ["array-like"],
        "activation": [
            StrOptions({"leaky_relu", "relu", "tanh", "logistic", "gelu", "identity"})
        ],
        "module": [callable, None],
        "loss": [StrOptions(set(LOSSES))],
        "mixup": [StrOptions({"c-mixup", "mixup"}), None],
        "mix_layer": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"random"}),
        ],
        "batch_partners": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128, 128),
        *,
        activation="leaky_relu",
        module=None,
        loss="squared_error",
        mixup="c-mixup",
        mix_layer=0,
        alpha=2.0,
        lambda_per="batch",
        batch_partners=False,
        bandwidth=0.5,
        kernel="gaussian",
        standardize_target=True,
        metric="target",
        input_bandwidth=None,
        exclude_self=False,
        max_neighbors=None,
        max_epochs=100,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
        training=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.loss = loss
        self.mixup = mixup
        self.mix_layer = mix_layer
        self.alpha = alpha
        self.lambda_per = lambda_per
        self.batch_partners = batch_partners
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.standardize_target = standardize_target
        self.metric = metric
        self.input_bandwidth = input_bandwidth
        self.exclude_self = exclude_self
        self.max_neighbors = max_neighbors
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.training = training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Train on rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Counts like repetition of rows.

        groups : array-like of shape (n_samples,), default=None
            Partners come from the row's own group only.

        Returns
        -------
        self : CMixupMLPRegressor
        """
        return self._fit(X, y, sample_weight, groups)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, groups=None):
        """Train for one epoch on some rows, going on from the present network.

        The first call sets the scales of the targets; partners come from the rows of
        the call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Counts like repetition of rows.

        groups : array-like of shape (n_samples,), default=None
            Partners come from the row's own group only.

        Returns
        -------
        self : CMixupMLPRegressor
        """
        return self._fit(X, y, sample_weight, groups, partial=True)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        output = self._predict_rows(self._standardised_output, X)
        y = output * self.target_scale_ + self.target_mean_
        return (y[:, 0] if self._is_single else y).astype(X.dtype, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
