import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, multivariate_t

from minimalml.linear_model import q_gaussian_logpdf

SCALE = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 0.8]])
MEAN = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("df", [0.3, 1, 4.5, 1e4])
def test_it_is_the_multivariate_t_density(rng, df):
    x = 3 * rng.normal(size=(20, 3))
    expected = multivariate_t(MEAN, SCALE, df).logpdf(x)
    np.testing.assert_allclose(q_gaussian_logpdf(x, MEAN, SCALE, df=df), expected)
    one = q_gaussian_logpdf(x[0], MEAN, SCALE, df=df)
    assert isinstance(one, float) and one == pytest.approx(expected[0])


def test_a_number_as_scale_is_a_multiple_of_the_identity(rng):
    x = rng.normal(size=(5, 3))
    expected = q_gaussian_logpdf(x, [0.5] * 3, 2.5 * np.eye(3), df=3)
    np.testing.assert_allclose(q_gaussian_logpdf(x, 0.5, 2.5, df=3), expected)


@pytest.mark.parametrize("df", [1e9, 1e12, np.inf])
def test_many_degrees_of_freedom_are_gaussian(rng, df):
    x = 3 * rng.normal(size=(20, 3))
    expected = multivariate_normal(MEAN, SCALE).logpdf(x)
    found = q_gaussian_logpdf(x, MEAN, SCALE, df=df)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(df=st.floats(0.3, 50), x=st.floats(-20, 20))
def test_it_is_a_power_law_of_the_tsallis_index(df, x):
    n = 3
    q = 1 + 2 / (df + n)
    beta = (
        1 / (2 * df) * (df + n)
    )  # of exp_q(-beta x²) = (1 + (q - 1) beta x²)^(1/(1-q))
    ratio = q_gaussian_logpdf([x, 0, 0], 0, 1, df=df) - q_gaussian_logpdf([0.0] * 3, 0, 1, df=df)  # fmt: skip
    expected = np.log1p((q - 1) * beta * x**2) / (1 - q)
    assert ratio == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_marginals_keep_the_degrees_of_freedom():
    scale = SCALE[:2, :2]

    def joint(second):
        return np.exp(q_gaussian_logpdf([0.7, second], 0, scale, df=2.5))

    marginal = quad(joint, -np.inf, np.inf)[0]
    expected = np.exp(q_gaussian_logpdf([0.7], 0, scale[:1, :1], df=2.5))
    assert marginal == pytest.approx(expected, rel=1e-8)


def test_one_draw_cannot_tell_its_degrees_of_freedom(rng):
    x = rng.standard_t(3, size=200)

    def best_over_scales(df):
        return max(
            q_gaussian_logpdf(x, 0, s, df=df) for s in np.mean(x**2) * np.logspace(-1, 1, 201)
        )  # fmt: skip

    values = [best_over_scales(df) for df in (0.3, 1, 3, 10, 100, 1e4, np.inf)]
    assert np.all(np.diff(values) > 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"df": 0}, "'df' parameter"),
        ({"df": np.nan}, "'df' parameter"),
        ({"scale": -1.0}, "'scale' parameter"),
        ({"scale": np.eye(2)}, r"scale must be .* shape \(3, 3\), got shape \(2, 2\)"),
        ({"scale": SCALE + np.triu(SCALE)}, "symmetric matrix"),
        ({"scale": -SCALE}, "must be positive definite"),
        ({"scale": np.full((3, 3), np.nan)}, "scale contains NaN"),
        ({"mean": [0, 0]}, r"mean be a number or have shape \(n,\)"),
        ({"mean": [0, 0, np.inf]}, "mean contains infinity"),
        ({"x": np.zeros((1, 1, 3))}, "x must have shape"),
        ({"x": [0.0, 0.0, np.nan]}, "x contains NaN"),
    ],
)
def test_bad_arguments_are_named(changes, words):
    arguments = {"x": [0.0, 0.0, 1.0], "mean": 0.0, "scale": SCALE, "df": 4}
    with pytest.raises(ValueError, match=words):
        q_gaussian_logpdf(**(arguments | changes))
