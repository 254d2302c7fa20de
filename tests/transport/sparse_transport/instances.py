"""What scikit-learn's checks and the properties run on."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from minimalml.transport import SparseTransportMapper, TransportedEstimator

DOMAINS = {"sample_domain": lambda n: np.where(np.arange(n) % 3 == 2, -1, 1)}
ROW_VALUES = {"SparseTransportMapper": DOMAINS, "TransportedEstimator": DOMAINS}

INSTANCES = {
    "SparseTransportMapper": [
        SparseTransportMapper(),
        SparseTransportMapper(3, metric="euclidean"),
    ],
    "TransportedEstimator": [
        TransportedEstimator(LogisticRegression()),
        TransportedEstimator(Ridge(), SparseTransportMapper(5)),
    ],
}
