"""A network of rows and the poolings that turn its outputs into logits of bags.

Each pooling takes outputs of shape (n_rows, n_outputs) and the index of the rows' bags.
"""

import math

import torch
from torch import nn
from torch.nn.functional import leaky_relu, logsigmoid, softplus

# Of the hidden features that are pooled, as in the hidden layers before.
SLOPE = 0.1
# Smallest probability of a bag whose logarithm is taken.
SMALLEST_PROBABILITY = 1e-12


class BagNetwork(nn.Module):
    """Outputs of rows by ``body``, pooled to a logit a bag of about ``bag_size`` rows."""

    def __init__(self, body, pooling, n_outputs, bag_size):
        super().__init__()
        self.body, self.n_outputs = body, n_outputs
        self.pooling = POOLINGS[pooling](n_outputs, bag_size)

    def rows(self, X):
        """Return the outputs of rows, shape (n_rows, n_outputs)."""
        outputs = self.body(X)
        if outputs.numel() != len(X) * self.n_outputs:
            raise ValueError(
                f"module must give n_outputs={self.n_outputs} numbers a row, got shape "
                f"{tuple(outputs.shape)} for {len(X)} rows."
            )
        return outputs.reshape(len(X), self.n_outputs)

    def forward(self, X, index):
        """Return the logits of bags, shape (n_bags,)."""
        return self.pooling(self.rows(X), index)


class LargestRow(nn.Module):
    """The standard assumption: a bag is its largest row."""

    def __init__(self, n_outputs, bag_size):
        super().__init__()

    def forward(self, outputs, index):
        """Return the largest logit of each bag."""
        return index.max(outputs[:, 0])


class NoisyOr(nn.Module):
    """A bag is positive if one of its rows is, independently of each other."""

    def __init__(self, n_outputs, bag_size):
        super().__init__()
        # rows at even chances would make large bags surely positive, of no gradient
        self.bias = nn.Parameter(torch.tensor(-math.log(bag_size)))

    def forward(self, outputs, index):
        """Return the logit of 1 minus the product of the rows' negative chances."""
        log_negative = index.sum(logsigmoid(-outputs[:, 0] - self.bias))
        positive = (-torch.expm1(log_negative)).clamp_min(SMALLEST_PROBABILITY)
        return positive.log() - log_negative


class Concepts(nn.Module):
    """Count, with weights above 0, the things that are found in some row."""

    def __init__(self, n_outputs, bag_size):
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(n_outputs))
        self.bias = nn.Parameter(torch.tensor(-0.4 * n_outputs))

    def forward(self, outputs, index):
        """Return a logit that rises with each concept's largest row."""
        return self.bias + index.max(outputs).sigmoid() @ softplus(self.weight)


class EmbeddingMax(nn.Module):
    """Linear in the maxima of features: a counter-example, as weights may be negative."""

    def __init__(self, n_outputs, bag_size):
        super().__init__()
        self.head = nn.Linear(n_outputs, 1)

    def forward(self, outputs, index):
        """Return the logits of the maxima of features over the rows of a bag."""
        return self.head(index.max(leaky_relu(outputs, SLOPE)))[:, 0]


class Attention(nn.Module):
    """Linear in a mean of features by learnt weights: a counter-example."""

    def __init__(self, n_outputs, bag_size):
        super().__init__()
        self.hidden = nn.Linear(n_outputs, n_outputs)
        self.score = nn.Linear(n_outputs, 1, bias=False)
        self.head = nn.Linear(n_outputs, 1)

    def forward(self, outputs, index):
        """Return the logits of the weighted means of features."""
        features = leaky_relu(outputs, SLOPE)
        scores = self.score(self.hidden(features).tanh())[:, 0]
        largest = index.expand(index.max(scores.detach()))
        return self.head(index.mean(features, (scores - largest).exp()))[:, 0]


POOLINGS = {
    "max": LargestRow,
    "noisy_or": NoisyOr,
    "concepts": Concepts,
    "attention": Attention,
    "embedding_max": EmbeddingMax,
}
