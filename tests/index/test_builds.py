"""Other builds of the compiled kernels: emulated instructions, sanitizers, ARM, no compiler."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
LIMIT = 900  # seconds for one build or its tests: machines may be busy
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * LIMIT)]

needs_gcc = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64", reason="needs g++ on x86-64"
)
needs_simde = pytest.mark.skipif(
    not Path("/usr/include/simde").is_dir(), reason="needs the Debian package libsimde-dev"
)


def run(*command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def build(folder: Path, flags: str = "", **settings: str) -> Path:
    """A copy of the package with an extension built by `flags`; the folder to import from."""
    copy = folder / "isohash"
    shutil.copytree(ROOT / "src" / "isohash", copy, ignore=shutil.ignore_patterns("*.so"))
    done = run(
        sys.executable,
        "setup.py",
        "build_ext",
        f"--build-lib={folder}",
        f"--build-temp={folder / 'temp'}",
        ISOHASH_WERROR="0" if "CXX" in settings else "1",
        CFLAGS=flags,
        CXXFLAGS=flags,
        **settings,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_in(folder: Path, *tests: str, **settings: str) -> str:
    """Runs tests of this folder against the package in `folder`."""
    done = run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        *(f"tests/index/{name}.py" for name in tests),
        PYTHONPATH=str(folder),
        **settings,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


test_in.__test__ = False  # type: ignore[attr-defined]


def levels_in(folder: Path, **settings: str) -> str:
    program = "from isohash.index.dispatch import available_levels; print(*available_levels())"
    done = run(sys.executable, "-c", program, PYTHONPATH=str(folder), **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def compile_selftest(program: Path, compiler: str, *flags: str) -> Path:
    """The kernels with their own comparison of every level with the scalar one."""
    sources = [
        path for part in ("levels", "search") for path in sorted(NATIVE.glob(f"{part}/*.cpp"))
    ]
    always = ("-std=c++17", "-pthread", f"-I{NATIVE}")
    done = run(compiler, *always, *flags, *sources, "-o", program)
    assert done.returncode == 0, done.stderr
    return program


@needs_gcc
@needs_simde
def test_avx512_and_amx_kernels_are_exact_under_emulation(tmp_path: Path) -> None:
    folder = build(tmp_path, "-DISOHASH_EMULATE -Wno-psabi")
    assert levels_in(folder).endswith("avx2 avx512 amx")
    test_in(folder, "test_levels", "test_segments")


@needs_gcc
@needs_simde
def test_kernels_read_and_write_only_what_is_theirs(tmp_path: Path) -> None:
    # SIMDe computes wrapping vector arithmetic with signed numbers; ours is checked below.
    emulate = ("-DISOHASH_EMULATE", "-Wno-psabi", "-fno-sanitize=signed-integer-overflow")
    flags = ("-O1", "-g1", *SANITIZERS, *emulate)
    done = run(compile_selftest(tmp_path / "selftest", "g++", *flags))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "amx: 0 failed" in done.stdout


@needs_gcc
def test_threads_write_no_place_that_another_uses(tmp_path: Path) -> None:
    program = compile_selftest(tmp_path / "selftest", "g++", "-O1", "-g1", "-fsanitize=thread")
    done = run(program, "threads")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "scalar: 0 failed" in done.stdout


@needs_gcc
def test_the_module_reads_and_writes_only_what_is_its_own(tmp_path: Path) -> None:
    folder = build(tmp_path, " ".join(SANITIZERS), LDFLAGS="-fsanitize=address,undefined")
    runtime = run("g++", "-print-file-name=libasan.so").stdout.strip()
    # The interpreter itself leaks by design, and was not linked with the sanitizer's runtime.
    settings = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    assert "scalar" in levels_in(folder, **settings)
    tests = (
        "test_flat",
        "test_alphabets",
        "test_segments",
        "test_multi_index",
        "test_prefix",
        "test_epilogue",
    )
    test_in(folder, *tests, **settings)


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-g++") is None or shutil.which("qemu-aarch64") is None,
    reason="needs the Debian packages g++-aarch64-linux-gnu and qemu-user",
)
def test_neon_kernels_are_exact_on_an_emulated_arm_processor(tmp_path: Path) -> None:
    program = compile_selftest(tmp_path / "selftest", "aarch64-linux-gnu-g++", "-O2", "-static")
    done = run("qemu-aarch64", program)
    assert "neon: 0 failed" in done.stdout
    assert done.returncode == 0, done.stdout


def test_without_a_compiler_numpy_answers(tmp_path: Path) -> None:
    folder = build(tmp_path, CC="/bin/false", CXX="/bin/false")
    assert not list(folder.glob("isohash/*.so"))
    assert levels_in(folder) == "numpy"
    test_in(folder, "test_flat", "test_laws", "test_segments", "test_epilogue")
