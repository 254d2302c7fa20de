"""The mixture of experts as a torch module, and the compressed form of its matrices.

The rules of routing are those of Switch (one expert a row) and Mixtral (several); no
expert has a limit on its rows, and none is dropped.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Routing(NamedTuple):
    """What a router says of rows: ``logits`` (n, E), and the ``chosen`` (n, k) of them."""

    logits: torch.Tensor
    chosen: torch.Tensor


class Expert(nn.Module):
    """``w_out(relu(w_in(z)))``."""

    def __init__(self, w_in, w_out):
        super().__init__()
        self.w_in, self.w_out = w_in, w_out

    def forward(self, z):
        """Return what is added to the rows."""
        return self.w_out(functional.relu(self.w_in(z)))


class MixtureLayer(nn.Module):
    """Each row goes to the ``n_active`` experts that a linear router gives most to.

    ``expert_of`` maps the router's outputs to the experts: several may share one.
    """

    def __init__(self, width, expert_width, n_experts, n_active):
        super().__init__()
        self.n_active = n_active
        self.norm = nn.LayerNorm(width)
        self.router = nn.Linear(width, n_experts, bias=False)
        self.experts = nn.ModuleList(
            Expert(nn.Linear(width, expert_width), nn.Linear(expert_width, width))
            for _ in range(n_experts)
        )
        for expert in self.experts:
            nn.init.zeros_(expert.w_out.bias)
        self.register_buffer("expert_of", torch.arange(n_experts))

    def forward(self, x):
        """Return rows with what their experts add, and the routing."""
        z = self.norm(x)
        logits = self.router(z)
        gates, chosen = logits.softmax(1).topk(self.n_active)
        if self.n_active > 1:
            gates = gates / gates.sum(1, keepdim=True)
        by_expert = gates.new_zeros(len(x), len(self.experts))
        by_expert = by_expert.scatter_add(1, self.expert_of[chosen], gates)
        return self._add_experts(x, z, by_expert), Routing(logits, chosen)

    def _add_experts(self, x, z, gates):
        """Call each expert once, on the rows with a gate for it: none is computed twice."""
        is_open = gates != 0  # also of NaN, which must reach the outputs
        rows = is_open.T.nonzero()[:, 1]  # one expert's after the other's
        counts = is_open.sum(0).tolist()
        x = x.clone()
        for j, own in enumerate(rows.split(counts)):
            added = self.experts[j](z[own])
            x.index_add_(0, own, (gates[own, j, None] * added).to(x.dtype))
        return x


class MixtureNetwork(nn.Module):
    """A linear stem, residual layers of experts, and a linear head."""

    def __init__(self, n_features, n_outputs, n_layers, width, *sizes):
        super().__init__()
        self.stem = nn.Linear(n_features, width)
        self.layers = nn.ModuleList(
            MixtureLayer(width, *sizes) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        """Return the logits of classes."""
        return self.routed(X)[0]

    def routed(self, X):
        """Return the logits of classes, and the `Routing` of each layer."""
        x, routings = self.stem(X), []
        for layer in self.layers:
            x, routing = layer(x)
            routings.append(routing)
        return self.head(self.norm(x)), routings


def balance_loss(routing, weight=None):
    """Return ``E sum_e F_e P_e``, 1 where all experts are used alike.

    F is the share of rows that went to each expert, P its mean probability.
    """
    n_rows, n_experts = routing.logits.shape
    shares = routing.logits.new_ones(n_rows) if weight is None else weight
    shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
    used = torch.zeros_like(routing.logits).scatter(1, routing.chosen, 1.0)
    frequency = shares @ used / routing.chosen.shape[1]
    return n_experts * (frequency * (shares @ routing.logits.softmax(1))).sum()


class LowRankRows(nn.Module):
    """A linear layer whose matrix is low rank, plus some full rows.

    ``right``, ``left`` and ``rows`` are linear layers themselves, so that what prunes or
    quantises linear layers finds them; the bias is that of ``left``.
    """

    def __init__(self, left, right, index, rows, bias):
        super().__init__()
        self.right = linear_of(right)
        self.left = linear_of(left, bias)
        self.register_buffer("index", index)
        self.rows = linear_of(rows) if len(rows) else None

    def forward(self, z):
        """Return the product with the matrix, plus the bias."""
        outputs = self.left(self.right(z))
        if self.rows is None:
            return outputs
        return outputs.index_add(1, self.index, self.rows(z))

    @property
    def bias(self):
        """Bias, as of the layer that was there before."""
        return self.left.bias

    @property
    def weight(self):
        """The matrix that is multiplied by."""
        low_rank = self.left.weight @ self.right.weight
        if self.rows is None:
            return low_rank
        return low_rank.index_add(0, self.index, self.rows.weight)

    def without_zero_rows(self):
        """Return a layer that stores only the rows that are not zero."""
        rows = self.rows.weight
        kept = (rows != 0).any(1).nonzero()[:, 0]
        compact = LowRankRows(
            self.left.weight, self.right.weight, self.index[kept], rows[kept], self.bias
        )
        return compact.train(self.training)


def linear_of(weight, bias=None):
    """Return a linear layer of these weights, without a draw of random numbers."""
    n_out, n_in = weight.shape
    layer = nn.Linear(n_in, n_out, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer
