"""Small estimators that the tests of the training floor train."""

from minimalml._core.training.documentation import document_training
from minimalml._core.training.network import NetworkClassifier, NetworkRegressor


@document_training
class TinyRegressor(NetworkRegressor):
    """Regress by a small network, in few epochs.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(8,)
        Width of each hidden layer.
    """

    def __init__(
        self,
        hidden_layer_sizes=(8,),
        *,
        activation="relu",
        module=None,
        max_epochs=5,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        early_stopping=False,
        device="cpu",
        warm_start=False,
        random_state=0,
        verbose=0,
        training=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            module=module,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            device=device,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            training=training,
        )


@document_training
class TinyClassifier(NetworkClassifier):
    """Classify by a network, with the constructor of the base.

    Parameters
    ----------
    activation : str, default="relu"
        Of the hidden layers.
    """
