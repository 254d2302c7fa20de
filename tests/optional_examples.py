"""A plugin for runs without the optional packages: ``-p tests.optional_examples``."""

from doctest import UnexpectedException

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip a docstring's example at the package that it lacks."""
    try:
        return (yield)
    except UnexpectedException as failure:
        error = failure.exc_info[1]
        if not isinstance(error, ImportError):
            raise
        pytest.skip(str(error))
