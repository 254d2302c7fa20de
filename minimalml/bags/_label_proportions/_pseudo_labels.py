"""From shares of bags to labels of rows: what both classifiers do before they learn."""

import numpy as np
from scipy.special import expit

from minimalml._core.groups import GroupIndex
from minimalml._core.validation import StrOptions
from minimalml.bags._bag_estimator import (
    ProportionClassifierMixin,
    encode_proportions,
)
from minimalml.bags._label_proportions._propagation import (
    MOST,
    PROPAGATION_CONSTRAINTS,
    Propagation,
    is_pure,
)
from minimalml.bags._label_proportions._similarity_graph import (
    GRAPH_CONSTRAINTS,
    similarity_graph,
)

LABELLING_CONSTRAINTS = {
    **GRAPH_CONSTRAINTS,
    "similarity_strength": PROPAGATION_CONSTRAINTS["similarity_strength"],
    "bag_strength": PROPAGATION_CONSTRAINTS["bag_strength"],
    "pseudo_labels": [StrOptions({"hard", "soft", "count"})],
}
# The words on these, which the docstrings of both classes get.
PARAMETERS = {
    "n_neighbors": """int
    Nearest rows that each row is connected with.""",
    "metric": """str or callable
    Which rows are near, as `sklearn.neighbors.NearestNeighbors` takes it.""",
    "length_scale": """float or "median"
    Euclidean distance at which the similarity of two rows is 1/e; "median" is that of
    connected rows.""",
    "similarity_strength": """float
    How much similar rows ought to have the same label; 0 lets each bag stand alone.""",
    "bag_strength": """float
    How much the count of a bag's positive rows matters: at inf it holds exactly, and is
    rounded to a whole number.""",
    "pseudo_labels": """{"hard", "soft", "count"}
    What rows are learnt as: the likelier class; the probability of the positive class;
    or, in each bag, as many positive rows as it has, the likeliest ones.""",
    "max_iter": """int
    Largest number of steps of belief propagation.""",
    "damping": """float
    What a message keeps of its old value in a step, in [0, 1).""",
    "tol": """float
    Changes of messages, in log-odds, below which propagation ends.""",
}
ATTRIBUTES = {
    "classes_": """ndarray of shape (2,)
    Labels, the positive one second; 0 and 1 where y holds shares.""",
    "label_probability_": """ndarray of shape (n_samples,)
    Of each training row, the probability of being positive.""",
    "log_odds_": """ndarray of shape (n_samples,)
    The same as log-odds.""",
    "pseudo_labels_": """ndarray of shape (n_samples,)
    What the training rows were learnt as: labels, or probabilities if "soft".""",
    "converged_": """bool
    Whether belief propagation settled.""",
    "n_features_in_": """int
    Number of features seen by `fit`.""",
    "feature_names_in_": """ndarray of shape (n_features_in_,)
    Names of features seen by `fit`, if all are strings.""",
}


class PseudoLabelMixin(ProportionClassifierMixin):
    """Label the training rows; both classifiers have the parameters for it."""

    def _label_rows(self, X, index, shares, *, metric, task=None, **options):
        """Set what is believed of the rows, and return their labels or probabilities.

        ``options`` are ``max_iter``, ``damping`` and ``tol`` of belief propagation.
        """
        if index.is_singletons:
            return self._take_labels(index.expand(shares))
        graph = similarity_graph(
            X,
            n_neighbors=self.n_neighbors,
            metric=metric,
            length_scale=self.length_scale,
        )
        propagation = Propagation(
            graph,
            index,
            shares,
            similarity_strength=self.similarity_strength,
            bag_strength=self.bag_strength,
        )
        beliefs = propagation.run(task=task, **options)
        self.label_probability_, self.log_odds_ = beliefs.probability, beliefs.log_odds
        self.n_iter_, self.converged_ = beliefs.n_iter, beliefs.converged
        self.pseudo_labels_ = make_pseudo_labels(
            self.pseudo_labels, beliefs.log_odds, propagation.counts, index
        )
        return self.pseudo_labels_

    def _take_labels(self, codes):
        """Believe labels."""
        self.label_probability_, self.log_odds_ = codes, MOST * (2.0 * codes - 1.0)
        self.n_iter_, self.converged_ = 1, True
        self.pseudo_labels_ = self.classes_[codes.astype(np.intp)]
        return codes


def check_bags(y, bags):
    """Return the two classes, the bags, and the share of positive rows in each."""
    index = GroupIndex(bags, len(y))
    classes, shares = encode_proportions(y, bags, index)
    is_fraction = (shares > 0) & (shares < 1)
    if index.is_singletons and is_fraction.any():
        raise ValueError(
            "y must be 0 or 1 where each bag has one row, got "
            f"{shares[is_fraction.argmax()]:g}: pass the rows' bags."
        )
    if shares.max() == 0 or shares.min() == 1:
        raise ValueError(
            f"all proportions are {shares[0]:g}: only one class, y needs both."
        )
    return classes, index, shares


def make_pseudo_labels(kind, log_odds, counts, index):
    """Return a label 0 or 1, or a probability, of each row."""
    if kind == "count":
        order = np.lexsort((-log_odds, index.codes))  # stable: ties to the lower row
        ranks = np.arange(len(order)) - index.offsets[index.codes[order]]
        labels = np.empty(len(order), dtype=np.intp)
        labels[order] = ranks < np.rint(counts)[index.codes[order]]
    else:
        labels = expit(log_odds) if kind == "soft" else (log_odds >= 0).astype(np.intp)
        pure = index.expand(is_pure(counts, index))
        labels[pure] = index.expand(counts > 0)[pure]
    if labels.min() == 1 or labels.max() == 0:
        _refuse_one_class(kind, log_odds, labels[0])
    return labels


def _refuse_one_class(kind, log_odds, label):
    probability = expit(log_odds)
    extreme, value = (
        ("smallest", probability.min()) if label else ("largest", probability.max())
    )
    advice = "try 'count' or 'soft'" if kind == "hard" else "try a finite bag_strength"
    raise ValueError(
        f"pseudo_labels={kind!r} gives one class only ({extreme} probability "
        f"{value:.2g}); {advice}."
    )
