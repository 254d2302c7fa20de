"""What scikit-learn's checks and the properties run on."""

from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from minimalml.inspection import SmootherAnalysis

INSTANCES = {
    "SmootherAnalysis": [
        SmootherAnalysis(RandomForestRegressor(10, bootstrap=False)),
        SmootherAnalysis(Ridge()),
    ]
}
