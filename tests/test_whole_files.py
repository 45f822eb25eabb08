from __future__ import annotations

import errno
import hashlib

import numpy as np
import pytest

from isohash.whole_files import OWNER_ONLY, digest, failpoints, whole_file, write_whole


def refusing(at: int):
    """A hook that lets the disk fail at one step, and the list of the steps so far."""
    steps: list[str] = []

    def hook(operation: str, path) -> None:
        steps.append(operation)
        if len(steps) == at + 1:
            raise OSError(errno.ENOSPC, "no space left")

    return hook, steps


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_disk_that_fails_at_any_step_leaves_the_old_file_or_the_new_one(before, tmp_path):
    path = tmp_path / "file"
    for at in range(9):
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        hook, steps = refusing(at)
        with failpoints(hook):
            if at == 6:
                write_whole(path, [b"ne", b"w"])
                break
            with pytest.raises(OSError, match="no space"):
                write_whole(path, [b"ne", b"w"])
        renamed = steps.index("fsync") < steps.index("rename") < at if "rename" in steps else False
        assert [p.name for p in tmp_path.iterdir()] == (["file"] if path.exists() else [])
        assert (path.read_bytes() if path.exists() else None) == (
            b"new" if renamed and before is not None else before
        )
    assert steps == ["create", "write", "write", "fsync", "rename", "fsync"]
    assert path.read_bytes() == b"new"


def test_a_block_that_ends_badly_leaves_nothing(tmp_path):
    def interrupted() -> None:
        with whole_file(tmp_path / "file") as file:
            file.write(b"half")
            (beside,) = tmp_path.iterdir()
            assert beside.name.startswith(".file.")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_digest_is_that_of_settings_types_shapes_and_bytes():
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    by_hand = hashlib.sha256(b'{"a": 1, "b": 2}' + b"<i4(2, 3)" + array.tobytes()).hexdigest()
    assert digest(array, None, settings={"b": 2, "a": 1}) == by_hand
    assert digest(np.asfortranarray(array), settings={"a": 1, "b": 2}) == by_hand
    others = [array.T, array.reshape(3, 2), array.astype("<i8"), array.view("<u4"), array[:0]]
    told = [digest(one) for one in (array, *others)]
    told += [digest(), digest(settings={}), digest(array, array), digest(array, settings={})]
    assert len(set(told)) == len(told)


def test_a_new_file_is_for_whom_it_is_meant_and_a_replaced_one_stays_so(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"secret", OWNER_ONLY)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_long_name_is_written_too(tmp_path):
    write_whole(tmp_path / ("x" * 250), b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]
