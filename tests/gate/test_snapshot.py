"""A folder, a zip file or a git ref of somebody's is read strictly, and nothing in it leads out of it."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_fastr.errors import BaselineError, RefError
from pytest_fastr.gate import snapshot_files
from pytest_fastr.gate.profile_folder import PROFILE_FILE
from pytest_fastr.gate.snapshot import FoundFile, read_snapshots
from pytest_fastr.gate.snapshot_files import foreign_files, own_files, ref_files
from support.baselines import NODE, OTHER, PROFILE, snapshots, store
from support.repository import git


def zipped(path: Path, source: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(source.rglob("*.json")):
            archive.write(file, f"{prefix}{file.relative_to(source).as_posix()}")
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return store(store(tmp_path / "theirs", [1, 2]), [3], profile=OTHER)


def test_a_folder_a_zip_file_and_a_ref_have_the_same_baselines(tmp_path: Path, theirs: Path) -> None:
    expected = {one.slug: one.tests for one in snapshots(theirs)}
    assert expected.keys() == {PROFILE.slug, OTHER.slug}
    assert len(expected[PROFILE.slug][NODE].sessions) == 2
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "theirs")
    git(tmp_path, "commit", "-q", "-m", "baselines")
    places = [
        foreign_files(theirs),
        foreign_files(tmp_path),
        foreign_files(zipped(tmp_path / "a.zip", theirs)),
        foreign_files(zipped(tmp_path / "b.zip", theirs, "baselines/")),
        ref_files("HEAD", theirs, os.environ),
    ]
    for files in places:
        assert {one.slug: one.tests for one in read_snapshots(files)} == expected


def test_one_profile_alone_may_be_named(tmp_path: Path, theirs: Path) -> None:
    one = theirs / PROFILE.slug
    for files in (foreign_files(one), foreign_files(zipped(tmp_path / "a.zip", one))):
        assert [profile.slug for profile in read_snapshots(files)] == [PROFILE.slug]


def test_files_that_are_no_baselines_are_left_alone(theirs: Path) -> None:
    (theirs / "result.json").write_text("{")
    (theirs / "notes").mkdir()
    (theirs / "notes" / "other.json").write_text("{")
    assert len(read_snapshots(foreign_files(theirs))) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x/profile.json", "leads out"),
        ("/etc/profile.json", "leads out"),
        ("a/../../profile.json", "leads out"),
        ("..\\profile.json", "leads out"),
        ("C:profile.json", "leads out"),
    ],
)
def test_a_name_that_leads_out_of_a_zip_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(BaselineError, match=words):
        foreign_files(tmp_path / "a.zip")


def test_links_are_refused(tmp_path: Path, theirs: Path) -> None:
    entry = zipfile.ZipInfo("x/profile.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(BaselineError, match="is a link"):
        foreign_files(tmp_path / "a.zip")
    (theirs / PROFILE.slug / "linked.json").symlink_to("/etc/passwd")
    with pytest.raises(BaselineError, match="symbolic link"):
        foreign_files(theirs)


def test_a_size_that_no_baseline_has_is_refused_whatever_the_archive_says_of_it(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/profile.json", b" " * (snapshot_files.MOST_FILE_BYTES + 1))
    with pytest.raises(BaselineError, match="more than 32 MiB"):
        foreign_files(tmp_path / "a.zip")
    monkeypatch.setattr(snapshot_files, "MOST_FILES", 2)
    with pytest.raises(BaselineError, match="more than 2 JSON files"):
        foreign_files(theirs)
    monkeypatch.setattr(snapshot_files, "MOST_FILES", 9)
    monkeypatch.setattr(snapshot_files, "MOST_BYTES", 100)
    with pytest.raises(BaselineError, match="MiB; name"):
        foreign_files(zipped(tmp_path / "b.zip", theirs))


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"PK\x03\x04" + b"\0" * 60])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BaselineError, match=r"a\.zip is no zip file"):
        foreign_files(tmp_path / "a.zip")
    with pytest.raises(BaselineError, match="does not exist"):
        foreign_files(tmp_path / "b.zip")
    with pytest.raises(BaselineError, match="is no zip file of at most 32 MiB"):
        foreign_files(Path(os.devnull))


def test_a_pipe_is_not_waited_for(theirs: Path) -> None:
    os.mkfifo(theirs / PROFILE.slug / "pipe.json")
    for read in (own_files, foreign_files):
        with pytest.raises(BaselineError, match="no ordinary file"):
            read(theirs)


def changed_profile(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = root / PROFILE.slug / PROFILE_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("key"),
        lambda document: document.pop("slug"),
        lambda document: document.update(slug="../../x-0a1b2c3d"),
        lambda document: document.update(more=1),
        lambda document: document["key"].update(cores="2"),
        lambda document: document["key"].update(cores=3),
        lambda document: document["key"].update(build_flags=["../.."]),
        lambda document: document["key"].update(more=1),
        lambda document: document["key"].pop("system"),
        lambda document: document["recorded"].update(kernel=None),
        lambda document: document["recorded"].update(memory_bytes=True),
    ],
)
def test_a_profile_that_is_not_the_one_it_says_is_refused(theirs: Path, change: Callable[[Any], object]) -> None:
    changed_profile(theirs, change)
    with pytest.raises(BaselineError, match="is no hardware profile"):
        snapshots(theirs)
    (damaged,) = (one for one in read_snapshots(own_files(theirs), forgiving=True) if one.slug == PROFILE.slug)
    assert len(damaged.damaged) == 1


def test_another_protocol_is_void_and_not_read_further(theirs: Path) -> None:
    changed_profile(theirs, lambda document: document["key"].update(protocol=1, unknown=1))
    (void,) = (one for one in snapshots(theirs) if one.slug == PROFILE.slug)
    assert void.void == "measured by protocol 1, this one is 2"
    assert not void.tests


def test_whose_numbers_they_are_must_be_known(theirs: Path) -> None:
    (theirs / PROFILE.slug / PROFILE_FILE).unlink()
    with pytest.raises(BaselineError, match=r"has no profile\.json"):
        snapshots(theirs)
    (theirs / OTHER.slug).rename(theirs / "another-0a1b2c3d")
    with pytest.raises(BaselineError, match="lies in another's folder"):
        read_snapshots(file for file in own_files(theirs) if file.path.parent.name == "another-0a1b2c3d")


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"[" * 100_000, b"{}", b"<<<<<<< HEAD"])
def test_a_damaged_file_is_named(theirs: Path, data: bytes) -> None:
    for name in (PROFILE_FILE, "tests__perf__test_shop.py.json", "equals.json"):
        file = FoundFile(PurePosixPath(PROFILE.slug, name), f"somewhere/{name}", data)
        with pytest.raises(BaselineError, match=f"somewhere/{name}"):
            read_snapshots([file])


def test_a_ref_says_what_it_lacks(tmp_path: Path, theirs: Path) -> None:
    with pytest.raises(RefError, match="needs a git repository"):
        ref_files("HEAD", theirs, {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    git(tmp_path, "init", "-q")
    (theirs / "linked.json").symlink_to("profile.json")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "a link")
    with pytest.raises(RefError, match=r"git ref nosuch: .* has no branch"):
        ref_files("nosuch", theirs, os.environ)
    with pytest.raises(BaselineError, match=r"HEAD:theirs/linked\.json is a link"):
        ref_files("HEAD", theirs, os.environ)


def test_a_folder_that_is_not_there_has_no_baselines(tmp_path: Path) -> None:
    assert own_files(tmp_path / "baselines") == []
    (tmp_path / "baselines").symlink_to(tmp_path / "gone")
    with pytest.raises(BaselineError, match="symbolic link to nothing"):
        own_files(tmp_path / "baselines")
