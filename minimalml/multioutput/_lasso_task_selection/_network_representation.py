"""A network for the representation that the rounds of active learning train."""

from numbers import Integral, Real

from sklearn.base import BaseEstimator

from minimalml._core.validation import HasMethods, Interval, StrOptions


class NetworkRepresentation(BaseEstimator):
    """Say which network represents the rows of all tasks, and how it trains.

    `ActiveMultiTaskRegressor` and `ActiveMultiTaskClassifier` take one as
    ``representation`` where no linear one fits; a search reaches its parameters as
    ``representation__learning_rate`` and so on.

    Parameters
    ----------
    module : torch.nn.Module
        Network from inputs to ``n_components`` features. It is copied; the copy is
        trained at each round together with a linear head for each task.

    loss : {"squared", "logistic"}, default="squared"
        What the network is trained on; "logistic" takes targets of -1 and 1, as those
        of classification are.

    max_epochs : int, default=50
        Epochs a round.

    batch_size : int or "auto", default=128
        Rows a step; "auto" is 200, or all if they are fewer.

    learning_rate : float, default=1e-3
        Step size of Adam.

    weight_decay : float, default=0.0
        L2 penalty of the weights.

    device : str or torch.device, default="auto"
        Where to train; "auto" takes an accelerator where there is one.

    Notes
    -----
    Values are checked when the network is trained. After each round the heads are
    fitted again by least squares, so that they compare as those of a linear
    representation do.

    Examples
    --------
    >>> from torch import nn
    >>> from minimalml.multioutput import (ActiveMultiTaskRegressor,
    ...                                    NetworkRepresentation)
    >>> network = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> representation = NetworkRepresentation(network, max_epochs=20)
    >>> model = ActiveMultiTaskRegressor(4, representation=representation)
    >>> model.set_params(representation__learning_rate=0.01).get_params()[
    ...     "representation__max_epochs"]
    20
    """

    _parameter_constraints = {
        "module": [HasMethods(["forward", "parameters"])],
        "loss": [StrOptions({"squared", "logistic"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "device": [str, object],
    }

    def __init__(
        self,
        module,
        *,
        loss="squared",
        max_epochs=50,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        device="auto",
    ):
        self.module = module
        self.loss = loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
