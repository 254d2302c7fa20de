"""What scikit-learn's checks and the properties run on."""

from minimalml.FAMILY import CLASS

INSTANCES = {"CLASS": [CLASS(), CLASS(strength=0.5)]}
