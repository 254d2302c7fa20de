"""What scikit-learn's checks and the properties run on."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from minimalml.resampling import CoresetAugmentedTransformer, OpenSetCoresetSelector

FEW = OpenSetCoresetSelector(n_clusters=5, random_state=0)
INSTANCES = {
    "OpenSetCoresetSelector": [
        FEW,
        OpenSetCoresetSelector(0.5, stopping_ratio=None, embedding=StandardScaler()),
    ],
    "CoresetAugmentedTransformer": [
        CoresetAugmentedTransformer(StandardScaler(), FEW),
        CoresetAugmentedTransformer(PCA(1), FEW),
    ],
}

ROW_VALUES = {
    "OpenSetCoresetSelector": {
        "X_target": None,
        "sample_domain": lambda n: np.where(np.arange(n) % 7 % 3 == 0, -1.0, 1.0),
    },
    "CoresetAugmentedTransformer": {"X_open": None},
}
ROW_VALUES["CoresetAugmentedTransformer"] |= dict.fromkeys(
    ROW_VALUES["OpenSetCoresetSelector"]
)
