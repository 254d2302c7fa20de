"""What scikit-learn's checks and the properties run on."""

from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB

from minimalml.resampling import OnlineBatchClassifier, UtilityDiversitySelector

INSTANCES = {
    "UtilityDiversitySelector": [
        UtilityDiversitySelector(),
        UtilityDiversitySelector(3, projection="none", balance=False),
    ],
    "OnlineBatchClassifier": [
        OnlineBatchClassifier(SGDClassifier(random_state=0), max_epochs=5),
        OnlineBatchClassifier(
            GaussianNB(), UtilityDiversitySelector(0.5), batch_size=8
        ),
    ],
}
WEIGHTS = "a row that is repeated is selected anew; one that weighs more is not"
EXPECTED_FAILED_CHECKS = {
    "OnlineBatchClassifier": {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
    }
}
