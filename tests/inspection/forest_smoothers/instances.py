"""What scikit-learn's checks and the properties run on."""

from sklearn.ensemble import RandomForestRegressor
from sklearn.neighbors import KNeighborsRegressor

from minimalml.inspection import SmootherAnalysis

INSTANCES = {
    "SmootherAnalysis": [
        SmootherAnalysis(RandomForestRegressor(10, bootstrap=False)),
        SmootherAnalysis(KNeighborsRegressor(3)),
    ]
}
