"""The network of the estimator: a codebook between an encoder and a decoder of rows."""

from numbers import Integral

import torch
from torch import nn

from minimalml._core.training.inference import evaluation_mode
from minimalml._core.training.modules import MLP, copy_module
from minimalml.compression._linear_codebook._linear_codebook_torch import LinearCodebook


class QuantizedAutoencoder(nn.Module):
    """Rows to latent vectors, to words, and back to rows."""

    def __init__(self, encoder, codebook, decoder):
        super().__init__()
        self.encoder, self.codebook, self.decoder = encoder, codebook, decoder

    def forward(self, X):
        """Return reconstructed rows, and the loss of the codebook."""
        quantized, _, loss = self.codebook(self.encoder(X))
        return self.decoder(quantized), loss


def build_autoencoder(
    encoder, decoder, n_features, hidden_layer_sizes, n_codes, n_components, **options
):
    """Return a network of the user's encoder and decoder, copied, or of built-in ones."""
    if (encoder is None) != (decoder is None):
        missing = "encoder" if encoder is None else "decoder"
        raise ValueError(
            f"encoder and decoder must be given both or neither, got no {missing}."
        )
    if encoder is None:
        sizes = list(hidden_layer_sizes)
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes must be integers of at least 1, got {sizes!r}."
            )
        encoder = MLP(n_features, sizes, n_components)
        decoder = MLP(n_components, sizes[::-1], n_features)
    else:
        encoder, decoder = _copied("encoder", encoder), _copied("decoder", decoder)
    codebook = LinearCodebook(n_codes, n_components, **options)
    return QuantizedAutoencoder(encoder, codebook, decoder)


def _copied(name, module):
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module, got {type(module).__name__}."
        )
    return copy_module(module)


def check_widths(network, n_features, n_components):
    """Raise where encoder or decoder give rows of another length than they must."""
    like = network.codebook.basis
    _check_width(
        "encoder", network.encoder, like.new_zeros(2, n_features), n_components
    )
    _check_width(
        "decoder", network.decoder, like.new_zeros(2, n_components), n_features
    )


def _check_width(name, module, rows, n_columns):
    try:
        with evaluation_mode(module), torch.no_grad():
            found = module(rows)
    except RuntimeError as error:
        raise ValueError(
            f"{name} must take rows of {rows.shape[1]} columns, and fails on two: {error}"
        ) from error
    is_tensor = isinstance(found, torch.Tensor)
    shape = tuple(found.shape) if is_tensor else type(found).__name__
    if shape != (len(rows), n_columns):
        wanted = "n_components" if name == "encoder" else "n_features"
        raise ValueError(
            f"{name} must give {wanted}={n_columns} columns, got shape {shape} for "
            f"{len(rows)} rows."
        )
