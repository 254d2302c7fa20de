"""What scikit-learn's checks and the properties run on."""

from minimalml.compression import Pyramid

INSTANCES = {"Pyramid": [Pyramid(), Pyramid(strength=0.5)]}
