"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from minimalml.bags import LabelProportionClassifier, LabelProportionMLPClassifier
from minimalml.neural_network import Training

NEEDS_TORCH = {"LabelProportionMLPClassifier"}

INSTANCES = {
    "LabelProportionClassifier": [
        LabelProportionClassifier(),
        LabelProportionClassifier(
            LogisticRegression(), pseudo_labels="soft", bag_strength=2.0
        ),
        LabelProportionClassifier(SVC(), pseudo_labels="count"),
    ],
    "LabelProportionMLPClassifier": [
        # float64: a row alone and among others then rounds to the same prediction
        LabelProportionMLPClassifier(
            (16,), max_epochs=30, learning_rate=1e-2, training=Training(dtype="float64")
        ),
    ],
}
