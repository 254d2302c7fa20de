"""Build the Cython kernels; all metadata live in pyproject.toml.

Every ``minimalml/**/*.pyx`` becomes an extension, so a new kernel needs no edit here.

Environment variables
---------------------
MINIMALML_DEBUG       bounds checks and the address sanitizer
MINIMALML_ANNOTATE    write Cython's annotated HTML beside the generated C
"""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
DEBUG = bool(os.environ.get("MINIMALML_DEBUG"))


def extensions():
    kernels = sorted(p.relative_to(ROOT) for p in ROOT.glob("minimalml/**/*.pyx"))
    if not kernels:
        raise SystemExit("minimalml: no .pyx found, the source tree is incomplete.")
    common = dict(
        include_dirs=[np.get_include(), "minimalml/_core"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=[
            str(p.relative_to(ROOT))
            for p in ROOT.glob("minimalml/**/*.[ph]*")
            if p.suffix in {".h", ".pxd"}
        ],
    )
    # The C of the shared utility module is generated: one copy of Cython's own
    # support code instead of one a kernel (5 s and 200 kB each).
    shared = Extension("minimalml._cyutility", ["minimalml/_cyutility.c"], **common)
    return [shared] + [
        Extension(".".join(p.with_suffix("").parts), [str(p)], **common)
        for p in kernels
    ]


def cythonized():
    return cythonize(
        extensions(),
        build_dir="build/cython",
        shared_utility_qualified_name="minimalml._cyutility",
        annotate=bool(os.environ.get("MINIMALML_ANNOTATE")),
        compiler_directives=dict(
            language_level=3,
            boundscheck=DEBUG,
            wraparound=False,
            initializedcheck=DEBUG,
            cdivision=True,
            freethreading_compatible=True,
        ),
    )


class BuildKernels(build_ext):
    """Compile in parallel."""

    def initialize_options(self):
        super().initialize_options()
        self.parallel = os.cpu_count()

    def build_extensions(self):
        if self.compiler.compiler_type != "msvc":
            # Not -ffast-math (it breaks NaN handling and reproducibility) and not
            # -march=native (the wheel would crash on older processors).
            flags = ["-g0", "-fno-math-errno", "-fno-trapping-math"]
            sanitize = ["-fsanitize=address,undefined"] if DEBUG else []
            for extension in self.extensions:
                extension.extra_compile_args = [
                    "-O1" if DEBUG else "-O3", *flags, *sanitize
                ]  # fmt: skip
                extension.extra_link_args = sanitize
        super().build_extensions()


setup(ext_modules=cythonized(), cmdclass={"build_ext": BuildKernels})
