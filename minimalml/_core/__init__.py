"""Ground floor: what two families or more stand on. No estimator lives here."""

import sklearn
from sklearn.utils.fixes import parse_version

SKLEARN_FLOOR = "1.9"

# The callback API that every iterative estimator uses came with this version.
if parse_version(sklearn.__version__) < parse_version(SKLEARN_FLOOR):
    raise ImportError(
        f"minimalml needs scikit-learn >= {SKLEARN_FLOOR}, found "
        f"{sklearn.__version__}: run pip install 'scikit-learn>={SKLEARN_FLOOR}'."
    )
