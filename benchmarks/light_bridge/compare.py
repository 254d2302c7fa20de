"""A fit by expectation and maximisation beside the published loop and its relatives.

The published loop is torch's Adam on minibatches, with mixtures of `torch.distributions`.
A `GaussianMixture` of the target does a like iteration on one sample. Sinkhorn's plan
knows the rows it was computed for, and needs memory for all pairs of them.
"""

import warnings
from functools import cache, partial
from importlib import import_module

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from benchmarks.compare import Comparison
from benchmarks.light_bridge.pairs import known_pair
from minimalml.transport import LightSchrodingerBridge

N_FEATURES, N_COMPONENTS, EPSILON, N_ITER = 8, 10, 1.0, 30
BATCH_SIZE, CHECK_EVERY, MAX_STEPS = 128, 100, 5_000
CLOSE = 0.02  # in the loss, between what counts as the same


def two_samples(n):
    return known_pair(n, N_FEATURES, EPSILON, seed=0)[1:]


def with_held_out(n):
    """Also draw new rows, and the loss on them that a fit reaches; import torch."""
    import_module("torch")
    truth, X0, X1 = known_pair(n, N_FEATURES, EPSILON, seed=0)
    rows = np.random.RandomState(1).normal(size=(2_000, N_FEATURES))
    new = rows, truth.sample_conditional(rows, random_state=1)[:, 0]
    return X0, X1, new, -score(fit((X0, X1)), new) + CLOSE


def score(bridge, samples):
    domain = np.repeat([1, -1], [len(X) for X in samples])
    return bridge.score(np.vstack(samples), sample_domain=domain)


def fit(data, **options):
    options = {"epsilon": EPSILON, "random_state": 0} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        bridge = LightSchrodingerBridge(N_COMPONENTS, **options)
        return bridge.fit_samples(*data[:2])


def fit_iterations(data, covariance_type="diag"):
    fit(data, init="samples", tol=0, max_iter=N_ITER, covariance_type=covariance_type)


def fit_mixture(data, covariance_type="diag"):
    """Fit a mixture to the target for the same number of iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(
            N_COMPONENTS, covariance_type=covariance_type, tol=0, max_iter=N_ITER,
            init_params="random_from_data", random_state=0,
        ).fit(data[1])  # fmt: skip


def fit_as_published(data):
    """Adam in torch, until the loss on new rows is the same; diagonal matrices."""
    import torch

    torch.manual_seed(0)
    X0, X1, *new = (
        torch.as_tensor(X, dtype=torch.float32) for X in (*data[:2], *data[2])
    )
    goal = data[3]
    r = X1[torch.randperm(len(X1))[:N_COMPONENTS]].clone().requires_grad_()
    log_weights = torch.zeros(N_COMPONENTS, requires_grad=True)
    log_S = torch.full(r.shape, np.log(0.1), requires_grad=True)
    optimizer = torch.optim.Adam([r, log_weights, log_S], lr=1e-2)

    def loss(X0, X1):
        S = log_S.exp()
        parts = torch.distributions.Normal(r, (EPSILON * S).sqrt())
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=log_weights),
            torch.distributions.Independent(parts, 1),
        )
        exponent = (X0[:, None] * S * X0[:, None]).sum(-1) + 2 * X0 @ r.T
        terms = log_weights - log_weights.logsumexp(0) + exponent / (2 * EPSILON)
        return terms.logsumexp(1).mean() - mixture.log_prob(X1).mean()

    for step in range(MAX_STEPS):
        batches = (X[torch.randint(len(X), (BATCH_SIZE,))] for X in (X0, X1))
        value = loss(*batches)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                if loss(*new) <= goal:
                    return


def with_pot(n):
    """Import what would else be in the time of the peer."""
    import_module("ot")  # codespell:ignore ot
    return two_samples(n)


def sinkhorn(data):
    import ot as pot  # codespell:ignore ot

    X0, X1 = data
    shares = np.full(len(X0), 1 / len(X0))
    return pot.sinkhorn(shares, shares, pot.dist(X0, X1) / 2, EPSILON, warn=False)


@cache
def bridge():
    return fit(two_samples(5_000))


def rows_to_draw(n):
    bridge()
    return np.random.default_rng(0).normal(size=(n, N_FEATURES))


def draw_as_published(X):
    """Draw through a mixture of all components for each row."""
    import torch

    model = bridge()
    X, S, r, log_weights = (
        torch.as_tensor(part, dtype=torch.float32)
        for part in (X, model.covariances_, model.means_, model.log_weights_)
    )
    with torch.no_grad():
        exponent = (X[:, None] * S * X[:, None]).sum(-1) + 2 * X @ r.T
        parts = torch.distributions.Normal(r + S * X[:, None], (EPSILON * S).sqrt())
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(
                logits=log_weights + exponent / 2 / EPSILON
            ),
            torch.distributions.Independent(parts, 1),
        ).sample()


COMPARISONS = [
    Comparison(
        title=f"{N_ITER} iterations, diagonal, n rows of each sample, {N_FEATURES} features",
        setup=two_samples,
        ours=fit_iterations,
        peers={"GaussianMixture of the target": fit_mixture},
        sizes=(5_000, 20_000, 80_000),
        threads=(1,),
        target="at most 2.5 times the mixture's time, for two samples; linear in n",
    ),
    Comparison(
        title=f"{N_ITER} iterations, full, n rows of each sample, {N_FEATURES} features",
        setup=two_samples,
        ours=partial(fit_iterations, covariance_type="full"),
        peers={"GaussianMixture of the target": partial(fit_mixture, covariance_type="full")},
        sizes=(5_000, 20_000, 80_000),
        threads=(1,),
        target="at most 2.5 times the mixture's time, for two samples; linear in n",
    ),
    Comparison(
        title=f"A whole fit; the peer to {CLOSE} above its loss on new rows, "
        f"or {MAX_STEPS} steps",
        setup=with_held_out,
        ours=fit,
        peers={
            "Adam in torch, as published": fit_as_published,
            "adam here, 2000 steps": partial(fit, solver="adam", init="samples"),
        },
        sizes=(1_000, 5_000, 20_000),
        threads=(1,),
        repeats=1,
        target="the published loop takes at least 3 times as long",
    ),
    Comparison(
        title="A whole fit beside a plan of all pairs of rows",
        setup=with_pot,
        ours=fit,
        peers={"Sinkhorn of POT": sinkhorn},
        sizes=(500, 2_000, 4_000),
        threads=(1,),
        repeats=1,
    ),
    Comparison(
        title="Draw an end for each of n rows",
        setup=rows_to_draw,
        ours=lambda X: bridge().sample_conditional(X, random_state=0),
        peers={"torch, as published": draw_as_published},
        sizes=(1_000, 10_000, 100_000),
        threads=(1,),
    ),
]  # fmt: skip
