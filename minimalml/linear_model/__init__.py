"""Linear classifiers on the features of a frozen pre-trained network.

`NaiveBayesProbe` is fitted in one pass and needs few labels;
`generative_discriminative_curve` finds the number of labels from which another
classifier, such as logistic regression, is better.

`MutualInformationScreener` keeps the columns of a wide table that tell most about the
target, before a model is fitted.
"""

from minimalml.datasets import make_gaussian_classes
from minimalml.linear_model._naive_bayes_probe._moments import (
    ClassMoments,
    class_moments,
)
from minimalml.linear_model._naive_bayes_probe._naive_bayes_probe import (
    NaiveBayesProbe,
    cross_validate_naive_bayes,
)
from minimalml.linear_model._naive_bayes_probe._regime_curve import (
    RegimeCurveDisplay,
    generative_discriminative_curve,
)
from minimalml.linear_model._screening._binning import birge_rozenholc_bins
from minimalml.linear_model._screening._screening import (
    MutualInformationScreener,
    mutual_information_scores,
)

__all__ = [
    "ClassMoments",
    "MutualInformationScreener",
    "NaiveBayesProbe",
    "RegimeCurveDisplay",
    "birge_rozenholc_bins",
    "class_moments",
    "cross_validate_naive_bayes",
    "generative_discriminative_curve",
    "make_gaussian_classes",
    "mutual_information_scores",
]
