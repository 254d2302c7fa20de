"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from minimalml.bags import MultipleInstanceClassifier, MultipleInstanceMLPClassifier
from minimalml.neural_network import Training


def network(max_epochs=15, **options):
    # float64: a row alone and among others then rounds to the same prediction
    return MultipleInstanceMLPClassifier(
        (16,), max_epochs=max_epochs, learning_rate=0.02, batch_size=16,
        training=Training(optimizer="adamw", dtype="float64"), **options,
    )  # fmt: skip


INSTANCES = {
    "MultipleInstanceClassifier": [
        MultipleInstanceClassifier(),
        MultipleInstanceClassifier(LogisticRegression(), update="impute"),
        MultipleInstanceClassifier(GaussianNB()),
    ],
    "MultipleInstanceMLPClassifier": [
        network(),
        network(pooling="concepts", n_concepts=4, max_epochs=30),
        network(pooling="attention"),
    ],
}
NEEDS_TORCH = {"MultipleInstanceMLPClassifier"}
ROW_VALUES = {
    # no weights: those that the estimator inside may take have no bag
    "MultipleInstanceClassifier": {"sample_weight": None}
}
