"""Messages of counts beside two NumPy routes, and steps on up to a million rows.

No package has a factor of counts: users write a convolution in the log domain, or a DFT
over counts. llp-learn and PGMax, the peers by name, have neither.
"""

import numpy as np
from scipy.sparse import csr_array
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.compare import Comparison
from minimalml._core.groups import GroupIndex
from minimalml.bags import LabelProportionClassifier, aggregate_targets
from minimalml.bags._label_proportions._propagation import Propagation

N_BAGS = 4  # of the first table
N_STEPS = 5  # of the second


def bags_of_odds(size):
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_BAGS, size)), np.full(N_BAGS, size // 3)


def by_kernel(data):
    odds, counts = data
    n_bags, size = odds.shape
    index = GroupIndex(np.repeat(np.arange(n_bags), size), odds.size)
    empty = csr_array((odds.size, odds.size))
    options = {"similarity_strength": 1.0, "bag_strength": np.inf}
    state = Propagation(empty, index, counts / size, prior=odds.ravel(), **options)
    state.step(0.0)
    return state.bag_messages.reshape(n_bags, size)


def by_convolution(data):
    """Log-domain convolution, each row left out by itself."""
    messages = np.empty(data[0].shape)
    for bag, (odds, count) in enumerate(zip(*data, strict=True)):
        yes, no = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
        # laws of the count of the others: a row of the table for each row left out
        law = np.full((len(odds), count + 2), -np.inf)
        law[:, 0] = 0.0
        for row in range(len(odds)):
            more = np.logaddexp(law[:, 1:] + no[row], law[:, :-1] + yes[row])
            kept = law[row].copy()
            law[:, 0] += no[row]
            law[:, 1:] = more
            law[row] = kept
        messages[bag] = law[:, count - 1] - law[:, count]
    return messages


def by_dft(data):
    """Leave-one-out spectra, one DFT a row."""
    messages = np.empty(data[0].shape)
    for bag, (odds, count) in enumerate(zip(*data, strict=True)):
        size = len(odds)
        tilt = np.log(count / (size - count)) - odds.mean()
        p = 1 / (1 + np.exp(-odds - tilt))
        n = size + 1 + size % 2
        root = np.exp(-2j * np.pi * np.arange(n) / n)
        factors = np.log(1 - p[:, None] + p[:, None] * root)
        law = np.fft.ifft(np.exp(factors.sum(0) - factors), axis=1).real.clip(1e-300)
        messages[bag] = np.log(law[:, count - 1] / law[:, count]) + tilt
    return messages


def agree():
    data = bags_of_odds(64)
    expected = by_convolution(data)
    worst = max(np.abs(f(data) - expected).max() for f in (by_kernel, by_dft))
    print(f"bags of 64: routes differ by {worst:.1e} at most")


def graph_of(n):
    """Return a graph of five neighbours a row that lie anywhere, and labels."""
    rng = np.random.default_rng(0)
    i = np.arange(n).repeat(5)
    graph = csr_array((rng.uniform(size=5 * n), (i, rng.integers(0, n, 5 * n))), (n, n))
    graph.sum_duplicates()
    return (graph + graph.T).tocsr(), rng.uniform(size=n) < 0.3


def steps(bag_size):
    def run(data):
        graph, labels = data
        index = GroupIndex(np.arange(len(labels)) // bag_size, len(labels))
        options = {"similarity_strength": 1.5, "bag_strength": np.inf}
        state = Propagation(graph, index, index.mean(labels), **options)
        for _ in range(N_STEPS):
            state.step(0.5)

    return run


def rows_in_bags(n):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 10)) + 2 * labels[:, None]
    bags = np.arange(n) // 16
    return X, labels, aggregate_targets(labels, bags), bags


COMPARISONS = [
    Comparison(
        title=f"Messages of {N_BAGS} bags of n rows",
        setup=bags_of_odds,
        ours=by_kernel,
        peers={"log-domain convolution": by_convolution, "DFT": by_dft},
        sizes=(64, 512, 4096),
        peer_limits={"log-domain convolution": 512, "DFT": 512},
        threads=(1,),
        repeats=5,
        target="20 times as fast as both at 64 and 512",
        afterwards=agree,
    ),
    Comparison(
        title=f"{N_STEPS} steps on n rows of 5 neighbours in bags of 64",
        setup=graph_of,
        ours=steps(64),
        peers={f"bags of {size}": steps(size) for size in (8, 512, 4096)},
        sizes=(10_000, 100_000, 1_000_000),
        repeats=1,
        target="0.15 s a step at 100,000 rows on one thread; seconds and MB linear in n",
    ),
    Comparison(
        title="Fit on n rows in bags of 16",
        setup=rows_in_bags,
        ours=lambda data: LabelProportionClassifier().fit(data[0], data[2], data[3]),
        peers={
            "HistGradientBoosting, all labels": lambda data: (
                HistGradientBoostingClassifier(random_state=0).fit(data[0], data[1])
            )
        },
        sizes=(1_000, 10_000, 50_000),
        repeats=1,
        target="twice the time of the classifier on all labels, at 10,000 rows",
    ),
]
