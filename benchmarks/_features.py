"""Features of real images and texts from frozen pre-trained networks, computed once.

They are kept beside the archives in the cache folder of `benchmarks._data`. Nothing is
made up where an archive can't be had: that is an error.
"""

import numpy as np

from benchmarks._data import (
    CACHE,
    efficientnet_lite0,
    fashion_mnist,
    minilm_features,
    rotten_tomatoes,
)

N_IMAGES_TRAIN, N_IMAGES_TEST = 4000, 2000
N_REVIEWS_TRAIN, N_REVIEWS_TEST = 4000, 2000
IMAGE_SIDE = 64  # 28 x 28 enlarged: 22 ms an image on one core


def image_features():
    """Return EfficientNet-Lite0 features of Fashion-MNIST as X, y, X_test, y_test.

    1280 float32 numbers an image: the last convolution's output, averaged over places.
    """
    return kept(
        f"fashion_mnist_{N_IMAGES_TRAIN}_{N_IMAGES_TEST}_at_{IMAGE_SIDE}",
        compute_image_features,
    )


def review_features():
    """Return MiniLM features of Rotten Tomatoes reviews as X, y, X_test, y_test.

    384 float32 numbers a review; y says whether the review is "fresh".
    """
    return kept(
        f"rotten_tomatoes_{N_REVIEWS_TRAIN}_{N_REVIEWS_TEST}", compute_review_features
    )


def kept(name, compute):
    """Return the arrays of ``name`` from the cache, computed first if they are absent."""
    path = CACHE / "features" / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        X, y, X_test, y_test = compute()
        np.savez(path, X=X, y=y, X_test=X_test, y_test=y_test)
    with np.load(path) as arrays:
        parts = [arrays[key] for key in ("X", "y", "X_test", "y_test")]
    print(f"features {path.name}: {parts[0].shape} and {parts[2].shape}")
    return parts


def compute_image_features():
    split = fashion_mnist()
    network = efficientnet_lite0()
    rng = np.random.default_rng(0)
    train = rng.permutation(len(split.X_train))[:N_IMAGES_TRAIN]
    test = rng.permutation(len(split.X_test))[:N_IMAGES_TEST]
    return (
        pooled_features(network, split.X_train[train]),
        split.y_train[train],
        pooled_features(network, split.X_test[test]),
        split.y_test[test],
    )


def pooled_features(network, images):
    import torch
    from torch.nn.functional import interpolate

    features = []
    with torch.inference_mode():
        for start in range(0, len(images), 100):
            batch = torch.as_tensor(images[start : start + 100].reshape(-1, 1, 28, 28))
            # the network's own normalisation of bytes
            batch = (batch.float() - 127) / 128
            batch = interpolate(batch, size=(IMAGE_SIDE,) * 2, mode="bilinear")
            maps = network.extract_features(batch.expand(-1, 3, -1, -1))
            features.append(maps.mean(dim=(2, 3)).numpy())
    return np.concatenate(features)


def compute_review_features():
    table = rotten_tomatoes()
    rows = np.random.default_rng(0).permutation(len(table))
    rows = rows[: N_REVIEWS_TRAIN + N_REVIEWS_TEST]
    X = minilm_features(table["text"].iloc[rows])
    y = (table["category"] == "fresh").to_numpy()[rows].astype(int)
    return (
        X[:N_REVIEWS_TRAIN], y[:N_REVIEWS_TRAIN],
        X[N_REVIEWS_TRAIN:], y[N_REVIEWS_TRAIN:],
    )  # fmt: skip
