"""How lazily a network learns, as one parameter of a regressor.

Kumar, Bordelon, Gershman, Pehlevan: "Grokking as the Transition from Lazy to Rich Training
Dynamics", ICLR 2024.
"""

import sys

from sklearn.model_selection import train_test_split

from minimalml._core.arrays import resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.training.network import FLOATS, NetworkRegressor
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_y,
    validate_data,
)
from minimalml.training_dynamics._grokking._curves import POSITIVE
from minimalml.training_dynamics._grokking._run_records import RunRecords

# Settings of other networks that would make runs of different alpha differ in more.
NOT_OFFERED = ("early_stopping", "warm_start", "verbose", "training")


@document_training
class LazyRichRegressor(NetworkRegressor):
    """Train a network that is as lazy as one says, and watch its features move.

    Does the test loss stand still long after the training loss fell? A network with a
    large ``alpha`` first fits the data with its initial features, as a kernel method
    would; lower it to learn features from the start, by a search over ``alpha``. Scale X.
    Needs torch. Where prediction is all that counts, take a network with Adam.

    An epoch costs what that of any network costs and a forward pass of the frozen start;
    a record, 61 of them at most, a backward pass for each of ``kernel_rows`` and outputs.

    Parameters
    ----------
    alpha : float, default=1.0
        Output scale, above 0: the larger, the lazier. Learning rates are divided by its
        square ("sgd") or itself, so that all learn equally fast at first.

    center : bool, default=True
        Whether to take the initial function away from the network, which then predicts
        the mean before it is trained.

    init_scale : float, default=1.0
        What the initial weights are multiplied by, above 0.

    kernel_rows : int, default=64
        Training rows, the first ones, on which the tangent kernel is watched.

    validation_fraction : float, default=None
        Share of the rows, in (0, 1), whose loss is watched, and which are not trained
        on; not used where ``X_val`` is given.

    max_epochs : int, default=1000
        Passes over the rows.

    batch_size : int, default=None
        Rows a step; None is all.

    learning_rate : float, default=0.03
        Step size of the optimiser where ``alpha`` is 1. Where it is too large, a lazy
        network moves as well: ``kernel_drift`` does not fall as ``alpha`` grows.

    optimizer : {"sgd", "adam", "adamw"}, default="sgd"
        "sgd" has no momentum.

    Attributes
    ----------
    module_ : torch.nn.Module
        The whole model, in evaluation mode: ``alpha`` times ``module_.network``, less its
        frozen copy ``module_.start`` where centred.

    history_ : dict of str to ndarray of shape (n_records,)
        Records before the first epoch and after up to 60 log-spaced ones: ``epoch``;
        ``train_loss`` and ``test_loss``, mean squared errors of standardised targets;
        ``kernel_alignment`` of the network's tangent kernel with the targets;
        ``kernel_drift``, the kernel's change by norm as a share of the initial one;
        ``parameter_distance``, the same of the weights. Test losses are NaN without rows
        to measure them on.

    grokking_ : dict or None
        What `detect_grokking` says of the losses, on the scale of a constant prediction;
        None without test losses, or with fewer than 3 records.

    See Also
    --------
    simulate_lazy_rich : The paper's own model, with its exact test loss.
    detect_grokking : The verdict on curves of any other training.

    Notes
    -----
    The model is ``alpha (f(x) - f_0(x))``, its loss the mean squared error over rows and
    outputs of standardised targets. A larger alpha needs a smaller change of f, so that
    its tangent kernel stays that of the start. Weights are float64 on all devices that
    have it: outputs are differences of order 1 / alpha. Layers that differ in training
    (dropout, batch normalisation) make f differ from f_0 before the first step.

    References
    ----------
    .. [1] T. Kumar, B. Bordelon, S. J. Gershman, C. Pehlevan, "Grokking as the
       Transition from Lazy to Rich Training Dynamics", ICLR 2024. arXiv:2310.06110
    .. [2] L. Chizat, E. Oyallon, F. Bach, "On Lazy Training in Differentiable
       Programming", NeurIPS 2019. arXiv:1812.07956

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from minimalml.training_dynamics import LazyRichRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = scale(X)
    >>> lazy, rich = (
    ...     LazyRichRegressor(alpha, max_epochs=50, random_state=0).fit(X, y)
    ...     for alpha in (10, 0.3)
    ... )
    >>> bool(10 * lazy.history_["kernel_drift"][-1] < rich.history_["kernel_drift"][-1])
    True
    """

    _parameter_constraints = {
        **{
            name: constraint
            for name, constraint in NetworkRegressor._parameter_constraints.items()
            if name not in NOT_OFFERED
        },
        "alpha": [POSITIVE],
        "center": ["boolean"],
        "init_scale": [POSITIVE],
        "kernel_rows": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "optimizer": [StrOptions({"sgd", "adam", "adamw"})],
    }
    # what the training loop asks for beside the parameters
    early_stopping = warm_start = False
    verbose, training = 0, None

    def __init__(
        self,
        alpha=1.0,
        *,
        hidden_layer_sizes=(200,),
        activation="relu",
        module=None,
        center=True,
        init_scale=1.0,
        kernel_rows=64,
        validation_fraction=None,
        max_epochs=1000,
        batch_size=None,
        learning_rate=0.03,
        optimizer="sgd",
        weight_decay=0.0,
        random_state=None,
        device="auto",
    ):
        self.alpha = alpha
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.center = center
        self.init_scale = init_scale
        self.kernel_rows = kernel_rows
        self.validation_fraction = validation_fraction
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.device = device

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, X_val=None, y_val=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; for classes, columns of zeros and ones.

        X_val : array-like of shape (n_samples_2, n_features), default=None
            Rows whose loss is watched.

        y_val : array-like of shape (n_samples_2,) or (n_samples_2, n_outputs), \
                default=None
            Their targets.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If only one of ``X_val`` and ``y_val`` is given, the loss is not finite after
            the first epoch, or ``module`` does not give as many outputs as y has.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, **self._target_options)
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together, got one of them.")
        X_train, y_train = X, y
        if X_val is not None:
            X_val, y_val = self._check_validation_rows(X_val, y_val, y)
        elif self.validation_fraction is not None:
            X_train, X_val, y_train, y_val = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=self.random_state
            )
        targets, test = self._encode_targets(y_train, None, is_new=True), None
        if X_val is not None:
            test = X_val, self._encode_targets(y_val, None, is_new=False)
        self._records = records = RunRecords(self, (X_train, targets), test)
        try:
            columns = {"X": X_train, "y": targets}
            self._fit_network(columns, X, y, validate=records.watch)
        finally:
            del self._records
        self.history_ = records.history(self.n_iter_)
        self.grokking_ = records.verdict(self.history_)
        return self

    def _check_validation_rows(self, X_val, y_val, y):
        X_val = validate_data(self, X_val, dtype=FLOATS, reset=False)
        y_val = check_y(y_val, multi_output=True, y_numeric=True)
        if len(y_val) != len(X_val) or y_val.shape[1:] != y.shape[1:]:
            raise ValueError(
                f"y_val must be {len(X_val)} rows of targets as y has, got shape "
                f"{y_val.shape} where y has {y.shape}."
            )
        return X_val, y_val

    @property
    def partial_fit(self):
        """Not offered: records need the rows of the whole run."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit.")

    def _build_network(self):
        import torch

        from minimalml.training_dynamics._grokking._lazy_network_torch import (
            LazyNetwork,
        )

        options = self._training_options()
        network = super()._build_network()
        network = network.to(
            resolve_device(self.device), getattr(torch, options["dtype"])
        )
        return LazyNetwork(
            network, self.alpha, init_scale=self.init_scale, center=self.center
        )

    def _training_options(self, partial=False):
        has_float64 = resolve_device(self.device).type != "mps"
        rate_scale = self.alpha**2 if self.optimizer == "sgd" else self.alpha
        return super()._training_options(partial) | {
            "optimizer": self.optimizer,
            "momentum": 0.0,
            "learning_rate": self.learning_rate / rate_scale,
            "batch_size": sys.maxsize if self.batch_size is None else self.batch_size,
            "dtype": "float64" if has_float64 else "float32",
        }

    def _on_network_ready(self):
        self._records.write(0)
