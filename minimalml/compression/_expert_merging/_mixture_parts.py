"""What a fitted mixture of experts consists of, wherever it stands: weights, routing."""

from minimalml._core.arrays import to_numpy
from minimalml._core.models.delegation import last_step, rows_of_last_step
from minimalml._core.training.network import FLOATS
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.compression._expert_merging._expert_weights import ExpertWeights
from minimalml.compression._expert_merging._mixture import MixtureOfExpertsClassifier


def expert_weights(estimator):
    """Copy the weights of a mixture's experts, layer by layer.

    Parameters
    ----------
    estimator : estimator
        A fitted `MixtureOfExpertsClassifier`, or a pipeline, search or other
        meta-estimator around one.

    Returns
    -------
    list of ExpertWeights
        Of each layer: ``hidden_in`` input matrices (n_experts, expert_width, width) and
        biases, ``hidden_out`` output matrices (n_experts, width, expert_width),
        ``shared`` their biases. Compressed matrices are multiplied out.

    Raises
    ------
    TypeError
        If there is no such mixture.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from minimalml.compression import MixtureOfExpertsClassifier, expert_weights
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(100, random_state=0)
    >>> model = MixtureOfExpertsClassifier(4, max_epochs=1).fit(X, y)
    >>> expert_weights(model)[0].hidden_in[0].shape
    (4, 32, 32)
    """
    import torch

    def stack(layer, name, attribute):
        tensors = [getattr(getattr(e, name), attribute) for e in layer.experts]
        return to_numpy(torch.stack(tensors))

    return [
        ExpertWeights(
            (stack(layer, "w_in", "weight"), stack(layer, "w_in", "bias")),
            (stack(layer, "w_out", "weight"),),
            (stack(layer, "w_out", "bias"),),
        )
        for layer in find_mixture(estimator).module_.layers
    ]


def routing_statistics(estimator, X):
    """Measure how a mixture of experts routes rows.

    Parameters
    ----------
    estimator : estimator
        A fitted `MixtureOfExpertsClassifier`, or a pipeline, search or other
        meta-estimator around one.

    X : array-like of shape (n_samples, n_features)
        Rows, as the estimator takes them.

    Returns
    -------
    list of RoutingStatistics
        Of each layer the ``frequency`` of its router's outputs (n_experts,), their shares
        of all choices, and their ``logits`` (n_samples, n_experts).

    Raises
    ------
    TypeError
        If there is no such mixture.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If ``X`` is not as in its fit.

    Examples
    --------
    >>> from minimalml.compression import MixtureOfExpertsClassifier, routing_statistics
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(100, random_state=0)
    >>> model = MixtureOfExpertsClassifier(4, max_epochs=1).fit(X, y)
    >>> [statistics] = routing_statistics(model, X)
    >>> statistics.logits.shape, statistics.frequency.shape
    ((100, 4), (4,))
    """
    mixture = find_mixture(estimator)
    return mixture._routings(rows_of_mixture(estimator, X))


def find_mixture(estimator, *, is_changed=False):
    """Return the fitted mixture inside ``estimator``; one to change is not compressed."""
    mixture = last_step(estimator)
    way_out = (
        "put the weights of another model into ExpertWeights, and take align_experts, "
        "merge_experts and decompose_weight."
    )
    if not isinstance(mixture, MixtureOfExpertsClassifier):
        raise TypeError(
            "estimator must be a MixtureOfExpertsClassifier, or a pipeline, search or "
            f"other meta-estimator around one, got {type(mixture).__name__}: {way_out}"
        )
    check_is_fitted(mixture)
    first = mixture.module_.layers[0].experts[0]
    if is_changed and hasattr(first.w_in, "left"):
        raise TypeError(
            "estimator has compressed experts, which can't be merged or compressed "
            f"again: give the mixture as it was before, or {way_out}"
        )
    return mixture


def rows_of_mixture(estimator, X):
    """Return checked rows as the mixture inside ``estimator`` sees them."""
    mixture, rows = last_step(estimator), rows_of_last_step(estimator, X)
    return validate_data(mixture, rows, dtype=FLOATS, reset=False)
