"""Builds the compiled modules and maps the repository's folders into the package ``copytrace``.

Everything declarative is in pyproject.toml; this file holds what cannot be said there: the native core (C++ through
pybind11) and the mapping of packages, whose root is the repository itself.
"""

import subprocess
import sys
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDERS = ("engine", "export", "train")
CPP_FLAGS = ["-O3", "-Wall", "-Wextra"]

# Products and sums fuse wherever the instruction set can, the core's kernels count on it. GCC knows only all or nothing (and
# attributes); clang's "on" leaves it to the source, its "fast" would not.
FUSE = {"clang": "-ffp-contract=on", "gcc": "-ffp-contract=fast"}

if sys.platform == "win32":
    raise SystemExit("copytrace builds on Linux and macOS, with GCC or clang; on Windows use it inside WSL")


class BuildForCompiler(build_ext):
    """Adds the flags that depend on the compiler, before those of each module."""

    def build_extensions(self) -> None:
        command = [self.compiler.compiler_so[0], "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for extension in self.extensions:
            extension.extra_compile_args.insert(0, FUSE["clang" if "clang" in version else "gcc"])
        super().build_extensions()


def extension(name: str, folder: str, *flags: str) -> Pybind11Extension:
    """The module made of all files of a folder, which may use the headers of csrc."""
    headers = {*Path(folder).glob("*.hpp"), *Path("csrc").glob("*.hpp")}
    return Pybind11Extension(
        name,
        sorted(str(path) for path in Path(folder).glob("*.cpp")),
        depends=sorted(str(path) for path in headers),
        cxx_std=17,
        extra_compile_args=[*CPP_FLAGS, *flags],
    )


def packages() -> list[str]:
    found = [package for folder in FOLDERS for package in (folder, *(f"{folder}.{p}" for p in find_packages(folder)))]
    return [f"copytrace.{package}" for package in found]


ParallelCompile("COPYTRACE_BUILD_JOBS", default=0).install()

setup(
    packages=packages(),
    package_dir={f"copytrace.{folder}": folder for folder in FOLDERS},
    package_data={
        "copytrace.engine": ["py.typed", "bundles/*/*", "photos/**/*", "score/templates/*", "serve/page/*", "*.pyi"],
    },
    exclude_package_data={"copytrace.engine.serve": ["container/*"]},  # it builds on the sources
    ext_modules=[
        extension("copytrace.engine._core", "csrc"),
        # Nothing fused here: the geometry gives the same bits as its numpy definition, on every processor.
        extension("copytrace.engine._match", "csrc/match", "-ffp-contract=off"),
        extension("copytrace.engine._pixels", "csrc/pixels", "-ffp-contract=off"),  # for the bits of OpenCV
        extension("copytrace.engine._network", "csrc/network", "-ffp-contract=off"),  # for those of ONNX Runtime
        extension("copytrace.train._kernels", "csrc/training"),
    ],
    cmdclass={"build_ext": BuildForCompiler},
)
