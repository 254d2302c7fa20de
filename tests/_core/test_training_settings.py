import inspect
import pickle

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from minimalml._core.training.documentation import document_training
from minimalml.neural_network import Training
from tests._core.networks import TinyRegressor

BAD_VALUES = {
    "optimizer": "adagrad",
    "schedule": "cosin",
    "warmup_epochs": -1,
    "gradient_clip": 0.0,
    "validation_fraction": 1.0,
    "n_iter_no_change": 0,
    "tol": -1e-4,
    "weight_average": 1.0,
    "dtype": "float16",
    "amp": "half",
    "compile": "yes",
    "checkpoint": 3,
}


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((40, 3))
    return X, X[:, 0]


def test_every_setting_is_documented_and_checked():
    names = list(inspect.signature(Training).parameters)
    assert [p.name for p in ClassDoc(Training)["Parameters"]] == names
    assert list(Training._parameter_constraints) == names == list(BAD_VALUES)


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_setting_is_refused_at_fit_by_its_full_name(rows, name):
    model = TinyRegressor(training=Training(**{name: BAD_VALUES[name]}))
    with pytest.raises(ValueError, match=rf"'training\.{name}' parameter of TinyR"):
        model.fit(*rows)


def test_anything_else_is_no_training(rows):
    with pytest.raises(ValueError, match="'training' parameter of TinyRegressor"):
        TinyRegressor(training={"schedule": "cosine"}).fit(*rows)


def test_none_stands_for_the_defaults(rows):
    first, second = (
        TinyRegressor(training=training).fit(*rows).predict(rows[0])
        for training in (None, Training())
    )
    np.testing.assert_array_equal(first, second)


def test_a_search_reaches_the_settings(rows):
    grid = {"training__schedule": ["constant", "cosine"]}
    search = GridSearchCV(TinyRegressor(training=Training()), grid, cv=2).fit(*rows)
    curves = [
        clone(search.best_estimator_).set_params(training__schedule=s).fit(*rows)
        for s in ("constant", "cosine")
    ]
    assert curves[0].loss_curve_ != curves[1].loss_curve_
    assert search.best_params_["training__schedule"] in ("constant", "cosine")


def test_settings_are_copied_with_their_estimator():
    model = TinyRegressor(training=Training(schedule="cosine"))
    assert clone(model).training is not model.training
    assert clone(model).training.schedule == "cosine"
    assert pickle.loads(pickle.dumps(model)).training.schedule == "cosine"


def test_shared_words_stand_in_signature_order_with_the_defaults_of_the_class():
    @document_training
    class Network:
        """Do something.

        Parameters
        ----------
        width : int, default=3
            Own words.

        batch_size : int, default=16
            At least 2, in this class.

        flavour : str, default="sour"
            Own words again.

        Attributes
        ----------
        taste_ : float
            Own.

        Examples
        --------
        >>> 1 + 1
        2
        """

        def __init__(self, width=3, max_epochs=70, batch_size=16, *, flavour="sour",
                     device="auto", training=None):  # fmt: skip
            pass

    doc = ClassDoc(Network)
    parameters = {p.name: p for p in doc["Parameters"]}
    assert list(parameters) == list(inspect.signature(Network).parameters)
    assert parameters["batch_size"].desc == ["At least 2, in this class."]
    assert parameters["max_epochs"].type == "int, default=70"
    assert parameters["device"].type == "str or torch.device, default='auto'"
    assert [a.name for a in doc["Attributes"]][:2] == ["taste_", "module_"]
    assert doc["Examples"] == [">>> 1 + 1", "2"]


def test_shared_words_make_a_section_where_there_is_none():
    @document_training
    class Network:
        """Do something.

        Parameters
        ----------
        width : int, default=3
            Own words.
        """

        def __init__(self, width=3, verbose=0):
            pass

    doc = ClassDoc(Network)
    assert [p.name for p in doc["Parameters"]] == ["width", "verbose"]
    assert "loss_curve_" in [a.name for a in doc["Attributes"]]
