"""Linear models for few labels, and for many features of which few matter.

`NaiveBayesProbe` classifies features of a frozen network, in one pass and from few labels;
`generative_discriminative_curve` finds the number of labels from which another classifier
is better.

`MutualInformationScreener` keeps the columns of a wide table that tell most about the
target. `NonconvexRegressor` and `NonconvexClassifier` find those that matter in a linear
model, without shrinking their coefficients.

`QGaussianMixedRegressor` fits rows that come in groups, and bad groups do not pull it away.
"""

from minimalml.datasets import make_gaussian_classes
from minimalml.linear_model._mixed_effects._mixed_effects import (
    QGaussianMixedRegressor,
)
from minimalml.linear_model._mixed_effects._q_gaussian import q_gaussian_logpdf
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
from minimalml.linear_model._nonconvex._nonconvex import NonconvexRegressor
from minimalml.linear_model._nonconvex._nonconvex_classifier import NonconvexClassifier
from minimalml.linear_model._proximal import (
    accelerated_proximal_gradient,
    proximal_conjugate_gradient,
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
    "NonconvexClassifier",
    "NonconvexRegressor",
    "QGaussianMixedRegressor",
    "RegimeCurveDisplay",
    "accelerated_proximal_gradient",
    "birge_rozenholc_bins",
    "class_moments",
    "cross_validate_naive_bayes",
    "generative_discriminative_curve",
    "make_gaussian_classes",
    "mutual_information_scores",
    "proximal_conjugate_gradient",
    "q_gaussian_logpdf",
]
