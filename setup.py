"""Builds the compiled modules and maps the repository's folders into the package ``copytrace``.

Everything declarative is in pyproject.toml; this file holds what cannot be said there: the native core (C++ through
pybind11) and the mapping of packages, whose root is the repository itself.
"""

from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import find_packages, setup

FOLDERS = ("engine", "export", "train")

# -ffp-contract=fast: products and sums fuse wherever the instruction set can, the core's kernels count on it.
CPP_FLAGS = ["-O3", "-ffp-contract=fast", "-Wall", "-Wextra"]


def packages() -> list[str]:
    found = [package for folder in FOLDERS for package in (folder, *(f"{folder}.{p}" for p in find_packages(folder)))]
    return [f"copytrace.{package}" for package in found]


ParallelCompile("COPYTRACE_BUILD_JOBS", default=0).install()

core = Pybind11Extension(
    "copytrace.engine._core",
    sorted(str(path) for path in Path("csrc").glob("*.cpp")),
    depends=sorted(str(path) for path in Path("csrc").glob("*.hpp")),
    cxx_std=17,
    extra_compile_args=CPP_FLAGS,
)
training = Pybind11Extension(
    "copytrace.train._kernels",
    sorted(str(path) for path in Path("csrc/training").glob("*.cpp")),
    depends=sorted(str(path) for path in Path("csrc/training").glob("*.hpp")),
    cxx_std=17,
    extra_compile_args=CPP_FLAGS,
)
# No fused products and sums here: the geometry gives the same bits as its numpy definition, on every processor.
match = Pybind11Extension(
    "copytrace.engine._match",
    sorted(str(path) for path in Path("csrc/match").glob("*.cpp")),
    depends=[*sorted(str(path) for path in Path("csrc/match").glob("*.hpp")), "csrc/parallel.hpp"],
    cxx_std=17,
    extra_compile_args=[*CPP_FLAGS, "-ffp-contract=off"],
)

setup(
    packages=packages(),
    package_dir={f"copytrace.{folder}": folder for folder in FOLDERS},
    package_data={
        "copytrace.engine": ["py.typed", "bundles/*/*", "photos/**/*", "score/templates/*", "*.pyi"],
    },
    ext_modules=[core, match, training],
)
