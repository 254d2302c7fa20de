"""What scikit-learn's checks and the properties run on."""

from minimalml.linear_model import MutualInformationScreener

INSTANCES = {
    "MutualInformationScreener": [
        MutualInformationScreener(),
        MutualInformationScreener(0.5, method="binning"),
    ]
}
