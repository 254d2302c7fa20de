"""Scores by bag for searches: one truth and one prediction a bag."""

from inspect import signature

from sklearn.utils import column_or_1d
from sklearn.utils.metadata_routing import get_routing_for_object

from minimalml._core.groups import GroupIndex
from minimalml._core.validation import MetadataRequester, check_response_method
from minimalml.bags._aggregates import check_how, reduce_by


def make_bag_scorer(
    score_func,
    *,
    how="mean",
    response_method="predict",
    weight_by_size=False,
    greater_is_better=True,
):
    """Make a scorer that compares bags instead of rows.

    With metadata routing on, searches and cross-validation hand it ``bags``; no request
    has to be set. Without, call it as ``scorer(estimator, X, y, bags)``.

    Parameters
    ----------
    score_func : callable
        ``score_func(y_true, y_pred)`` of one value a bag, such as scikit-learn's
        metrics.

    how : {"mean", "sum", "max", "min", "first", "size"}, default="mean"
        How the outputs of a bag's rows make one; see `aggregate_by_bag`. An estimator
        whose method takes ``bags`` gives the bag's own output on each row, of which the
        first is taken.

    response_method : str or list of str, default="predict"
        The method that is called, or the first that the estimator has. Of two columns
        the second counts, the positive class.

    weight_by_size : bool, default=False
        Whether ``score_func`` gets the numbers of rows as ``sample_weight``.

    greater_is_better : bool, default=True
        False is for losses: the scorer returns their negative.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, bags=None)`` returns a float, greater is better.

    Raises
    ------
    ValueError
        If ``how`` is unknown; when scoring, if y varies within a bag.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.metrics import mean_absolute_error
    >>> from minimalml.bags import make_bag_scorer
    >>> scorer = make_bag_scorer(mean_absolute_error, greater_is_better=False)
    >>> X, y, bags = np.zeros((4, 1)), np.array([1.0, 1.0, 2.0, 2.0]), [0, 0, 1, 1]
    >>> scorer(DummyRegressor().fit(X, y), X, y, bags)
    -0.5
    """
    check_how(how)
    sign = 1 if greater_is_better else -1
    return BagScorer(score_func, how, response_method, weight_by_size, sign)


class BagScorer(MetadataRequester):
    """What `make_bag_scorer` returns."""

    __metadata_request__score = {"bags": True}

    def __init__(self, score_func, how, response_method, weight_by_size, sign):
        self.score_func = score_func
        self.how = how
        self.response_method = response_method
        self.weight_by_size = weight_by_size
        self.sign = sign

    def __repr__(self):
        name = getattr(self.score_func, "__name__", repr(self.score_func))
        return (
            f"make_bag_scorer({name}, how={self.how!r}, "
            f"response_method={self.response_method!r}, "
            f"weight_by_size={self.weight_by_size}, "
            f"greater_is_better={self.sign > 0})"
        )

    def score(self, estimator, X, y, bags=None):
        """Score an estimator; routing reads what it takes from here."""
        y = column_or_1d(y)
        index = GroupIndex(bags, len(y))
        outputs = self._outputs(estimator, X, index, bags)
        options = {"sample_weight": index.sizes} if self.weight_by_size else {}
        return self.sign * self.score_func(index.constant(y), outputs, **options)

    __call__ = score

    def _outputs(self, estimator, X, index, bags):
        """Return one output a bag."""
        method = check_response_method(estimator, self.response_method)
        takes_bags = bags is not None and _takes_bags(estimator, method)
        outputs = method(X, bags=bags) if takes_bags else method(X)
        if outputs.ndim == 2 and outputs.shape[1] == 2:
            outputs = outputs[:, 1]
        return reduce_by(index, outputs, "first" if takes_bags else self.how)

    def _accept_sample_weight(self):
        """Tell scikit-learn that weights of rows have no meaning here."""
        return False


def _takes_bags(estimator, method):
    """Whether a method takes bags, perhaps to hand them on to a pipeline's last step."""
    if "bags" in signature(method).parameters:
        return True
    routing = get_routing_for_object(estimator)
    return bool(routing.consumes(method.__name__, {"bags"}))
