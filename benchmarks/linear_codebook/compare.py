"""A step of the codebook, beside ways to write it with a graph of all words.

"cdist, whole graph" does what the codebook of vector-quantize-pytorch does: all words with
gradients, `torch.cdist`, an index. "products, whole graph" differs from ours by the graph
alone. A fit is compared with that of a free codebook: what the linear layer costs.
"""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import mse_loss

from benchmarks.compare import Comparison
from minimalml.compression import LinearCodebook, SimVectorQuantizer

N_STEPS = 5  # short, so that the best of many runs is one without a neighbour


def codebook_and_vectors(n_codes, n_features, n_vectors):
    torch.manual_seed(0)
    book = LinearCodebook(n_codes, n_features)
    vectors = torch.randn(n_vectors, n_features, requires_grad=True)
    return book, vectors, torch.optim.Adam(book.parameters(), 1e-3)


def steps(loss_of, data):
    book, vectors, adam = data
    for _ in range(N_STEPS):
        adam.zero_grad()
        loss_of(book, vectors).backward()
        adam.step()


def ours(book, vectors):
    return book(vectors).loss


def loss_of_taken(words, vectors):
    return mse_loss(words, vectors.detach()) + 0.25 * mse_loss(vectors, words.detach())


def by_products(book, vectors):
    words = book.codebook()
    with torch.no_grad():
        codes = (words.square().sum(1) - 2 * vectors @ words.T).argmin(1)
    return loss_of_taken(words[codes], vectors)


def by_cdist(book, vectors):
    words = book.codebook()
    with torch.no_grad():
        codes = torch.cdist(vectors, words).argmin(1)
    return loss_of_taken(words[codes], vectors)


def comparison_of_steps(n_features, n_vectors):
    return Comparison(
        title=f"{N_STEPS} steps, n words of {n_features} numbers, {n_vectors} vectors",
        setup=partial(codebook_and_vectors, n_features=n_features, n_vectors=n_vectors),
        ours=partial(steps, ours),
        peers={
            "products, whole graph": partial(steps, by_products),
            "cdist, whole graph": partial(steps, by_cdist),
        },
        sizes=(256, 1024, 4096, 16384),
        threads=(1,),
        repeats=40,
        target="1.4 times as fast as a whole graph at 1024 words; less memory",
    )


def rows(n):
    return np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)


def fit(X, codebook="linear"):
    SimVectorQuantizer(
        1024, codebook=codebook, max_epochs=5, device="cpu", random_state=0
    ).fit(X)


COMPARISONS = [
    comparison_of_steps(32, 256),
    comparison_of_steps(128, 64),
    Comparison(
        title="A fit of 5 epochs to n rows of 64 columns, 1024 words of 32 numbers",
        setup=rows,
        ours=fit,
        peers={"free codebook": partial(fit, codebook="free")},
        sizes=(2_000, 8_000),
        threads=(1,),
        repeats=5,
        target="at most 1.2 times the time of a free codebook",
    ),
]
