"""Time an epoch beside the published form, which draws subsets for each row apart.

The published code evaluates the utility with and without each row of each set on a
subset of its own: v x v masks a sample. Same networks, optimisers and numbers of samples;
proposals are drawn independently in both.
"""

import numpy as np

from benchmarks.compare import Comparison
from minimalml.bags import SubsetSelector
from minimalml.neural_network import Training

N_SETS, N_FEATURES, N_SAMPLES = 128, 2, 5
N_COMPONENTS, WIDTHS = 256, [500, 500]


def setup(set_size):
    """Return rows, members and bags of 128 sets of this size; a tenth are members."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SETS * set_size, N_FEATURES)).astype(np.float32)
    y = (np.arange(len(X)) % set_size < max(1, set_size // 10)).astype(int)
    return X, y, np.repeat(np.arange(N_SETS), set_size)


def ours(data):
    SubsetSelector(
        encoder="linear", n_components=N_COMPONENTS, hidden_layer_sizes=WIDTHS,
        inference="independent", n_samples=N_SAMPLES, batch_size=N_SETS, max_epochs=1,
        device="cpu", random_state=0, training=Training(gradient_clip=10.0),
    ).fit(*data)  # fmt: skip


def masks_for_each_row(data):
    """Train as the published code does: dense sets, a subset for each row and sample."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as loss_of
    from torch.nn.functional import one_hot, softplus

    from minimalml._core.training.modules import MLP

    X, y, _ = data
    set_size = len(X) // N_SETS
    X = torch.as_tensor(X).reshape(N_SETS, set_size, N_FEATURES)
    y = torch.as_tensor(y).reshape(N_SETS, set_size)
    encoder, own_encoder = (torch.nn.Linear(N_FEATURES, N_COMPONENTS) for _ in "ab")
    inside, outside, chances = (MLP(N_COMPONENTS, WIDTHS, 1) for _ in "abc")
    function = torch.nn.ModuleList([encoder, inside, outside])
    proposals = torch.nn.ModuleList([own_encoder, chances])
    optimizers = [
        torch.optim.Adam(part.parameters(), weight_decay=1e-5, fused=True)
        for part in (proposals, function)
    ]

    def utility(masks):
        vectors = encoder(X)[:, None]
        sums = masks @ vectors
        return (inside(sums) + outside(vectors.sum(2, keepdim=True) - sums))[..., 0]

    def step(loss, part, optimizer):
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(part.parameters(), 10.0)
        optimizer.step()

    logits = chances(own_encoder(X))[..., 0]
    noise = torch.rand(N_SETS, N_SAMPLES, set_size).logit(eps=1e-6)
    chance = torch.sigmoid((logits[:, None] + noise) / 0.1)
    masks = chance + (torch.bernoulli(chance.detach()) - chance.detach())
    psi = torch.sigmoid(logits)
    entropy = (psi * softplus(-logits) + (1 - psi) * softplus(logits)).sum(1)
    elbo = (utility(masks[:, :, None])[..., 0].mean(1) + entropy).mean()
    step(-elbo, proposals, optimizers[0])

    with torch.no_grad():
        psi = torch.sigmoid(chances(own_encoder(X))[..., 0])
    own = one_hot(torch.arange(set_size)).float()
    drawn = torch.rand(N_SETS, N_SAMPLES, set_size, set_size) < psi[:, None, None]
    gains = utility(drawn * (1 - own) + own) - utility(drawn * (1 - own))
    n_members = y.sum(1, keepdim=True)
    order = (torch.rand(y.shape) - 2.0 * y).argsort(1).argsort(1)
    losses = loss_of(gains.mean(1), y.float(), reduction="none")
    step((losses * (order < 2 * n_members)).sum() / N_SETS, function, optimizers[1])


COMPARISONS = [
    Comparison(
        title=f"An epoch of {N_SETS} sets of n rows, vectors of {N_COMPONENTS}, layers "
        "of 500 and 500",
        setup=setup,
        ours=ours,
        peers={"a subset for each row": masks_for_each_row},
        sizes=(10, 30, 100),
        repeats=2,
        target="at least 3x as fast at sets of 100",
    ),
]
