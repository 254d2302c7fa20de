"""Build the Cython kernels; all metadata live in pyproject.toml.

Every ``minimalml/**/*.pyx`` becomes an extension, so a new kernel needs no edit here.

Environment variables
---------------------
MINIMALML_NO_OPENMP   build single-threaded kernels
MINIMALML_DEBUG       bounds checks and the address sanitizer
MINIMALML_ANNOTATE    write Cython's annotated HTML beside the generated C
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

ROOT = Path(__file__).parent
DEBUG = bool(os.environ.get("MINIMALML_DEBUG"))

OPENMP_FLAGS = {
    "msvc": (["/openmp"], []),
    "darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
    "unix": (["-fopenmp"], ["-fopenmp"]),
}
OPENMP_PROGRAM = (
    "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
)


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
    """Compile in parallel, with OpenMP where the compiler has it."""

    def initialize_options(self):
        super().initialize_options()
        self.parallel = os.cpu_count()

    def build_extensions(self):
        compile_flags, link_flags = self.openmp_flags()
        if self.compiler.compiler_type != "msvc":
            # Not -ffast-math (it breaks NaN handling and reproducibility) and not
            # -march=native (the wheel would crash on older processors).
            compile_flags = compile_flags + [
                "-O1" if DEBUG else "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"
            ]  # fmt: skip
            if DEBUG:
                sanitize = ["-fsanitize=address,undefined"]
                compile_flags, link_flags = (
                    compile_flags + sanitize,
                    link_flags + sanitize,
                )
        for extension in self.extensions:
            extension.extra_compile_args = compile_flags
            extension.extra_link_args = link_flags
        super().build_extensions()

    def openmp_flags(self):
        if os.environ.get("MINIMALML_NO_OPENMP"):
            return [], []
        kind = self.compiler.compiler_type
        if kind == "unix" and os.uname().sysname == "Darwin":
            kind = "darwin"
        compile_flags, link_flags = OPENMP_FLAGS.get(kind, OPENMP_FLAGS["unix"])
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "openmp.c")
            source.write_text(OPENMP_PROGRAM)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                self.compiler.link_executable(
                    objects, str(Path(folder, "openmp")), extra_postargs=link_flags
                )
            except (CompileError, LinkError):
                print("minimalml: no OpenMP here, kernels will use one thread.")
                return [], []
        return compile_flags, link_flags


setup(ext_modules=cythonized(), cmdclass={"build_ext": BuildKernels})
