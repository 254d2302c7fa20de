"""A codebook whose words are one linear layer of frozen random vectors.

A step moves only the words that were taken, or here: the layer, and with it all words,
so that none stays behind (Zhu et al., arXiv:2411.02038).
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding, mse_loss, pad

from minimalml._core.validation import Integral, Interval, Real, validate_params

# Distances held at once, those of a chunk of rows to all words: 64 MB of float32.
MAX_DISTANCES = 2**24
# Columns a block: the fastest of 16 to 128, up to 4096 words.
BLOCK = 32

AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


def nearest_codes(rows, codebook):
    """Return the number of the nearest word to each row, the lowest of equal ones."""
    half_norms = codebook.square().sum(1) / 2
    chunks = rows.split(max(1, MAX_DISTANCES // len(codebook)))
    codes = [
        lowest_argmin(torch.addmm(half_norms, chunk, codebook.T, alpha=-1))
        for chunk in chunks
    ]
    return torch.cat(codes)


def lowest_argmin(values):
    """Return the first place of the minimum in each row.

    On a CPU torch's `amin` is vectorised and its `argmin` is not: the block of the
    minimum is found first, in half the time or less.
    """
    n_missing = -values.shape[1] % BLOCK
    if n_missing:
        values = pad(values, (0, n_missing), value=float("inf"))
    blocks = values.unflatten(1, (-1, BLOCK))  # (n_rows, n_blocks, BLOCK)
    first = blocks.amin(2).argmin(1)
    rows = torch.arange(len(first), device=first.device)
    return first * BLOCK + blocks[rows, first].argmin(1)


def full_precision(device_type):
    """Return a context without autocast: near words differ by less than it keeps."""
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


class Quantized(NamedTuple):
    """What `LinearCodebook` makes of vectors: themselves as words, codes, and a loss."""

    quantized: torch.Tensor
    codes: torch.Tensor
    loss: torch.Tensor


class LinearCodebook(nn.Module):
    """Quantise vectors inside a network, by a codebook whose words all move.

    A layer for a network with a discrete bottleneck that is trained as a whole. Add its
    ``loss`` to that of the network. A plain codebook (``free=True``) moves only the words
    that were taken, and most of a large one dies. Use it for vectors of at least 16
    numbers and hundreds of words; not for fixed vectors, where k-means is better.
    A step costs O(n_codes n_features (n_vectors + n_basis)) time and, beyond the words,
    memory for at most 2^24 distances.

    Parameters
    ----------
    n_codes : int
        Number of words.

    n_features : int
        Length of a word and of the vectors.

    n_basis : int, default=None
        Length of the random vectors behind the words. None is ``n_features``.

    bias : bool, default=True
        Whether the layer has a bias; a free codebook has none.

    free : bool, default=False
        Whether to train the words themselves, as plain vector quantisation does.

    train_basis : bool, default=False
        Whether the random vectors are trained beside the layer.

    commitment_weight : float, default=0.25
        What the distance counts for that draws vectors to their words, beside the one
        that draws words to their vectors.

    channel_axis : int, default=-1
        Axis of length ``n_features``: 1 for images of shape (n, n_features, height,
        width).

    Attributes
    ----------
    basis : tensor of shape (n_codes, n_basis)
        The random vectors: a buffer, a parameter if they are trained; the words
        themselves if ``free``.

    linear : torch.nn.Linear or None
        From basis to words; None if ``free``.

    Raises
    ------
    ValueError
        If a parameter is out of range, or ``free`` meets ``n_basis`` or ``train_basis``.

    See Also
    --------
    SimVectorQuantizer : The same in an autoencoder of rows, as an estimator.
    codebook_usage : How many words are in use.

    Notes
    -----
    With words ``B = C W' + 1 b'`` and k the nearest to z, the output is b_k, its gradient
    handed on to z as it is, and the loss ``mean((b_k - sg z)²) + commitment_weight
    mean((sg b_k - z)²)``, over vectors and features; sg stops gradients. For G the
    gradient by B, a step of gradient descent moves B by ``-rate (C C' + 1 1') G``: all
    rows, though G is 0 but in the rows of words that were taken.

    References
    ----------
    .. [1] Zhu, Li, Xin, Xia, Xu, "Addressing Representation Collapse in Vector Quantized
       Models with One Linear Layer", 2024. arXiv:2411.02038

    Examples
    --------
    >>> import torch
    >>> from minimalml.compression import LinearCodebook
    >>> codebook = LinearCodebook(512, 16, channel_axis=1)
    >>> quantized, codes, loss = codebook(torch.randn(2, 16, 8, 8))
    >>> codes.shape, torch.allclose(codebook.decode(codes), quantized, atol=1e-5)
    (torch.Size([2, 8, 8]), True)
    """

    @validate_params(
        {
            "n_codes": [AT_LEAST_1],
            "n_features": [AT_LEAST_1],
            "n_basis": [AT_LEAST_1, None],
            "bias": ["boolean"],
            "free": ["boolean"],
            "train_basis": ["boolean"],
            "commitment_weight": [Interval(Real, 0, None, closed="left")],
            "channel_axis": [Integral],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        n_codes,
        n_features,
        *,
        n_basis=None,
        bias=True,
        free=False,
        train_basis=False,
        commitment_weight=0.25,
        channel_axis=-1,
    ):
        super().__init__()
        if free and (train_basis or n_basis is not None):
            raise ValueError(
                "free=True has no basis behind its words, got "
                f"train_basis={train_basis}, n_basis={n_basis}."
            )
        n_basis = n_features if n_basis is None else n_basis
        self.n_codes, self.n_features = n_codes, n_features
        self.commitment_weight, self.channel_axis = commitment_weight, channel_axis
        basis = torch.randn(n_codes, n_basis) / n_basis**0.5
        if free or train_basis:
            self.basis = nn.Parameter(basis)
        else:
            self.register_buffer("basis", basis)
        self.linear = None if free else nn.Linear(n_basis, n_features, bias=bias)

    def extra_repr(self):
        """Return what the printed module says of itself."""
        return f"{self.n_codes}, {self.n_features}"

    def forward(self, z):
        """Return the nearest words, their numbers, and the loss to add.

        Parameters
        ----------
        z : tensor of floats of shape (..., n_features, ...)
            Vectors along ``channel_axis``.

        Returns
        -------
        Quantized
            ``quantized`` like z; ``codes`` of its shape without the axis; ``loss``, a
            scalar.

        Raises
        ------
        ValueError
            If z has no axis ``channel_axis`` of length ``n_features``, or no floats.
        """
        self._check(z)
        with full_precision(z.device.type):
            moved = z.movedim(self.channel_axis, -1)
            rows = moved.reshape(-1, self.n_features).to(self._dtype)
            with torch.no_grad():
                codes = nearest_codes(rows, self.codebook())
            # of the taken words alone: the same gradients without a graph of all words
            words = self._words(codes)
            loss = mse_loss(words, rows.detach())
            loss = loss + self.commitment_weight * mse_loss(rows, words.detach())
            quantized = rows + (words - rows).detach()
        quantized = (
            quantized.to(z.dtype).view(moved.shape).movedim(-1, self.channel_axis)
        )
        return Quantized(quantized, codes.view(moved.shape[:-1]), loss)

    def codebook(self):
        """Return all words, shape (n_codes, n_features)."""
        return self._layer(self.basis)

    def decode(self, codes):
        """Return the words of codes.

        Parameters
        ----------
        codes : tensor of int
            Numbers of words, in any shape.

        Returns
        -------
        tensor of shape (..., n_features, ...)
            Words along ``channel_axis``, in place of which codes have no axis.

        Raises
        ------
        ValueError
            If codes are not integers.
        """
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(f"codes must be integers, got dtype {codes.dtype}.")
        return self._words(codes.long()).movedim(-1, self.channel_axis)

    @property
    def _dtype(self):
        """Of distances and losses: at least float32."""
        return torch.promote_types(self.basis.dtype, torch.float32)

    def _words(self, codes):
        return self._layer(embedding(codes, self.basis))

    def _layer(self, basis):
        with full_precision(basis.device.type):
            words = basis if self.linear is None else self.linear(basis)
        return words.to(self._dtype)

    def _check(self, z):
        axis, n_features = self.channel_axis, self.n_features
        if not -z.ndim <= axis < z.ndim or z.shape[axis] != n_features:
            raise ValueError(
                f"z must have n_features={n_features} numbers along channel_axis={axis}, "
                f"got shape {tuple(z.shape)}."
            )
        if not z.is_floating_point():
            raise ValueError(f"z must be of floats, got {z.dtype}.")
