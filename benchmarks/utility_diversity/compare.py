"""The nuclear norm beside singular values, and a batch's selection beside a training step.

Singular values are what the authors' code computes, sample by sample, with a complex
transform of all padded positions. The selection has to cost little beside the backward pass
that it spares.
"""

import numpy as np

from benchmarks.compare import Comparison
from minimalml.resampling import UtilityDiversitySelector, nuclear_norm

N_SAMPLES, N_POSITIONS, N_KEPT, N_CLASSES = 8, 64, 2, 5000
BATCH, LONG, N_KEPT_OF_BATCH, WIDTH, PADDED = 32, 128, 8, 256, 512


def logits_of(n_classes, n_samples=N_SAMPLES, n_positions=N_POSITIONS):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, n_positions, n_classes)).astype(np.float32)


def as_tensors(logits):
    import torch

    return torch.from_numpy(logits)


def torch_singular_values(logits):
    import torch

    return torch.linalg.svdvals(as_tensors(logits)).sum(-1)


def running(logits):
    """Return a selector with a full buffer, and a batch."""
    selector = UtilityDiversitySelector(N_KEPT, random_state=0)
    for _ in range(3):
        selector.select(logits)
    selector._memory.push(np.ones_like(selector.buffer_[:1]).repeat(1024, axis=0))
    return selector, logits


def sample_by_sample(data):
    """Singular values and complex transforms of padded samples, as the authors'."""
    import torch

    selector, logits = data
    known, scores = torch.from_numpy(selector.buffer_), []
    generator = torch.Generator().manual_seed(0)
    n_classes = logits.shape[2]
    columns = torch.randint(n_classes, (128,), generator=generator)
    rows = torch.randint(PADDED, (8,), generator=generator)
    for sample in as_tensors(logits):
        padded = torch.zeros(PADDED, n_classes)
        padded[: len(sample)] = sample
        z = torch.fft.fft(padded, dim=1)[:, columns]
        z = torch.fft.fft(z, dim=0)[rows].real.reshape(1, -1)
        scores.append(torch.linalg.svdvals(sample).sum() + torch.cdist(z, known).mean())
    return torch.stack(scores).topk(N_KEPT)


def training_step(n_layers):
    """Return a transformer of n layers, a batch, its logits, and a running selector."""
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True
    )
    network = torch.nn.Sequential(
        torch.nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False),
        torch.nn.Linear(WIDTH, N_CLASSES),
    )
    X = torch.randn(N_KEPT_OF_BATCH, LONG, WIDTH)
    logits = as_tensors(logits_of(N_CLASSES, BATCH, LONG))
    selector = UtilityDiversitySelector(N_KEPT_OF_BATCH, random_state=0)
    for _ in range(2):
        selector.select(logits)
    return network, X, logits, selector


def select_from_tensors(data):
    data[3].select(data[2])


def forward_and_backward(data):
    network, X, *_ = data
    loss = network(X).logsumexp(-1).mean()
    loss.backward()


COMPARISONS = [
    Comparison(
        title=f"Nuclear norms of {N_SAMPLES} x {N_POSITIONS} x n logits, float32",
        setup=logits_of,
        ours=nuclear_norm,
        peers={
            "torch.linalg.svdvals": torch_singular_values,
            "ours on tensors": lambda logits: nuclear_norm(as_tensors(logits)),
        },
        sizes=(500, 5000, 50_000),
        peer_limits={"torch.linalg.svdvals": 5000},
        threads=(1,),
        target="at 5000 at least 5 times as fast as singular values; linear in n",
    ),
    Comparison(
        title=f"Select {N_KEPT} of {N_SAMPLES} samples of {N_POSITIONS} x n, full buffer",
        setup=lambda n: running(logits_of(n)),
        ours=lambda data: data[0].select(data[1]),
        peers={"sample by sample": sample_by_sample},
        sizes=(500, 5000, 50_000),
        peer_limits={"sample by sample": 5000},
        threads=(1,),
        target="at least 5 times as fast as the authors' way",
    ),
    Comparison(
        title=(
            f"Select {N_KEPT_OF_BATCH} of {BATCH} sequences of {LONG} x {N_CLASSES} as "
            f"tensors, and train n layers of width {WIDTH} on those kept"
        ),
        setup=training_step,
        ours=select_from_tensors,
        peers={"forward and backward of the kept": forward_and_backward},
        sizes=(2, 6, 12),
        threads=(1,),
        repeats=2,
        target="35 % of the step at the most: a ratio of 2.9",
    ),
]
