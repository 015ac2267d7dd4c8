"""A git ref as a folder: checked out beside the user's checkout, prepared, and removed again.

The user's checkout, index, stash, HEAD, branches and config are never touched. A worktree lies at a fresh path in
the cache folder with a lock file beside it, which its process holds: a worktree whose lock can be taken belongs to
nobody and is removed. `ref` says which commit it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pytest_fastr import _native
from pytest_fastr.errors import RefError
from pytest_fastr.gate.copies import copy_over, remove, sources_of
from pytest_fastr.gate.ref import GitAnswer, Ref, run_git, submodules_of, without_repository
from pytest_fastr.mount.moved import Moved

_CHECKOUT_TIMEOUT_S = 1800.0
_END_TIMEOUT_S = 5.0
_LOG_LINES = 30  # of a failed `prepare`, in its error

# In the environment of `prepare` and of all that it starts: how those are found again.
_MARK = "PYTEST_FASTR_WORKTREE"
# No process has this number: whoever carries the mark is ended, and nobody's family.
_NOBODY = 2**30

# A command that waits until it is in the hands of who can end it: an interrupt before that ends the input too. When the
# input ends without a last word, the session was killed, and its command with all of its group is killed too.
_WAITING = """
read -r pytest_fastr_go || exit 1
exec 3<&0
(read -r pytest_fastr_over <&3 || kill -s KILL 0) &
exec /bin/sh -c "$1" </dev/null 3<&-
"""


class Worktree:
    """A ref that is checked out until `remove`, or the end of a `with` block."""

    def __init__(self, ref: Ref, place: _Place, env: Mapping[str, str]) -> None:
        self.ref = ref
        self.root = place.root
        """Its resolved top folder."""
        self._title = f"{ref.name} ({ref.commit[:12]})"
        self._place = place
        self._env = env

    @classmethod
    def check_out(
        cls,
        ref: Ref,
        cache: Path,
        *,
        prepare: str | None = None,
        copy: Sequence[str] = (),
        show: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Worktree:
        """Checks out the ref below `cache`, and first removes what killed sessions left there.

        `copy` are files and folders of the user's checkout (glob patterns, relative to its top) that are copied into
        it, over what is there; then the shell command `prepare` runs in it. `show` is told each step, `env` is the
        environment, by default the process's. Raises RefError, and then nothing is left.
        """
        env = os.environ if env is None else env
        show = show or (lambda step: None)
        sources = sources_of(copy, ref.toplevel)
        try:
            _remove_stale(cache, env)
            place = _Place.take(cache, ref)
        except OSError as error:
            advice = "set PYTEST_FASTR_CACHE to a folder that can be written"
            raise RefError(f"cannot write the cache folder {cache}: {error.strerror or error}; {advice}") from error
        worktree = cls(ref, place, env)
        try:
            show(f"checking out {worktree._title}")
            worktree._fill(show)
            for source in sources:
                worktree._copy(source)
            if prepare is not None:
                show(f"preparing {ref.name}: {prepare}")
                worktree._prepare(prepare)
        except BaseException as error:
            worktree.remove()
            if isinstance(error, OSError):
                advice = "make room, or set PYTEST_FASTR_CACHE to another folder"
                raise RefError(f"cannot write the worktree of {ref.name}: {error}; {advice}") from error
            raise
        return worktree

    @property
    def moved(self) -> Moved:
        """How places and imports of the user's checkout are led here."""
        return Moved(self.ref.toplevel, self.root)

    def remove(self) -> None:
        """Removes it; again is harmless. What cannot be removed now is tried again by the next session."""
        self._place.give_up(self.ref.toplevel, self._env)

    def __enter__(self) -> Worktree:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _git(self, arguments: Sequence[str], folder: Path) -> GitAnswer:
        # Git keeps the lock open: should this process be killed, nobody removes the folder while git still writes it.
        lock = self._place.descriptor
        return run_git(arguments, folder, self._env, writes=True, timeout_s=_CHECKOUT_TIMEOUT_S, hold=(lock,))

    def _fill(self, show: Callable[[str], None]) -> None:
        add = ["worktree", "add", "--quiet", "--detach", "--no-checkout", str(self.root), self.ref.commit]
        with _alone(self.root):
            answer = self._git(add, self.ref.toplevel)
        if answer.code == 0:
            answer = self._git(["reset", "--quiet", "--hard"], self.root)
        if answer.code != 0:
            raise RefError(f"git cannot check out {self._title} in {self.root}: {answer.complaint}")
        folders = self._git(["rev-parse", "--git-dir", "--git-common-dir"], self.ref.toplevel).out.splitlines()
        stores = tuple((self.ref.toplevel / folder).resolve() / "modules" for folder in folders)
        self._fill_submodules(self.root, stores, show)

    def _fill_submodules(self, folder: Path, stores: tuple[Path, ...], show: Callable[[str], None]) -> None:
        """Checks out the submodules of `folder`, from the user's own clones of them where those have the commit.

        `stores` are the folders in which the user's repository keeps the clones. `git submodule init` is not used:
        it writes to the config that the worktrees of a repository share.
        """
        for name, path, commit in submodules_of(folder, self._env):
            show(f"checking out the submodule {path}")
            has = ["cat-file", "-e", f"{commit}^{{commit}}"]
            clones = [store / name for store in stores if (store / name).is_dir()]
            clones = [clone for clone in clones if self._git([f"--git-dir={clone}", *has], folder).code == 0]
            source = ["-c", "protocol.file.allow=always", "-c", f"submodule.{name}.url={clones[0]}"] if clones else []
            update = ["-c", "submodule.active=.", *source, "submodule", "--quiet", "update", "--", path]
            answer = self._git(update, folder)
            if answer.code != 0:
                advice = "fetch it in your checkout first: `git submodule update --init --recursive`"
                raise RefError(
                    f"git cannot check out the submodule {path} of {self._title}: {answer.complaint}; {advice}"
                )
            if (folder / path / ".git").exists():
                self._fill_submodules(folder / path, tuple(store / name / "modules" for store in stores), show)

    def _copy(self, source: Path) -> None:
        if self.root.is_relative_to(source):
            advice = "set PYTEST_FASTR_CACHE to another folder"
            raise RefError(f"`copy` names {source}, in which the cache folder lies; {advice}")
        relative = source.relative_to(self.ref.toplevel)
        place = self.root
        for part in relative.parent.parts:
            place = place / part
            if not place.is_dir():
                remove(place)
                place.mkdir()
            if not place.resolve().is_relative_to(self.root):
                raise RefError(f"`copy` names {relative}, which {self.ref.name} has behind a link to somewhere else")
        copy_over(source, self.root / relative)

    def _prepare(self, command: str) -> None:
        env = without_repository(self._env)
        env[_MARK] = str(self.root)
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        with self._place.log.open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WAITING, "sh", command],
                cwd=self.root,
                env=env,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._place.descriptor,),
            )
        assert process.stdin is not None
        with process.stdin as words:
            try:
                _say(words, b"go\n")
                process.wait()
            except BaseException:
                _end_group(process)
                raise
            _say(words, b"over\n")
        code = process.returncode
        if code != 0:
            _end_group(process)
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            advice = f"change the command, or what it needs: {command}\n{_last_lines(self._place.log)}"
            raise RefError(f"`prepare` failed for {self._title} with {how}; {advice}")


class _Place:
    """A path in the cache folder that belongs to one living process."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self.lock = root.with_name(f"{root.name}.lock")
        """Holds the path of the user's checkout and the number of the process, for who finds the place left."""
        self.log = root.with_name(f"{root.name}.log")
        self.descriptor = descriptor
        """Of the lock file; -1 once given up."""

    @classmethod
    def take(cls, cache: Path, ref: Ref) -> _Place:
        """A fresh one, locked."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", ref.toplevel.name)
        key = hashlib.sha256(os.fsencode(ref.toplevel)).hexdigest()[:12]
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = cache.resolve() / "worktrees" / f"{name}-{key}"
        folder.parent.mkdir(exist_ok=True)
        # In a project's own folder it would be the project's.
        (folder.parent / ".gitignore").write_text("*\n")
        while True:
            folder.mkdir(exist_ok=True)
            place = cls(folder / f"{ref.commit[:12]}-{secrets.token_hex(6)}", -1)
            try:
                place.descriptor = _open(place.lock, os.O_CREAT | os.O_EXCL)
            except FileNotFoundError:  # another session found the folder empty, and removed it
                continue
            try:
                # Another session may see the file before it is locked, and take it for a leftover.
                if place._is_locked():
                    os.write(place.descriptor, os.fsencode(ref.toplevel) + b"\0%d" % os.getpid())
                    return place
            except OSError:
                place.close()
                place.lock.unlink(missing_ok=True)
                raise
            place.close()

    @classmethod
    def of_stale(cls, lock: Path) -> _Place | None:
        """The place of a lock file that nobody holds, locked; None when somebody does."""
        place = cls(lock.with_name(lock.name.removesuffix(".lock")), -1)
        with suppress(OSError):
            place.descriptor = _open(lock)
            if place._is_locked():
                return place
        place.close()
        return None

    def give_up(self, toplevel: Path, env: Mapping[str, str]) -> None:
        """Removes the worktree and all that is beside it, the lock last. Raises nothing."""
        if self.descriptor < 0:
            return
        self.end_processes()
        remove(self.root)
        with suppress(RefError, OSError), _alone(self.root):
            _forget(self.root, toplevel, env)
        with suppress(OSError):
            self.log.unlink(missing_ok=True)
            if not self.root.exists():
                self.lock.unlink(missing_ok=True)
                self.root.parent.rmdir()  # unless there are others
        self.close()

    def end_processes(self) -> None:
        """Ends what `prepare` has started and left running."""
        _native.end_family(_NOBODY, f"{_MARK}={self.root}")

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _is_locked(self) -> bool:
        """Locks the file unless somebody has; False too when it is no longer the file of this name."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.lock))
        except (BlockingIOError, FileNotFoundError):
            return False


def _open(lock: Path, flags: int = 0) -> int:
    """Opens a lock file under a high number: a shell command that inherits it uses low ones for itself."""
    low = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 100)
    finally:
        os.close(low)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Excludes other sessions: git fails on entries of worktrees that another git makes or removes just now."""
    descriptor = os.open(root.parent.parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(cache: Path, env: Mapping[str, str]) -> None:
    for lock in sorted((cache.resolve() / "worktrees").glob("*/*.lock")):
        try:
            toplevel, _, owner = lock.read_bytes().partition(b"\0")
        except OSError:
            continue
        if not _lives(owner):
            # What it had started holds the lock still.
            _Place(lock.with_name(lock.name.removesuffix(".lock")), -1).end_processes()
        place = _Place.of_stale(lock)
        if place is not None:
            place.give_up(Path(os.fsdecode(toplevel)), env)


def _lives(number: bytes) -> bool:
    """Whether there is a process of this number, which may be another one by now."""
    try:
        os.kill(int(number), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _forget(root: Path, toplevel: Path, env: Mapping[str, str]) -> None:
    """Makes the repository forget a worktree whose folder is gone, and no other one."""
    if not toplevel.is_absolute() or not toplevel.is_dir():
        return
    # Forced twice: git locks the entry of a worktree that it is still making.
    run_git(["worktree", "remove", "--force", "--force", str(root)], toplevel, env, writes=True)
    common = run_git(["rev-parse", "--git-common-dir"], toplevel, env)
    if common.code == 0:
        # A git that was killed early leaves an entry that git itself cannot name. The name is ours alone.
        entry = (toplevel / common.out.removesuffix("\n")).resolve() / "worktrees" / root.name
        remove(entry)
        with suppress(OSError):
            entry.parent.rmdir()


def _say(words: IO[bytes], word: bytes) -> None:
    with suppress(BrokenPipeError):
        words.write(word)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and all that it started, politely first."""
    try:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_lines(log: Path) -> str:
    with log.open(encoding="utf-8", errors="replace") as stream:
        return "".join(deque(stream, _LOG_LINES)).rstrip() or "(it printed nothing)"
