"""Builds the compiled kernels, where there is a compiler; without one isohash answers with NumPy.

Everything else about the package stands in pyproject.toml.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

OLDEST_PYTHON = "0x030B0000"  # one binary for Python 3.11 and later

NATIVE = Path("native")
PROGRAMS = {NATIVE / "levels" / "selftest.cpp"}  # with a main of their own
SOURCES = sorted(str(path) for path in set(NATIVE.glob("*/*.cpp")) - PROGRAMS)
HEADERS = sorted(str(path) for path in [*NATIVE.glob("*.h"), *NATIVE.glob("*/*.hpp")])

# Never -march=native: the kernels choose by what the processor says at run time.
if sys.platform == "win32":
    COMPILE_ARGS = ["/std:c++17", "/O2"]
else:
    COMPILE_ARGS = [
        "-std=c++17",
        "-O3",
        "-fvisibility=hidden",
        "-pthread",
        "-ffp-contract=off",
        "-Wall",
        "-Wextra",
        "-g0",
    ]

os.umask(0o022)  # modes of files in a wheel are the same for whoever builds it

# For development: a warning stops the build, which is no longer optional.
STRICT = os.environ.get("ISOHASH_WERROR") == "1"
if STRICT:
    COMPILE_ARGS.append("/WX" if sys.platform == "win32" else "-Werror")

setup(
    ext_modules=[
        Extension(
            "isohash._native",
            sources=SOURCES,
            depends=HEADERS,
            include_dirs=["native"],
            define_macros=[("Py_LIMITED_API", OLDEST_PYTHON)],
            extra_compile_args=COMPILE_ARGS,
            extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
            language="c++",
            py_limited_api=True,
            optional=not STRICT,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
