"""Networks for single rows, trained on mean responses or shares of bags.

Javanmard, Chen, Mirrokni, Badanidiyuru, Fu, ICLR 2024 (interpolated losses); Ardehaly &
Culotta 2017 (DLLP); Busa-Fekete, Choi, Dick, Gentile, Medina 2023 (EasyLLP).
"""

import joblib
import numpy as np

from minimalml._core.arrays import import_torch, resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.groups import GroupIndex
from minimalml._core.training.documentation import document_training
from minimalml._core.training.network import (
    FLOATS,
    NetworkEstimator,
    standard_scale,
)
from minimalml._core.validation import (
    Interval,
    Real,
    StrOptions,
    _fit_context,
    validate_data,
)
from minimalml.bags._aggregate_responses._aggregate_loss import (
    interpolated_loss,
    row_losses,
)
from minimalml.bags._bag_estimator import (
    AggregateRegressorMixin,
    LogOddsMixin,
    ProportionClassifierMixin,
    encode_proportions,
)


class AggregateNetwork(NetworkEstimator):
    """What both kinds share: batches of whole bags and the interpolated loss."""

    _parameter_constraints = {
        name: allowed
        for name, allowed in NetworkEstimator._parameter_constraints.items()
        if name != "activation"
    }
    activation = "relu"
    _n_outputs = 1

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        *,
        interpolation=0.0,
        module=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            hidden_layer_sizes, module=module, max_epochs=max_epochs,
            batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, early_stopping=early_stopping, device=device,
            warm_start=warm_start, random_state=random_state, verbose=verbose,
            training=training,
        )  # fmt: skip
        self.interpolation = interpolation

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, bags=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled.

        y : array-like of shape (n_samples,)
            The mean response, or the share of the positive class, of its bag on each
            row; see `aggregate_targets`. A classifier takes labels without bags.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag; None makes each row a bag.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If y varies within a bag or is no share, ids are missing or of another
            number, the loss is not finite after the first epoch, or ``module`` does not
            give one output.
        """
        torch = import_torch(type(self).__name__)
        from minimalml._core.training.group_batches import GroupBatches

        is_new = not self._continues()
        options = {"reset": is_new, **self._target_options}
        X, y = validate_data(self, X, y, dtype=FLOATS, **options)
        index = GroupIndex(bags, len(X))
        targets = self._encode_bags(y, bags, index, is_new)
        columns = {"bag": np.arange(len(index)), "target": targets, "size": index.sizes}
        dtype = getattr(torch, self._training_settings.dtype)
        self._batches = GroupBatches(index, X, resolve_device(self.device), dtype)
        options = {"extend": self._batches.extend}
        if self._training_settings.optimizer != "lbfgs":  # takes all bags at once
            options["batch_size"] = self._batches.batch_size(self.batch_size)
        if self._training_settings.checkpoint is not None:  # columns have no rows
            options["description"] = self._description() | {"X": joblib.hash(X)}
        try:
            return self._fit_network(columns, X, y, **options)
        finally:
            del self._batches

    def _training_loss(self, batch, state):
        X, index = batch.rows
        outputs = self._outputs(X, state.network)[:, 0]
        return self._batch_loss(batch.target, outputs, index)

    def _batch_loss(self, *batch):
        return interpolated_loss(self._loss_name, *batch, self.interpolation)

    def _validation_score(self, columns, state):
        """Return minus the bag-level loss of the bags that are held out."""
        X, index = self._batches.gather(columns["bag"].cpu())
        batch = columns["target"], self._outputs(X)[:, 0], index
        return -interpolated_loss(self._loss_name, *batch, 0.0)


@document_training
class AggregateMLPRegressor(AggregateRegressorMixin, AggregateNetwork):
    """Train a network for single rows where only the mean responses of bags are known.

    For what is not linear; `AggregateRidge` is the first thing to try. The default is
    the bag level: for networks no other weight measured better. Needs torch.

    Parameters
    ----------
    interpolation : float, default=0.0
        Weight of the spread of predictions within bags, at least 0: 0 compares means of
        bags, 1 each row with the mean of its bag.

    batch_size : int or "auto", default="auto"
        Bags a step; "auto" takes as many as hold about 256 rows.

    early_stopping : bool, default=False
        Whether to hold out whole bags, stop when their bag-level loss stops falling,
        and return to the best epoch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode; it predicts standardised responses.

    target_mean_, target_scale_ : float
        What was subtracted from means of bags, and what they were divided by: their
        standard deviation, 1 if it is 0, times the root of the mean bag size.

    References
    ----------
    A. Javanmard et al., "Learning from Aggregate Responses", ICLR 2024. arXiv:2401.11081

    Examples
    --------
    >>> from minimalml.bags import AggregateMLPRegressor
    >>> from minimalml.datasets import make_aggregate_regression
    >>> X, y, bags, coef = make_aggregate_regression(600, 5, noise=0.1, random_state=0)
    >>> model = AggregateMLPRegressor((16,), learning_rate=0.01, random_state=0)
    >>> model.fit(X, y, bags).score(X, y, bags) > 0.8
    True
    """

    _parameter_constraints = {
        **AggregateNetwork._parameter_constraints,
        "interpolation": [Interval(Real, 0, None, closed="left")],
    }
    _target_options = {"y_numeric": True}
    _loss_name = "squared_error"

    def _encode_bags(self, y, bags, index, is_new):
        """Return standardised means."""
        means = index.constant(y).astype(np.float64)
        if is_new:
            mean, scale = standard_scale(means[:, None], index.sizes)
            # means of random bags vary less than single responses by this factor
            widening = np.sqrt(len(y) / len(index))
            self.target_mean_ = float(mean[0])
            self.target_scale_ = float(scale[0] * widening)
        return (means - self.target_mean_) / self.target_scale_

    def predict(self, X):
        """Predict the responses of single rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Responses, in the float type of ``X``.
        """
        outputs = self._predict_outputs(X)[:, 0]
        y = outputs * self.target_scale_ + self.target_mean_
        return y.astype(outputs.dtype, copy=False)


@document_training
class AggregateMLPClassifier(LogOddsMixin, ProportionClassifierMixin, AggregateNetwork):
    """Train a network for single rows where only shares of two classes are known.

    The defaults are the method known as DLLP: the mean probability of a bag is compared
    with its share of the positive class. ``loss="unbiased"`` is EasyLLP, whose expected
    loss is that of single labels; it has no lower bound and overfits with epochs. Needs
    torch.

    Parameters
    ----------
    loss : {"log_loss", "unbiased"}, default="log_loss"
        "unbiased" needs ``interpolation=0``.

    interpolation : float, default=0.0
        From 0, which compares means of bags, to 1, which compares the probability of
        each row with the share of its bag.

    batch_size : int or "auto", default="auto"
        Bags a step; "auto" takes as many as hold about 256 rows.

    early_stopping : bool, default=False
        Whether to hold out whole bags, stop when their bag-level log loss stops falling,
        and return to the best epoch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode; it predicts the logit of ``classes_[1]``.

    classes_ : ndarray of shape (2,)
        The labels, 0 and 1 where y holds shares; the second is the positive class.

    References
    ----------
    E. M. Ardehaly, A. Culotta, "Co-training for Demographic Classification Using Deep
    Learning from Label Proportions", ICDM Workshops 2017. arXiv:1709.04108

    R. Busa-Fekete, H. Choi, T. Dick, C. Gentile, A. Muñoz Medina, "Easy Learning from
    Label Proportions", NeurIPS 2023. arXiv:2302.03115

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from minimalml.bags import AggregateMLPClassifier, aggregate_targets
    >>> from minimalml.datasets import make_bags
    >>> X, labels = load_breast_cancer(return_X_y=True)
    >>> X, bags = scale(X), make_bags(len(X), 8, random_state=0)
    >>> model = AggregateMLPClassifier((16,), max_epochs=30, random_state=0)
    >>> model.fit(X, aggregate_targets(labels, bags), bags).score(X, labels) > 0.9
    True
    """

    _parameter_constraints = {
        **AggregateNetwork._parameter_constraints,
        "loss": [StrOptions({"log_loss", "unbiased"})],
        "interpolation": [Interval(Real, 0, 1, closed="both")],
    }
    _loss_name = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        *,
        loss="log_loss",
        interpolation=0.0,
        module=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            hidden_layer_sizes, interpolation=interpolation, module=module,
            max_epochs=max_epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, early_stopping=early_stopping,
            training=training, device=device, warm_start=warm_start,
            random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.loss = loss

    def _encode_bags(self, y, bags, index, is_new):
        """Return the share of the positive class in each bag."""
        if self.loss == "unbiased" and self.interpolation != 0:
            raise ValueError(
                "interpolation must be 0 with loss='unbiased', got "
                f"{self.interpolation}."
            )
        classes, shares = encode_proportions(y, bags, index)
        if not is_new and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"y has classes {classes.tolist()}, but the network was made for "
                f"{self.classes_.tolist()}: set warm_start=False to begin anew."
            )
        self.classes_ = classes
        return shares

    def _validation_options(self, columns, *split):
        """Take note of the share of the positive class in all bags to train on."""
        options = super()._validation_options(columns, *split)
        rows = options.get("rows", slice(None))
        shares, sizes = columns["target"][rows], columns["size"][rows]
        self._share = float(np.average(shares, weights=sizes))
        return options

    def _batch_loss(self, targets, outputs, index):
        if self.loss == "log_loss":
            return super()._batch_loss(targets, outputs, index)
        # labels that a row of the bag has on average, given its share; beyond [0, 1]
        labels = index.sizes * (targets - self._share) + self._share
        return row_losses("log_loss", index.expand(labels), outputs).mean()
