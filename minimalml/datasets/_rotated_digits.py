"""Digits turned by an angle that a colour betrays, until the colour lies.

The construction of the rotated, coloured images of Yao et al. (C-Mixup, NeurIPS 2022),
on scikit-learn's digits.
"""

from numbers import Integral, Real

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state

from minimalml._core.validation import Interval, StrOptions, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "images": ["array-like", None],
        "aligned_fraction": [Interval(Real, 0, 1, closed="both")],
        "cue": [StrOptions({"color", "background"})],
        "max_angle": [Interval(Real, 0, 360, closed="right")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_rotated_digits(
    n_samples=1000,
    *,
    images=None,
    aligned_fraction=0.8,
    cue="color",
    max_angle=60.0,
    random_state=None,
):
    """Make images of turned digits, whose angle is the target, with a false cue.

    In most rows (the aligned domain) a colour goes with the angle, in the others it
    goes against it. A model that reads the colour does well until the shares change:
    train with ``aligned_fraction=0.8`` and test with 0.2.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of images.

    images : array-like of shape (n_images, height, width), default=None
        Images with values in [0, 1], drawn with replacement; give different ones for
        training and test. None takes scikit-learn's digits, 8 by 8.

    aligned_fraction : float, default=0.8
        Share of rows where the cue goes with the angle.

    cue : {"color", "background"}, default="color"
        What carries it: the digit's colour, from blue to red, or the brightness of a
        third channel around the digit.

    max_angle : float, default=60.0
        Angles are uniform in [0, max_angle] degrees.

    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable.

    Returns
    -------
    X : ndarray of shape (n_samples, 3 * height * width)
        Images with three channels, in [0, 1], channel by channel.

    y : ndarray of shape (n_samples,)
        Angles in degrees.

    domains : ndarray of int of shape (n_samples,)
        0 where the cue goes with the angle, 1 where it goes against it.

    Examples
    --------
    >>> from minimalml.datasets import make_rotated_digits
    >>> X, y, domains = make_rotated_digits(50, random_state=0)
    >>> X.shape, y.shape, round(float(domains.mean()), 1)
    ((50, 192), (50,), 0.2)
    """
    rng = check_random_state(random_state)
    images = load_digits().images / 16.0 if images is None else np.asarray(images)
    chosen = images[rng.randint(len(images), size=n_samples)]
    y = rng.uniform(0.0, max_angle, size=n_samples)
    domains = np.zeros(n_samples, dtype=int)
    domains[round(aligned_fraction * n_samples) :] = 1
    rng.shuffle(domains)
    turned = np.stack(
        [
            rotate(image, angle, reshape=False, order=1)
            for image, angle in zip(chosen, y, strict=True)
        ]
    )
    level = np.where(domains == 0, y, max_angle - y) / max_angle
    level = level[:, None, None]
    if cue == "color":
        channels = [turned * level, turned * (1.0 - level), np.zeros_like(turned)]
    else:
        channels = [turned, turned, (1.0 - turned) * level]
    return np.stack(channels, axis=1).reshape(n_samples, -1), y, domains
