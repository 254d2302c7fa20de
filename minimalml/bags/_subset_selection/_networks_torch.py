"""The utility of subsets and the network that proposes subsets, on rows of many bags.

Rows stand bag by bag and ``index`` is a `TorchGroupIndex` of them; ``masks`` of shape
(n_rows, n_masks) hold subsets of all bags, a subset of each a column.
"""

from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    linear,
    logsigmoid,
    softplus,
)
from torch.utils.checkpoint import checkpoint

from minimalml._core.arrays import is_torch_module
from minimalml._core.training.modules import copy_module

# Of the official code: temperature of relaxed subsets, and common factors of a set.
TEMPERATURE, N_FACTORS = 0.1, 5
# Chances are kept this far from 0 and 1, here on the logit's scale.
LARGEST_LOGIT = 13.8155
# Random subsets by which predictions are made.
N_SAMPLES_PREDICT = 64
# Numbers of a hidden layer at once: 16 MB, and with gradients 256 MB. Beyond, layers are
# computed again for the gradient, a third more work.
CHUNK_NUMBERS, LEARNING_NUMBERS = 1 << 22, 1 << 26


class SetFunction(nn.Module):
    """F(S; V): a network of the sum over S, and one of a sum that tells of V too.

    Parameters
    ----------
    encoder : nn.Module
        Rows to vectors.

    n_components : int
        Length of these.

    hidden_layer_sizes : sequence of int
        Of both networks.

    context : {"complement", "superset"} or None
        What the second network sees: the sum over the rows outside S, or the sums over
        S and V side by side. None leaves it out.

    pooling : {"sum", "mean"}
        Whether sums are divided by the size of the bag.
    """

    def __init__(self, encoder, n_components, hidden_layer_sizes, context, pooling):
        super().__init__()
        self.encoder, self.n_components = encoder, n_components
        self.context, self.pooling = context, pooling
        widths = {None: [1], "complement": [1, 1], "superset": [1, 2]}[context]
        self.branches = nn.ModuleList(
            _dense([width * n_components, *hidden_layer_sizes, 1]) for width in widths
        )
        self.widest = max([n_components, *hidden_layer_sizes])

    def encode(self, X, index):
        """Return the vector that each row adds to a sum, (n_rows, n_components)."""
        vectors = _encoded(self.encoder, X, self.n_components)
        if self.pooling == "mean":
            vectors = vectors / index.sizes[index.codes][:, None]
        return vectors

    def forward(self, X, masks, index):
        """Return the utilities of subsets, shape (n_bags, n_masks)."""
        return self._tails(self._first_layers(self.encode(X, index), masks, index))

    def gains(self, vectors, masks, index):
        """Return F(S with j) - F(S without j) of each row j, (n_rows, n_masks).

        One of the two subsets is S, and the first layers are linear in the sums: a
        row that flips moves them by a vector that is computed once a row.
        """
        first = self._first_layers(vectors, masks, index)
        flips = 1.0 - 2.0 * masks
        flipped = [
            torch.addcmul(layer[index.codes], flips[:, :, None], move[:, None])
            for layer, move in zip(first, self._moves(vectors), strict=True)
        ]
        return flips * (self._tails(flipped) - self._tails(first)[index.codes])

    def mean_gains(self, vectors, masks, index):
        """Return the mean of the gains over subsets, shape (n_rows,)."""
        n_kept = len(vectors) * self.widest  # numbers a layer and subset
        is_learning = torch.is_grad_enabled()
        most = LEARNING_NUMBERS if is_learning else CHUNK_NUMBERS
        parts = masks.split(max(1, most // n_kept), dim=1)
        if is_learning and len(parts) > 1:
            gains = [
                checkpoint(self.gains, vectors, part, index, use_reentrant=False)
                for part in parts
            ]
        else:
            gains = (self.gains(vectors, part, index) for part in parts)
        return sum(gain.sum(1) for gain in gains) / masks.shape[1]

    def _first_layers(self, vectors, masks, index):
        """Return the first layer of each branch, (n_bags, n_masks, width)."""
        products = masks[:, :, None] * vectors[:, None]
        inside = index.sum(products.flatten(1)).unflatten(1, products.shape[1:])
        inputs = [inside]
        if self.context is not None:
            whole = index.sum(vectors)[:, None].expand_as(inside)
            is_outside = self.context == "complement"
            inputs.append(
                whole - inside if is_outside else torch.cat([inside, whole], 2)
            )
        return [
            branch[0](sums) for branch, sums in zip(self.branches, inputs, strict=True)
        ]

    def _moves(self, vectors):
        """Return what a row that comes in adds to each first layer, (n_rows, width)."""
        signs = [1.0, -1.0 if self.context == "complement" else 1.0]
        return [
            linear(vectors, sign * branch[0].weight[:, : self.n_components])
            for branch, sign in zip(self.branches, signs, strict=False)
        ]

    def _tails(self, first):
        """Return the sum of the branches given their first layers."""
        tails = [b[1:](layer) for b, layer in zip(self.branches, first, strict=True)]
        return sum(tails).squeeze(2)


class Recognition(nn.Module):
    """Propose for each row by itself the chance to be in the subset of its bag.

    With ``is_copula`` the rows of a bag are drawn together, by common factors.
    """

    def __init__(self, encoder, n_components, hidden_layer_sizes, is_copula):
        super().__init__()
        self.encoder, self.n_components = encoder, n_components
        self.is_copula = is_copula
        widths = [n_components, *hidden_layer_sizes]
        self.hidden = _dense(widths)
        if hidden_layer_sizes:
            self.hidden.append(nn.ReLU())
        self.chance = nn.Linear(widths[-1], 1)
        if is_copula:
            self.noise = nn.Linear(widths[-1], 1 + N_FACTORS)

    def forward(self, X):
        """Return the logits of the chances, shape (n_rows,)."""
        return self.chance(self._features(X))[:, 0]

    def draw(self, X, index, n_masks):
        """Return logits, and relaxed subsets that have gradients, (n_rows, n_masks)."""
        features = self._features(X)
        logits = self.chance(features)[:, 0].clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        uniform = torch.rand(len(X), n_masks, dtype=X.dtype, device=X.device)
        if self.is_copula:
            uniform = self._dependent(features, index, n_masks)
        noise = uniform.logit(eps=1e-6)
        chance = torch.sigmoid((logits[:, None] + noise) / TEMPERATURE)
        masks = torch.bernoulli(chance.detach())
        # the values are 0 and 1, the gradient is that of the chance
        return logits, chance + (masks - chance.detach())

    def _features(self, X):
        return self.hidden(_encoded(self.encoder, X, self.n_components))

    def _dependent(self, features, index, n_masks):
        """Return normal draws with common factors, as roughly uniform numbers."""
        noise = self.noise(features)
        scale, loadings = softplus(noise[:, :1]), torch.tanh(noise[:, 1:])
        own = scale * torch.randn_like(scale.expand(-1, n_masks))
        common = loadings.new_empty(len(index), N_FACTORS, n_masks).normal_()
        shared = torch.einsum("rf,rfm->rm", loadings, common[index.codes])
        return torch.special.ndtr(own + shared)


class SubsetNetwork(nn.Module):
    """A set function and what proposes subsets for it, with the losses of both.

    Rows that losses are given have two columns beside X: membership and weight.
    """

    def __init__(self, set_function, recognition, table_seed):
        super().__init__()
        # in the order of their turns
        self.recognition, self.set_function = recognition, set_function
        self.table_seed, self.n_steps = table_seed, 1

    def forward(self, loss, *arguments):
        """Return one of the losses by its name: what a loop compiles is this call."""
        return getattr(self, loss)(*arguments)

    def elbo_loss(self, rows, index, n_masks):
        """Return minus the bound on log-likelihood of the proposals, mean of bags."""
        X = rows[:, :-2]
        logits, masks = self.recognition.draw(X, index, n_masks)
        with _frozen(self.set_function):
            utility = self.set_function(X, masks, index).mean(1)
        chance = torch.sigmoid(logits)
        entropy = -chance * logsigmoid(logits) - (1 - chance) * logsigmoid(-logits)
        return -(utility + index.sum(entropy)).mean()

    def membership_loss(self, rows, index, n_masks, negative_ratio):
        """Return the cross-entropy of the updated chances: bags' sums, their mean."""
        shape = self.n_steps, len(rows), n_masks
        uniforms = torch.rand(shape, dtype=rows.dtype, device=rows.device)
        logits = self.logits(rows[:, :-2], index, uniforms)
        return _cross_entropy(logits, rows, index, negative_ratio, is_drawn=True)

    def expected_loss(self, rows, index, negative_ratio):
        """Return the same for predictions, expected over the rows that are drawn."""
        logits = self.predicted_logits(rows[:, :-2], index)
        return _cross_entropy(logits, rows, index, negative_ratio, is_drawn=False)

    def predicted_logits(self, X, index):
        """Return logits by subsets that a table gives, the same for all bags.

        Its rows are the places in a bag, so that no bag changes another's answer.
        """
        draws = np.random.RandomState(self.table_seed).random_sample
        table = torch.as_tensor(draws((int(index.sizes.max()), N_SAMPLES_PREDICT)))
        places = torch.arange(len(X), device=X.device) - index.offsets[index.codes]
        uniforms = table.to(X)[places]
        return self.logits(X, index, uniforms.expand(self.n_steps, -1, -1))

    def logits(self, X, index, uniforms):
        """Return logits of rows after an update by each of ``uniforms``.

        These have shape (n_steps, n_rows, n_masks); only the set function is
        differentiated, as drawn subsets have no gradient.
        """
        with torch.no_grad():
            is_without = self.recognition is None
            logits = X.new_zeros(len(X)) if is_without else self.recognition(X)
        vectors = self.set_function.encode(X, index)
        is_learning = torch.is_grad_enabled()
        for step, uniform in enumerate(uniforms, start=1):
            masks = (uniform < torch.sigmoid(logits)[:, None]).to(X.dtype)
            with torch.set_grad_enabled(is_learning and step == len(uniforms)):
                logits = self.set_function.mean_gains(vectors, masks, index)
        return logits


def _cross_entropy(logits, rows, index, negative_ratio, *, is_drawn):
    """Return the weighted loss of memberships, a sum in each bag, mean of bags."""
    y, weight = rows[:, -2], rows[:, -1]
    losses = binary_cross_entropy_with_logits(logits, y, reduction="none")
    balance = balanced_weight(y, weight > 0, index, negative_ratio, is_drawn=is_drawn)
    return (balance * weight * losses).sum() / len(index)


def build_network(
    encoder,
    n_features,
    n_components,
    hidden_layer_sizes,
    context,
    pooling,
    inference,
    table_seed,
):
    """Return a `SubsetNetwork`; but for the seed, arguments are the estimator's."""
    sizes = list(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be integers of at least 1, got {sizes!r}."
        )

    def own_encoder():
        if is_torch_module(encoder):
            return copy_module(encoder)
        if not isinstance(encoder, str):
            raise TypeError(
                "encoder must be 'mlp', 'linear' or a torch.nn.Module, got "
                f"{type(encoder).__name__}."
            )
        n_layers = {"linear": 1, "mlp": 2}[encoder]
        return _dense([n_features, *[n_components] * n_layers])

    set_function = SetFunction(own_encoder(), n_components, sizes, context, pooling)
    recognition = None
    if inference != "mean_field":
        is_copula = inference == "copula"
        recognition = Recognition(own_encoder(), n_components, sizes, is_copula)
    return SubsetNetwork(set_function, recognition, table_seed)


def balanced_weight(y, is_known, index, negative_ratio, *, is_drawn):
    """Return what each row counts for: members 1, and of the others a part.

    That is as many of a bag's other rows as it has members, times ``negative_ratio``,
    and at least one, so that bags without members teach too. They are drawn at random,
    or each is given its chance to be. Rows of unknown membership don't count.
    """
    known = is_known.to(y.dtype)
    if negative_ratio is None:
        return known
    n_members = index.sum(y * known)
    n_others = index.sum(known) - n_members
    n_kept = (negative_ratio * n_members).round()
    if negative_ratio > 0:
        n_kept = n_kept.clamp_min(1.0)
    n_kept = torch.minimum(n_kept, n_others)
    if not is_drawn:
        share = n_kept / n_others.clamp_min(1.0)
        return torch.where(y > 0, 1.0, share[index.codes]) * known
    order = torch.rand(len(y), device=y.device).argsort()
    # bag by bag, members first, then others in random order, then the unknown
    keys = 3 * index.codes + torch.where(is_known, (y == 0).long(), 2)
    order = order[keys[order].argsort(stable=True)]
    rank = torch.empty_like(index.codes)
    rank[order] = torch.arange(len(y), device=y.device) - index.offsets[index.codes]
    return (rank < (n_members + n_kept)[index.codes]).to(y.dtype)


def _dense(widths):
    """Return linear layers with ReLU between them."""
    layers = []
    for width, next_width in pairwise(widths):
        layers += [nn.ReLU(), nn.Linear(width, next_width)]
    return nn.Sequential(*layers[1:])


def _encoded(encoder, X, n_components):
    vectors = encoder(X)
    if vectors.shape != (len(X), n_components):
        raise ValueError(
            f"encoder must give n_components={n_components} numbers a row, got shape "
            f"{tuple(vectors.shape)} for {len(X)} rows."
        )
    return vectors


class _frozen:
    """Let no gradient of a module's weights be computed for a while."""

    def __init__(self, module):
        self.weights = [p for p in module.parameters() if p.requires_grad]

    def __enter__(self):
        for weight in self.weights:
            weight.requires_grad_(False)

    def __exit__(self, *exception):
        for weight in self.weights:
            weight.requires_grad_(True)
