"""Nodes of a tree in which a model is wrong more often than on the whole."""

import numpy as np
from scipy.stats import false_discovery_control, hypergeom


def underperforming_nodes(tree, min_size, n):
    """Return columns of a table of at most n nodes, none above another, the worst first.

    ``p_value`` is the chance of as many errors in as many rows drawn without replacement;
    ``p_adjusted`` is Benjamini and Hochberg's over all nodes of at least ``min_size`` rows;
    ``excess_z`` orders them.
    """
    root, total = len(tree.size) - 1, int(tree.n_errors[-1])
    nodes = np.arange(tree.n_leaves, root)
    nodes = nodes[tree.size[nodes] >= min_size] if total else nodes[:0]
    size, n_errors = tree.size[nodes], tree.n_errors[nodes]
    p_value = hypergeom.sf(n_errors - 1, tree.n_leaves, total, size)
    p_adjusted = false_discovery_control(p_value) if len(nodes) else p_value
    rate = total / tree.n_leaves
    deviation = np.sqrt(size * rate * (1 - rate))
    z = np.divide(
        n_errors - size * rate, deviation, out=np.zeros(len(nodes)), where=deviation > 0
    )
    taken = []
    for place in np.lexsort((nodes, -z)):
        if len(taken) == n or z[place] <= 0:
            break
        if not any(_overlap(tree, nodes[place], nodes[other]) for other in taken):
            taken.append(place)
    table = {"node": nodes, "size": size, "n_errors": n_errors, "error_rate": n_errors / np.maximum(size, 1), "p_value": p_value,
             "p_adjusted": p_adjusted, "excess_z": z}  # fmt: skip
    return {name: values[taken] for name, values in table.items()}


def _overlap(tree, a, b):
    """Whether one node is above the other: then their slices of the leaves meet."""
    return (
        tree.start[a] < tree.start[b] + tree.size[b]
        and tree.start[b] < tree.start[a] + tree.size[a]
    )
