"""The network of compositional recognition: two disentangled branches and a whole one.

Every branch ends in a vector that is compared by cosine with a vector made from the
label embeddings, so that any combination of known labels has a score.
"""

import torch
from torch import nn
from torch.nn.functional import normalize

from minimalml._core.training.modules import MLP

# Of the paper's code: inside the branches, and inside the composer.
BRANCH_DROPOUT = 0.5
COMPOSER_DROPOUT = 0.3


def cosines(rows, vectors):
    """Return cosines of rows (n, e) with vectors (m, e), shape (n, m)."""
    return normalize(rows, dim=1) @ normalize(vectors, dim=1).T


class Branch(MLP):
    """Fully connected layers with layer norm and dropout, ending in a ReLU."""

    def __init__(self, n_features, hidden_layer_sizes, n_outputs):
        super().__init__(
            n_features,
            hidden_layer_sizes,
            n_outputs,
            layer_norm=True,
            dropout=BRANCH_DROPOUT,
        )

    def forward(self, X):
        """Return outputs of shape (n_samples, n_outputs), at least 0."""
        return super().forward(X).relu()


class CompositionNetwork(nn.Module):
    """Embed rows as a whole, by attribute and by object, and labels beside them.

    Parameters
    ----------
    n_features : int
        Columns of the input.

    attribute_embeddings, object_embeddings : tensor of shape (A, w), (O, w)
        Where the trained label embeddings start.

    hidden_sizes : sequence of int
        Hidden widths of the branch that sees the row as a whole.

    encoder_hidden : int
        Hidden width of the attribute encoder, the object encoder and the composer.

    embedding_dim : int
        Length of the compared vectors.
    """

    def __init__(
        self,
        n_features,
        attribute_embeddings,
        object_embeddings,
        hidden_sizes,
        encoder_hidden,
        embedding_dim,
    ):
        super().__init__()
        self.pair_branch = Branch(n_features, hidden_sizes, embedding_dim)
        self.attribute_encoder = Branch(n_features, [encoder_hidden], n_features)
        self.object_encoder = Branch(n_features, [encoder_hidden], n_features)
        self.attribute_head = _linear_relu(n_features, embedding_dim)
        self.object_head = _linear_relu(n_features, embedding_dim)
        self.composer = nn.Sequential(
            nn.Linear(2 * n_features, encoder_hidden),
            nn.BatchNorm1d(encoder_hidden),
            nn.ReLU(),
            nn.Dropout(COMPOSER_DROPOUT),
            nn.Linear(encoder_hidden, embedding_dim),
        )
        self.attribute_embeddings = nn.Parameter(attribute_embeddings.clone())
        self.object_embeddings = nn.Parameter(object_embeddings.clone())
        n_attribute, n_object = (
            table.shape[1] for table in (attribute_embeddings, object_embeddings)
        )
        self.attribute_text = _linear_relu(n_attribute, embedding_dim)
        self.object_text = _linear_relu(n_object, embedding_dim)
        self.pair_text = _linear_relu(n_attribute + n_object, embedding_dim)

    def forward(self, X):
        """Return the row's own vector, its attribute features and object features."""
        return self.pair_branch(X), *self.encode(X)

    def encode(self, X):
        """Return attribute features and object features, each (n, n_features)."""
        return self.attribute_encoder(X), self.object_encoder(X)

    def compose(self, attribute_features, object_features):
        """Return the vector of a pair whose parts may come from different rows."""
        parts = torch.cat([attribute_features, object_features], dim=1)
        return self.composer(normalize(parts, dim=1))

    def embed_attributes(self):
        """Return the vectors of all attributes (A, embedding_dim)."""
        return self.attribute_text(self.attribute_embeddings)

    def embed_objects(self):
        """Return the vectors of all objects (O, embedding_dim)."""
        return self.object_text(self.object_embeddings)

    def embed_pairs(self, codes):
        """Return the vectors of coded pairs (P, 2), shape (P, embedding_dim)."""
        labels = [
            self.attribute_embeddings.index_select(0, codes[:, 0]),
            self.object_embeddings.index_select(0, codes[:, 1]),
        ]
        return self.pair_text(torch.cat(labels, dim=1))


def _linear_relu(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.ReLU())
