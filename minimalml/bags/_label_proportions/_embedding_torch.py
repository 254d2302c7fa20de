"""A network of rows, and what the mean features of a bag say of its share."""

from torch import nn


class EmbeddingNetwork(nn.Module):
    """A network, the features that its last layer sees, and a head for their means.

    Parameters
    ----------
    network : torch.nn.Module
        Ends in a linear layer.
    """

    def __init__(self, network):
        super().__init__()
        linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise TypeError(
                f"module {type(network).__name__} must end in a torch.nn.Linear, whose "
                "inputs are the features of rows."
            )
        self.network, self.features = network, None
        self.bag_head = nn.Sequential(
            nn.Linear(linear[-1].in_features, 64), nn.ReLU(), nn.Linear(64, 1)
        )
        self.hook = linear[-1].register_forward_pre_hook(self._keep)

    def _keep(self, layer, inputs):
        (self.features,) = inputs

    def forward(self, X):
        """Return the network's outputs; their ``features`` stay (n_rows, n_last)."""
        return self.network(X)

    def release(self):
        """Return the network by itself."""
        self.hook.remove()
        return self.network
