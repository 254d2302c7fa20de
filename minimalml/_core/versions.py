"""What is installed, for bug reports."""

import platform
import sys
from importlib import metadata

import threadpoolctl

import minimalml
from minimalml._core.threads import effective_n_threads

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "Cython",
    "torch", "dask", "matplotlib", "pandas",
)  # fmt: skip


def installed_version(package):
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def show_versions():
    """Print the versions and thread pools that a bug report should name.

    Examples
    --------
    >>> import minimalml
    >>> minimalml.show_versions()  # doctest: +ELLIPSIS
    minimalml: ...
    """
    print(f"minimalml: {minimalml.__version__}")
    print(f"python: {sys.version.split()[0]} on {platform.platform()}")
    for package in PACKAGES:
        print(f"{package}: {installed_version(package) or 'not installed'}")
    print(f"threads of a kernel: {effective_n_threads()}")
    for pool in threadpoolctl.threadpool_info():
        print(f"thread pool: {pool['prefix']}, {pool['num_threads']} threads")
