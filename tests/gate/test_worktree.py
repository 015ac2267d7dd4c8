"""A worktree is the ref and nothing else, is gone afterwards, and the user's repository never knew."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_fastr.errors import RefError
from pytest_fastr.gate.cache import cache_folder
from pytest_fastr.gate.ref import Ref, resolve_ref
from pytest_fastr.gate.worktree import Worktree
from support.repository import ENV, git


@pytest.fixture(autouse=True)
def _git_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check_out` takes the process's environment."""
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)


def new_repository(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, **files)
    return folder


def commit(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a commit")


def head(repository: Path, name: str = "HEAD") -> Ref:
    return resolve_ref(name, repository, ENV)


def tree(folder: Path, *, without: str = "") -> dict[str, str]:
    """Everything in a folder, by name: what is in a file, where a link leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not without or name.partition("/")[0] != without:
            found[name] = (
                f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes().hex() if path.is_file() else "/"
            )
    return found


def left_in(cache: Path) -> list[Path]:
    """What is in the cache, besides a folder a repository and the lock that is never removed."""
    return list((cache / "worktrees").glob("*/*"))


def worktrees(repository: Path) -> list[str]:
    lines = git(repository, "worktree", "list", "--porcelain").splitlines()
    return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository in a folder of an awkward name, with two commits, in which `price.txt` was 1 and is 2."""
    folder = new_repository(tmp_path / "mein Läden'\"$x", price="1")
    commit(folder, price="2")
    return folder


@contextmanager
def open_end(pipe: Path) -> Iterator[None]:
    """Makes a named pipe whose readers wait until the block ends."""
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def session(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process with a worktree module; it is killed at the end at the latest."""
    code = f"import sys\nfrom pathlib import Path\nfrom pytest_fastr.gate.worktree import Worktree\n{code}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


CHECK_OUT = """
from pytest_fastr.gate.ref import Ref
ref = Ref(sys.argv[1], sys.argv[1], Path(sys.argv[2]))
worktree = Worktree.check_out(ref, Path(sys.argv[3]), prepare=sys.argv[4] if len(sys.argv) > 4 else None)
print(worktree.root, flush=True)
sys.stdin.read()
"""


def test_a_worktree_has_the_files_of_the_ref_until_it_is_removed(shop: Path, cache: Path) -> None:
    ref = head(shop, "HEAD~1")
    with Worktree.check_out(ref, cache) as worktree:
        assert (worktree.ref, worktree.root) == (ref, worktree.root.resolve())
        assert tree(worktree.root, without=".git") == {"price.txt": b"1".hex()}
        assert worktree.root.name.startswith(f"{ref.commit[:12]}-")
        assert worktree.root.parent.name.isascii()
        assert " " not in worktree.root.parent.name
        assert worktree.root.parent.parent == cache / "worktrees"
    assert left_in(cache) == []
    assert worktrees(shop) == [str(shop)]
    worktree.remove()


def test_nothing_of_the_users_repository_changes(shop: Path, cache: Path) -> None:
    commit(shop, stashed="1", staged="1", unstaged="1")
    (shop / ".gitignore").write_text("ignored.txt")
    (shop / "stashed.txt").write_text("stash")
    git(shop, "stash")
    (shop / "staged.txt").write_text("2")
    git(shop, "add", "staged.txt")
    (shop / "unstaged.txt").write_text("2")
    (shop / "untracked.txt").write_text("2")
    (shop / "ignored.txt").write_text("2")
    said = [git(shop, "status", "--porcelain=v2", "--branch"), git(shop, "stash", "list")]
    before = tree(shop)
    with Worktree.check_out(head(shop), cache, prepare="git status && touch new && git add new") as worktree:
        assert (worktree.root / "staged.txt").read_text() == "1"
        assert (worktree.root / "stashed.txt").read_text() == "1"
        assert not (worktree.root / "untracked.txt").exists()
        during = {name: what for name, what in tree(shop).items() if not name.startswith(".git/worktrees")}
        # Git's objects may grow; here the `git add` of prepare added the empty one.
        assert {name: what for name, what in during.items() if not name.startswith(".git/objects")} == {
            name: what for name, what in before.items() if not name.startswith(".git/objects")
        }
    after = tree(shop)
    assert before.items() <= after.items()
    assert all(name.startswith(".git/objects") for name in after.keys() - before.keys())
    assert [git(shop, "status", "--porcelain=v2", "--branch"), git(shop, "stash", "list")] == said


def test_the_variables_of_a_hook_do_not_lead_astray(
    shop: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repository(tmp_path / "other", price="3")
    for name, value in {"GIT_DIR": other / ".git", "GIT_WORK_TREE": other, "GIT_INDEX_FILE": other / "x"}.items():
        monkeypatch.setenv(name, str(value))
    before = tree(other)
    with Worktree.check_out(head(shop), cache, prepare="git rev-parse HEAD > said") as worktree:
        assert (worktree.root / "price.txt").read_text() == "2"
        assert (worktree.root / "said").read_text().strip() == worktree.ref.commit
    assert tree(other) == before
    assert left_in(cache) == []


def test_a_commit_hook_can_measure_what_is_about_to_be_committed(shop: Path, cache: Path, tmp_path: Path) -> None:
    hook = shop / ".git/hooks/pre-commit"
    code = (
        "import sys, os; from pathlib import Path; from pytest_fastr.gate.ref import resolve_ref\n"
        "from pytest_fastr.gate.worktree import Worktree\n"
        "with Worktree.check_out(resolve_ref('HEAD', Path.cwd(), os.environ), Path(sys.argv[1])) as worktree:\n"
        "    Path(sys.argv[2]).write_text((worktree.root / 'price.txt').read_text())\n"
    )
    (tmp_path / "hook.py").write_text(code)
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/hook.py' '{cache}' '{tmp_path}/seen'\n")
    hook.chmod(0o755)
    (shop / "price.txt").write_text("3")
    git(shop, "commit", "-q", "-a", "-m", "dearer")
    assert (tmp_path / "seen").read_text() == "2"
    assert git(shop, "show", "HEAD:price.txt") == "3"
    assert git(shop, "status", "--porcelain") == ""


def test_hooks_of_the_user_do_not_run(shop: Path, cache: Path, tmp_path: Path) -> None:
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        hook = shop / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{tmp_path}/ran'\nexit 1\n")
        hook.chmod(0o755)
    ref = head(shop)
    with Worktree.check_out(ref, cache) as worktree:
        assert (worktree.root / "price.txt").read_text() == "2"
    assert not (tmp_path / "ran").exists()


def test_a_detached_head_and_a_checkout_that_is_a_worktree_do_as_well(shop: Path, cache: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(shop, "worktree", "add", "-q", "--detach", str(linked), "HEAD~1")
    ref = head(linked)
    assert ref.toplevel == linked
    before = tree(shop / ".git")
    with Worktree.check_out(ref, cache) as worktree:
        assert (worktree.root / "price.txt").read_text() == "1"
    assert tree(shop / ".git") == before
    assert worktrees(shop) == [str(shop), str(linked)]


def test_paths_of_the_checkout_map_onto_the_worktree(shop: Path, cache: Path, tmp_path: Path) -> None:
    (shop / "sub").mkdir()
    link = tmp_path / "link"
    link.symlink_to(shop)
    with Worktree.check_out(head(shop / "sub"), cache) as worktree:
        assert worktree.moved.place(shop) == worktree.root
        assert worktree.moved.place(shop / "sub" / "a.py") == worktree.root / "sub" / "a.py"
        assert worktree.moved.place(link / "sub") == worktree.root / "sub"
        assert worktree.moved.place(shop / ".." / "other") == shop / ".." / "other"
        for other in (tmp_path, Path("/usr"), worktree.root / "sub", shop.with_name(f"{shop.name}2")):
            assert worktree.moved.place(other) == other


def test_a_cache_within_the_checkout_does_as_well(shop: Path) -> None:
    with Worktree.check_out(head(shop), shop / ".cache") as worktree:
        assert worktree.moved.place(worktree.root / "price.txt") == worktree.root / "price.txt"
        assert worktree.moved.place(shop / "price.txt") == worktree.root / "price.txt"
        with pytest.raises(RefError, match="in which the cache folder lies"):
            Worktree.check_out(head(shop), shop / ".cache", copy=[".cache"])
    assert left_in(shop / ".cache") == []


def test_the_worktree_of_a_killed_session_is_removed_by_the_next(shop: Path, cache: Path, tmp_path: Path) -> None:
    users_own = tmp_path / "users own"
    git(shop, "worktree", "add", "-q", str(users_own), "-b", "own")
    shutil.rmtree(users_own)
    ref = head(shop)
    with session(CHECK_OUT, ref.commit, shop, cache) as process:
        assert process.stdout is not None
        root = Path(process.stdout.readline().strip())
        with Worktree.check_out(ref, cache):
            assert (root / "price.txt").is_file()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert str(root) in worktrees(shop)
    other = new_repository(tmp_path / "other", price="3")
    with Worktree.check_out(head(other), cache):
        assert not root.exists()
    assert left_in(cache) == []
    # A worktree of the user's whose folder is away is not ours to forget.
    assert worktrees(shop) == [str(shop), str(users_own)]


def test_a_leftover_of_a_repository_that_is_gone_is_removed(shop: Path, cache: Path, tmp_path: Path) -> None:
    ref = head(shop)
    with session(CHECK_OUT, ref.commit, shop, cache) as process:
        assert process.stdout is not None
        root = Path(process.stdout.readline().strip())
        process.kill()
        process.wait()
    shutil.rmtree(shop)
    with Worktree.check_out(head(new_repository(tmp_path / "other", price="3")), cache):
        assert not root.exists()
    assert left_in(cache) == []


def test_an_entry_that_git_was_killed_in_the_middle_of_is_removed(shop: Path, cache: Path) -> None:
    worktree = Worktree.check_out(head(shop), cache)
    entry = shop / ".git/worktrees" / worktree.root.name
    (entry / "locked").write_text("initializing")
    (entry / "gitdir").unlink()
    worktree.remove()
    assert not entry.parent.exists()
    assert left_in(cache) == []


def test_a_folder_that_somebody_removed_is_forgotten_too(shop: Path, cache: Path) -> None:
    with Worktree.check_out(head(shop), cache) as worktree:
        shutil.rmtree(worktree.root)
    assert worktrees(shop) == [str(shop)]
    assert left_in(cache) == []


def runs(number: str) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path("/proc", number, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_session_prepares_ends_with_it(shop: Path, cache: Path, tmp_path: Path) -> None:
    pipe, block = tmp_path / "pipe", tmp_path / "block"
    os.mkfifo(pipe)
    prepare = f"exec 3> '{pipe}'; echo $PYTEST_FASTR_WORKTREE >&3; cat '{block}' & cat '{block}'"
    with open_end(block), session(CHECK_OUT, head(shop).commit, shop, cache, prepare) as process, pipe.open() as said:
        root = said.readline().strip()
        process.kill()
        process.wait()
        # The pipe ends with the last process that could write to it.
        assert said.read() == ""
    assert Path(root).exists()
    with Worktree.check_out(head(shop), cache):
        assert not Path(root).exists()
    assert left_in(cache) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells whose processes there are")
@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid (util-linux)")
def test_what_a_killed_session_has_left_running_is_ended_by_the_next(shop: Path, cache: Path, tmp_path: Path) -> None:
    pipe, block = tmp_path / "pipe", tmp_path / "block"
    os.mkfifo(pipe)
    ref = head(shop)
    away = f"exec 3> '{pipe}'; echo $PYTEST_FASTR_WORKTREE $$ >&3; cat '{block}' & cat '{block}'"
    prepare = f"exec setsid -w sh -c {shlex.quote(away)}"
    with open_end(block), session(CHECK_OUT, ref.commit, shop, cache, prepare) as process, pipe.open() as said:
        root, number = said.readline().split()
        process.kill()
        process.wait()
        with Worktree.check_out(ref, cache):
            assert not Path(root).exists()
            assert not runs(number)
    assert left_in(cache) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells whose processes there are")
def test_what_prepare_leaves_running_is_ended_with_the_worktree(shop: Path, cache: Path, tmp_path: Path) -> None:
    block, number = tmp_path / "block", tmp_path / "number"
    with open_end(block):
        worktree = Worktree.check_out(head(shop), cache, prepare=f"cat '{block}' >/dev/null 2>&1 & echo $! >'{number}'")
        assert runs(number.read_text().strip())
        worktree.remove()
        assert not runs(number.read_text().strip())


def test_sessions_at_once_do_not_disturb_each_other(shop: Path, cache: Path) -> None:
    ref = head(shop)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Worktree.check_out(ref, cache), range(8)))
        assert len({worktree.root for worktree in made}) == 8
        made[0].remove()
        assert [(worktree.root / "price.txt").is_file() for worktree in made] == [False] + [True] * 7
        assert len(worktrees(shop)) == 8
        list(pool.map(lambda worktree: worktree.remove(), made))
    assert worktrees(shop) == [str(shop)]
    assert left_in(cache) == []


def test_what_is_named_is_copied_over_what_the_ref_has(shop: Path, cache: Path) -> None:
    (shop / ".gitignore").write_text(".env*\nassets/\n[id]\n")
    for name in ("assets/deep/a", ".env", ".env.local", "[id]", "sub/one", "sub/two", "unnamed"):
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_text(name)
    (shop / "assets/link").symlink_to("deep/a")
    (shop / "assets/dangling").symlink_to("/nowhere")
    (shop / "assets/deep").chmod(0o555)
    os.mkfifo(shop / "assets/pipe")
    (shop / "price.txt").write_text("3")
    (shop / "price.txt").chmod(0o755)
    copy = [".env*", "assets/", "./[id]", "sub/t*", "price.txt"]
    with Worktree.check_out(head(shop), cache, copy=copy, prepare="cat .env > prepared") as worktree:
        names = set(tree(worktree.root, without=".git"))
        assert names == {
            *("price.txt", "prepared", ".env", ".env.local", "[id]", "sub", "sub/two"),
            *("assets", "assets/deep", "assets/deep/a", "assets/link", "assets/dangling"),
        }
        assert (worktree.root / "price.txt").read_text() == "3"
        assert os.access(worktree.root / "price.txt", os.X_OK)
        assert os.readlink(worktree.root / "assets/link") == "deep/a"
        assert (worktree.root / "prepared").read_text() == ".env"
    assert left_in(cache) == []
    assert (shop / "assets/deep/a").read_text() == "assets/deep/a"


def test_a_copy_replaces_a_link_and_does_not_write_through_it(shop: Path, cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (shop / "assets").symlink_to(outside)
    (shop / "file").symlink_to(outside / "file")
    commit(shop)
    ref = head(shop)
    for name in ("assets", "file"):
        (shop / name).unlink()
    (shop / "assets").mkdir()
    (shop / "assets/a").write_text("a")
    (shop / "file").write_text("a")
    with Worktree.check_out(ref, cache, copy=["assets", "file"]) as worktree:
        assert (worktree.root / "assets/a").read_text() == (worktree.root / "file").read_text() == "a"
    with pytest.raises(RefError, match="behind a link to somewhere else"):
        Worktree.check_out(ref, cache, copy=["assets/a"])
    assert tree(outside) == {}
    assert left_in(cache) == []


@pytest.mark.parametrize("name", ["../other", "a/../../b", "/etc/passwd", ".git", ".git/config", "", ".", "*/../x"])
def test_a_copy_that_leaves_the_repository_is_refused(shop: Path, cache: Path, name: str) -> None:
    with pytest.raises(RefError, match="must be a file or folder in the repository"):
        Worktree.check_out(head(shop), cache, copy=[name])
    assert left_in(cache) == []


def test_a_copy_through_a_link_out_of_the_repository_is_refused(shop: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (shop / "link").symlink_to(tmp_path)
    with pytest.raises(RefError, match="which a link leads out of"):
        Worktree.check_out(head(shop), cache, copy=["link/secret"])


@pytest.mark.parametrize("name", ["nothing", "no*thing"])
def test_a_copy_of_nothing_is_named(shop: Path, cache: Path, name: str) -> None:
    with pytest.raises(RefError) as caught:
        Worktree.check_out(head(shop), cache, copy=[name])
    assert f"`copy` names '{name}', which does not exist in {shop}" in str(caught.value)


def test_prepare_runs_in_the_worktree_with_this_interpreter_and_is_shown(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", "open")
    shown: list[str] = []
    prepare = 'echo "$PYTEST_FASTR_WORKTREE|$PWD|$SHOP" > said; python -c "import sys; print(sys.prefix)" >> said'
    with Worktree.check_out(head(shop), cache, prepare=prepare, show=shown.append) as worktree:
        said = (worktree.root / "said").read_text().splitlines()
    assert said == [f"{worktree.root}|{worktree.root}|open", sys.prefix]
    assert shown == [f"checking out HEAD ({worktree.ref.commit[:12]})", f"preparing HEAD: {prepare}"]


def test_a_prepare_that_fails_shows_its_end_and_leaves_nothing(shop: Path, cache: Path) -> None:
    prepare = "for n in $(seq 1 100); do echo line $n; done; printf '\\377 broken' >&2; exit 3"
    with pytest.raises(RefError) as caught:
        Worktree.check_out(head(shop), cache, prepare=prepare)
    first, *lines = str(caught.value).splitlines()
    assert "`prepare` failed for HEAD" in first
    assert "with exit code 3" in first
    assert lines == [*(f"line {n}" for n in range(72, 101)), "\ufffd broken"]
    assert left_in(cache) == []
    assert worktrees(shop) == [str(shop)]


def test_a_prepare_that_a_signal_ends_or_that_says_nothing_is_told(shop: Path, cache: Path) -> None:
    with pytest.raises(RefError, match=r"with signal 9;(.|\n)*\(it printed nothing\)"):
        Worktree.check_out(head(shop), cache, prepare="kill -9 $$")


def test_an_interrupt_ends_all_that_prepare_started_and_leaves_nothing(shop: Path, cache: Path, tmp_path: Path) -> None:
    pipe, block = tmp_path / "pipe", tmp_path / "block"
    os.mkfifo(pipe)
    stubborn = f"(trap '' TERM; echo started >&3; cat '{block}'; echo survived >&3)"
    prepare = f"exec 3> '{pipe}'; {stubborn} & wait"
    with open_end(block), session(CHECK_OUT, head(shop).commit, shop, cache, prepare) as process:
        said = pipe.open()
        assert said.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    with said:
        assert said.read() == ""
    assert left_in(cache) == []
    assert worktrees(shop) == [str(shop)]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A clone of a repository with a submodule (of another name than its path) that has one itself, all fetched."""
    inner = new_repository(tmp_path / "inner", inner="1")
    lib = new_repository(tmp_path / "lib", lib="1")
    git(lib, "submodule", "add", "-q", str(inner), "inner")
    commit(lib)
    top = new_repository(tmp_path / "top", top="1")
    git(top, "submodule", "add", "-q", "--name", "library", str(lib), "vendor/my lib")
    commit(top)
    git(tmp_path, "clone", "-q", "--recursive", str(top), "clone")
    return tmp_path / "clone"


SUBMODULE_FILES = {"top.txt", "vendor/my lib/lib.txt", "vendor/my lib/inner/inner.txt"}


def test_submodules_come_from_the_users_own_clones(nested: Path, cache: Path, tmp_path: Path) -> None:
    ref = head(nested)
    (nested / "top.txt").write_text("2")
    commit(nested)
    for origin in ("inner", "lib", "top"):
        shutil.rmtree(tmp_path / origin)
    before = tree(nested)
    with Worktree.check_out(ref, cache) as worktree:
        assert tree(worktree.root).keys() >= SUBMODULE_FILES
        assert (worktree.root / "top.txt").read_text() == "1"
    assert tree(nested) == before
    assert left_in(cache) == []


def test_submodules_that_the_user_has_not_are_fetched(nested: Path, cache: Path, tmp_path: Path) -> None:
    bare = tmp_path / "without"
    git(tmp_path, "clone", "-q", str(tmp_path / "top"), str(bare))
    git(bare, "config", "protocol.file.allow", "always")
    before = tree(bare)
    env = {**ENV, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    with Worktree.check_out(head(bare), cache, env=env) as worktree:
        assert tree(worktree.root).keys() >= SUBMODULE_FILES
    assert tree(bare) == before


def test_a_submodule_that_cannot_be_fetched_is_named_and_leaves_nothing(
    nested: Path, cache: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "without"
    git(tmp_path, "clone", "-q", str(tmp_path / "top"), str(bare))
    shutil.rmtree(tmp_path / "lib")
    before = tree(bare)
    with pytest.raises(
        RefError, match=r"cannot check out the submodule vendor/my lib of HEAD (.|\n)*--init --recursive"
    ):
        Worktree.check_out(head(bare), cache)
    assert tree(bare) == before
    assert left_in(cache) == []


def test_a_commit_that_git_cannot_check_out_is_told_and_leaves_nothing(shop: Path, cache: Path) -> None:
    with pytest.raises(RefError, match="git cannot check out gone"):
        Worktree.check_out(Ref("gone", "1" * 40, shop), cache)
    assert left_in(cache) == []
    assert worktrees(shop) == [str(shop)]


def test_a_checkout_that_breaks_in_the_middle_leaves_nothing(shop: Path, cache: Path) -> None:
    (shop / ".gitattributes").write_text("price.txt filter=broken")
    commit(shop)
    git(shop, "config", "filter.broken.smudge", "false")
    git(shop, "config", "filter.broken.required", "true")
    before = tree(shop)
    with pytest.raises(RefError, match=r"price\.txt: smudge filter broken failed"):
        Worktree.check_out(head(shop), cache)
    assert tree(shop) == before
    assert left_in(cache) == []


def test_a_copy_that_cannot_be_written_leaves_nothing(shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "price.txt")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(RefError, match=r"No space left on device: 'price.txt'; make room, or set PYTEST_FASTR_CACHE"):
        Worktree.check_out(head(shop), cache, copy=["price.txt"])
    assert left_in(cache) == []
    assert worktrees(shop) == [str(shop)]


def test_a_cache_that_cannot_be_written_is_named(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefError, match="set PYTEST_FASTR_CACHE to a folder that can be written"):
        Worktree.check_out(head(shop), tmp_path / "file" / "cache")


def test_what_prepare_protected_from_writing_is_removed(shop: Path, cache: Path) -> None:
    prepare = "mkdir -p a/b && touch a/b/c && chmod 0 a/b && chmod 500 a"
    with Worktree.check_out(head(shop), cache, prepare=prepare) as worktree:
        assert (worktree.root / "a").is_dir()
    assert left_in(cache) == []


def test_the_cache_is_the_chosen_folder_or_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cache_folder({"PYTEST_FASTR_CACHE": "here", "HOME": home, "XDG_CACHE_HOME": "/xdg"}) == tmp_path / "here"
    assert cache_folder({"XDG_CACHE_HOME": f"{home}/xdg", "HOME": "/"}) == tmp_path / "xdg" / "pytest-fastr"
    for platform, folder in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder({"HOME": home, "XDG_CACHE_HOME": "relative"}) == tmp_path / folder / "pytest-fastr"


def test_without_a_home_the_cache_is_a_temporary_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / f"pytest-fastr-{os.getuid()}"
    (tmp_path / "file").write_text("")
    for env in ({}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": str(tmp_path / "file")}):
        assert cache_folder(env) == own
    assert own.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache_folder({"HOME": str(tmp_path)}) == own
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(RefError, match="set PYTEST_FASTR_CACHE"):
        cache_folder({})
