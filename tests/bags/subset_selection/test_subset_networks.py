"""The utility of subsets, proposals and losses, beside what they are by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import kstest

from minimalml._core.groups import GroupIndex
from minimalml.bags import mean_field_update
from minimalml.bags._subset_selection import _networks_torch
from minimalml.bags._subset_selection._networks_torch import (
    balanced_weight,
    build_network,
)

ROUNDING = 1e-10  # of float64 sums of a hundred numbers
SIZES = (4, 1, 6, 3)
contexts = pytest.mark.parametrize("context", [None, "complement", "superset"])


def bags_of(sizes=SIZES, n_features=3, seed=0):
    X = np.random.default_rng(seed).normal(size=(sum(sizes), n_features))
    index = GroupIndex(np.repeat(np.arange(len(sizes)), sizes), sum(sizes))
    return torch.as_tensor(X), index.to("cpu")


def network_of(context="complement", inference="copula", seed=0, **options):
    torch.manual_seed(seed)
    options = {
        "pooling": "sum",
        "hidden_layer_sizes": (5, 4),
        "encoder": "mlp",
    } | options
    return build_network(
        n_features=3, n_components=4, context=context, inference=inference,
        table_seed=0, **options,
    ).double()  # fmt: skip


def masks_of(n_rows, n_masks, seed=1):
    masks = np.random.default_rng(seed).random((n_rows, n_masks)) < 0.5
    return torch.as_tensor(masks, dtype=torch.float64)


@contexts
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), (5, 4)])
def test_gains_are_differences_of_utilities(context, pooling, hidden_layer_sizes):
    options = {"pooling": pooling, "hidden_layer_sizes": hidden_layer_sizes}
    function = network_of(context, **options).set_function
    X, index = bags_of()
    masks = masks_of(len(X), 3)
    gains = function.gains(function.encode(X, index), masks, index)
    for j in range(len(X)):
        with_j, without_j = masks.clone(), masks.clone()
        with_j[j], without_j[j] = 1.0, 0.0
        utilities = [function(X, m, index)[index.codes[j]] for m in (with_j, without_j)]
        np.testing.assert_allclose(
            (utilities[0] - utilities[1]).detach(), gains[j].detach(), atol=ROUNDING
        )


@contexts
def test_the_utility_is_that_of_its_two_sums(context):
    function = network_of(context).set_function
    X, index = bags_of()
    mask = masks_of(len(X), 1)
    found = function(X, mask, index)[:, 0]
    for bag, rows in enumerate(np.split(np.arange(len(X)), np.cumsum(SIZES)[:-1])):
        vectors = function.encoder(X[rows])
        inside, whole = (mask[rows] * vectors).sum(0), vectors.sum(0)
        expected = function.branches[0](inside)
        if context == "complement":
            expected = expected + function.branches[1](whole - inside)
        if context == "superset":
            expected = expected + function.branches[1](torch.cat([inside, whole]))
        torch.testing.assert_close(found[bag], expected[0], atol=ROUNDING, rtol=0)


@contexts
def test_only_with_context_rows_outside_matter(context):
    function = network_of(context, hidden_layer_sizes=(50,)).set_function
    X, index = bags_of()
    mask = masks_of(len(X), 1)
    other = torch.where(mask > 0, X, X + 1.0)
    before, after = function(X, mask, index), function(other, mask, index)
    has_outside = (index.sum(mask[:, 0]) < index.sizes)[:, None]
    is_same = (before - after).abs() < ROUNDING
    assert is_same.all() if context is None else (is_same == ~has_outside).all()


@contexts
def test_logits_are_those_of_the_exact_update(context):
    network = network_of(context)
    X, index = bags_of()
    uniforms = torch.rand(1, len(X), 40_000, dtype=torch.float64)
    with torch.no_grad():
        q = torch.sigmoid(network.recognition(X)).numpy()
        found = network.logits(X, index, uniforms).numpy()
        for bag in range(len(SIZES)):
            rows = np.flatnonzero(index.codes == bag)
            part, alone = X[rows], GroupIndex(np.zeros(len(rows)), len(rows)).to("cpu")

            def utility(masks, part=part, alone=alone):
                columns = torch.as_tensor(masks.T, dtype=torch.float64)
                return network.set_function(part, columns, alone)[0].numpy()

            exact = logit(mean_field_update(utility, q[rows], exact=True))
            # gains spread by less than 0.5: 4 standard deviations of their mean
            np.testing.assert_allclose(found[rows], exact, atol=0.01)


@pytest.mark.parametrize("is_learning", [False, True])
def test_parts_of_samples_make_the_same_mean_and_gradient(monkeypatch, is_learning):
    network, (X, index) = network_of(), bags_of()
    function = network.set_function
    masks, weights = masks_of(len(X), 7), list(function.parameters())
    found = []
    for most in (1 << 20, 2 * len(X) * 5):
        monkeypatch.setattr(_networks_torch, "LEARNING_NUMBERS", most)
        monkeypatch.setattr(_networks_torch, "CHUNK_NUMBERS", most)
        with torch.set_grad_enabled(is_learning):
            mean = function.mean_gains(function.encode(X, index), masks, index)
        found.append([mean])
        if is_learning:
            loss = mean.square().sum()
            found[-1] += torch.autograd.grad(loss, weights, allow_unused=True)
    torch.testing.assert_close(*found, atol=ROUNDING, rtol=0)


def test_no_bag_changes_the_answer_for_another():
    network, (X, index) = network_of(), bags_of()
    with torch.no_grad():
        together = network.predicted_logits(X, index)
        X_one, index_one = X[5:11], GroupIndex(np.zeros(6), 6).to("cpu")
        alone = network.predicted_logits(X_one, index_one)
    torch.testing.assert_close(together[5:11], alone, atol=ROUNDING, rtol=0)


def test_gradients_reach_the_network_whose_turn_it_is():
    network, (X, index) = network_of(), bags_of()
    rows = torch.cat([X, masks_of(len(X), 1), torch.ones(len(X), 1)], dim=1)
    losses = {
        "recognition": network("elbo_loss", rows, index, 3),
        "set_function": network("membership_loss", rows, index, 3, 1.0),
    }
    for name, loss in losses.items():
        network.zero_grad()
        loss.backward()
        parts = {n for n, p in network.named_parameters() if p.grad is not None}
        assert {part.split(".")[0] for part in parts} == {name}
        assert all(p.requires_grad for p in network.parameters())


# --- proposals ---


def still_network(inference, chance=0.3):
    """Proposals of one chance for all rows, with noise of scale 1 and no factors."""
    network = network_of(inference=inference)
    with torch.no_grad():
        for parameter in network.recognition.parameters():
            parameter.zero_()
        network.recognition.chance.bias.fill_(logit(chance))
        if inference == "copula":
            network.recognition.noise.bias[0] = np.log(np.e - 1)  # softplus gives 1
    return network


def test_a_copula_without_factors_is_uniform_noise():
    network, (X, index) = still_network("copula"), bags_of()
    features = network.recognition._features(X)
    draws = network.recognition._dependent(features, index, 2000).detach().numpy()
    assert kstest(draws.ravel(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("inference", ["copula", "independent"])
def test_drawn_subsets_are_zeros_and_ones_with_the_chance_and_its_gradient(
    inference, monkeypatch
):
    monkeypatch.setattr(_networks_torch, "TEMPERATURE", 1e-3)
    network, (X, index) = still_network(inference), bags_of()
    logits, masks = network.recognition.draw(X, index, 5000)
    values = masks.detach().numpy()
    assert (np.abs(values - values.round()) < ROUNDING).all()
    spread = np.sqrt(0.3 * 0.7 / values.size)
    assert values.mean() == pytest.approx(0.3, abs=4 * spread)
    np.testing.assert_allclose(expit(logits.detach()), 0.3)
    (gradient,) = torch.autograd.grad(masks.sum(), network.recognition.chance.bias)
    assert gradient > 0


def test_the_bound_is_expected_utility_plus_entropy():
    network = still_network("independent")
    X, index = bags_of()
    rows = torch.cat([X, masks_of(len(X), 2)], dim=1)
    found, expected = -network.elbo_loss(rows, index, 20_000).item(), 0.0
    for bag in range(len(SIZES)):
        own = np.flatnonzero(index.codes == bag)
        masks = np.indices((2,) * len(own)).reshape(len(own), -1)
        columns = torch.zeros(len(X), masks.shape[1], dtype=torch.float64)
        columns[own] = torch.as_tensor(masks, dtype=torch.float64)
        utilities = network.set_function(X, columns, index)[bag].detach().numpy()
        expected += np.where(masks, 0.3, 0.7).prod(axis=0) @ utilities
        expected -= len(own) * (0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    # utilities spread by less than 0.5
    assert found == pytest.approx(expected / len(SIZES), abs=0.02)


# --- rows that count ---


memberships = st.sampled_from([0, 1, None])  # None: unknown


@given(
    st.lists(st.lists(memberships, min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.4, 1.0, 2.0, None]),
)
def test_all_members_count_and_as_many_others(bags, ratio):
    rows = [member for bag in bags for member in bag]
    y = torch.tensor([float(member or 0) for member in rows])
    is_known = torch.tensor([member is not None for member in rows])
    codes = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    index = GroupIndex(codes, len(codes)).to("cpu")
    drawn, expected = (
        balanced_weight(y, is_known, index, ratio, is_drawn=is_drawn).numpy()
        for is_drawn in (True, False)
    )
    members = np.array([member == 1 for member in rows])
    others = np.array([member == 0 for member in rows])
    assert set(drawn) <= {0.0, 1.0} and (drawn[members] == 1).all()
    assert not drawn[~(members | others)].any()
    for bag in range(len(bags)):
        own = codes == bag
        wanted = (others & own).sum()
        if ratio is not None:
            n_members = (members & own).sum()
            wanted = min(wanted, max(round(ratio * n_members), 1 if ratio else 0))
        assert drawn[others & own].sum() == wanted
        assert expected[others & own].sum() == pytest.approx(wanted, abs=1e-5)
    assert (expected[~others] == drawn[~others]).all()


def test_the_others_are_drawn_evenly_and_anew():
    _, index = bags_of()
    y = torch.zeros(len(index.codes), dtype=torch.float64)
    known = torch.ones(len(y), dtype=torch.bool)
    draws = [balanced_weight(y, known, index, 1.0, is_drawn=True) for _ in range(2000)]
    mean = torch.stack(draws).mean(0).numpy()
    share = np.repeat(1 / np.array(SIZES), SIZES)
    spread = np.sqrt(share * (1 - share) / 2000)
    assert (np.abs(mean - share) <= 4.5 * spread).all()
