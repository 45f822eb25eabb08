"""Builds the compiled kernels, where there is a compiler; without one isohash answers with NumPy.

Everything else about the package stands in pyproject.toml.
"""

import sys

from setuptools import Extension, setup

OLDEST_PYTHON = "0x030B0000"  # one binary for Python 3.11 and later

SOURCES = [
    "amx.cpp",
    "avx2.cpp",
    "avx2_lookup.cpp",
    "avx512.cpp",
    "avx512_slices.cpp",
    "avx512_squares.cpp",
    "avx512_symbols.cpp",
    "epilogue.cpp",
    "levels.cpp",
    "module.cpp",
    "multi_index.cpp",
    "neon.cpp",
    "packing.cpp",
    "pool.cpp",
    "scalar.cpp",
    "search.cpp",
]
HEADERS = [
    "avx2.hpp",
    "avx512.hpp",
    "consumers.hpp",
    "isohash.h",
    "kernels.hpp",
    "module_args.hpp",
    "pool.hpp",
    "select.hpp",
    "simd_x86.hpp",
]

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

setup(
    ext_modules=[
        Extension(
            "isohash._native",
            sources=[f"native/{name}" for name in SOURCES],
            depends=[f"native/{name}" for name in HEADERS],
            include_dirs=["native"],
            define_macros=[("Py_LIMITED_API", OLDEST_PYTHON)],
            extra_compile_args=COMPILE_ARGS,
            extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
            language="c++",
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
