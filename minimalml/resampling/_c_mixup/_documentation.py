"""The words on parameters that several classes of C-Mixup share, once."""

from sklearn.base import BaseEstimator

from minimalml._core.training.documentation import ATTRIBUTES, complete_docstring

PARAMETERS = {
    "ratio": """float
    Mixed rows per original row; 0 is no mixing. Each row is a source ``ratio`` times; of
    a fraction, a random part of the rows.""",
    "keep_original": """bool
    Whether the original rows come first in the result.""",
    "alpha": """float
    lambda ~ Beta(alpha, alpha): large values mix halves, small ones hardly mix.""",
    "lambda_per": """{"pair", "batch"}
    Whether each pair has its own lambda, or all pairs (of a minibatch) share one.""",
    "categorical_features": """array-like of bool, int or str, "from_dtype" or None
    Columns that are never interpolated, as a mask, indices or names: each is taken whole
    from the row with the larger lambda. "from_dtype" takes all columns of a data frame
    that aren't numeric (booleans are). None: all columns are numbers.""",
    "bandwidth": """float
    Width h of the kernel of labels, in standard deviations of the target if
    ``standardize_target``, else in its units. Small: partners with nearly the same
    label; infinity: any partner, which is plain mixup.""",
    "kernel": """{"gaussian", "tophat", "uniform"}
    How the probability of a partner falls with the distance d: "gaussian" is
    exp(-d^2 / (2 h^2)), "tophat" is 1 where d <= h, "uniform" is 1.""",
    "standardize_target": """bool
    Whether to divide each column of the target by its (weighted) standard deviation
    before distances are taken. A constant column is not scaled.""",
    "metric": """{"target", "input", "target_and_input"}
    What the distance d compares: labels, the numeric columns of X, or both, by the
    product of the two kernels. Rows of X are compared as they are given: scale them.""",
    "input_bandwidth": """float or None
    Width of the kernel of inputs; None takes ``bandwidth``.""",
    "exclude_self": """bool
    Whether a row can't be its own partner.""",
    "max_neighbors": """int or None
    Draw among this many nearest rows only, found by a k-d tree: faster for several
    targets or distances of inputs, and approximate. None draws among all rows.""",
    "random_state": """int, RandomState instance or None
    An int makes the result repeatable.""",
}


def document_mixing(cls):
    """Add to the docstring of a class what it leaves to the shared words."""
    names = (
        ("n_features_in_", "feature_names_in_")
        if issubclass(cls, BaseEstimator)
        else ()
    )
    return complete_docstring(
        cls, PARAMETERS, {name: ATTRIBUTES[name] for name in names}
    )
