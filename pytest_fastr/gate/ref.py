"""Another git ref to measure against: which commit of which repository a name means.

Nothing here changes the repository. `worktree` checks out what was found, through the same `run_git`.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_fastr.errors import RefError

MERGE_BASE = "merge-base"
"""The word for the commit at which the work left the branch that it is meant for."""

_READ_TIMEOUT_S = 120.0

# They tell git which repository it is in, and a hook has them set to the one it runs for.
_REPOSITORY_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)  # fmt: skip

# No hook of the user's runs, nothing is started that outlives the call, submodules are `worktree`'s own step.
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false",
             "submodule.recurse=false", "advice.detachedHead=false")  # fmt: skip

_TARGET_COMMITS = ("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA")
"""GitLab fetches no target branch, and names commits: the first is set where HEAD is merged into it already."""

_TARGET_BRANCHES = (
    "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "BITBUCKET_PR_DESTINATION_BRANCH", "CHANGE_TARGET",
    "SYSTEM_PULLREQUEST_TARGETBRANCH", "BUILDKITE_PULL_REQUEST_BASE_BRANCH", "DRONE_TARGET_BRANCH", "TRAVIS_BRANCH",
)  # fmt: skip

_BUILT_REFS = (("GITHUB_REF", "GITHUB_SHA"), ("BUILD_SOURCEBRANCH", "BUILD_SOURCEVERSION"))
"""What GitHub and Azure say they check out: the ref, and its commit."""

_DEFAULT_BRANCHES = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master",
                     "refs/heads/main", "refs/heads/master")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ref:
    """A commit to measure against."""

    name: str
    """As the user named it."""
    commit: str
    """Its full hash."""
    toplevel: Path
    """The resolved top folder of the user's checkout."""


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """What a git command said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Its error output, or else its exit code, to stand in a message."""
        return self.err.strip().removeprefix("fatal: ") or f"exit code {self.code}"


def resolve_ref(name: str, rootdir: Path, env: Mapping[str, str], asked: str = "--perf-against") -> Ref:
    """The commit that `name` means in the repository around `rootdir`: any git revision, or `merge-base`.

    `env` is the environment: a CI names the pull request's target branch in it. `asked` is what the name was given to.
    Raises RefError.
    """
    if not name.strip() or name.startswith("-") or "\0" in name:
        raise RefError(f"{asked} {name!r} is no git ref; give it a branch, a tag, a commit or `{MERGE_BASE}`")
    repository = _Repository(_toplevel(rootdir, env, asked), env, asked)
    commit = repository.merge_base() if name == MERGE_BASE else repository.named(name)
    return Ref(name, commit, repository.toplevel)


def run_git(
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    *,
    writes: bool = False,
    timeout_s: float = _READ_TIMEOUT_S,
    hold: Sequence[int] = (),
) -> GitAnswer:
    """Runs git in `folder`, which alone decides the repository. Raises RefError when git does not run or not end.

    `hold` are file descriptors that git and its children keep open.
    """
    own = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **({} if writes else {"GIT_OPTIONAL_LOCKS": "0"})}
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", "--no-pager", *settings, *arguments],
            cwd=folder,
            env={**without_repository(env), **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            pass_fds=tuple(hold),
        )
    except subprocess.TimeoutExpired as error:
        raise RefError(
            f"`git {arguments[0]}` did not end within {timeout_s:g} s in {folder}; run it by hand to see what "
            "it waits for"
        ) from error
    except OSError as error:
        if not folder.is_dir():
            raise RefError(f"{folder} is no folder in which git can run") from error
        raise RefError(
            f"git is needed, and cannot be run ({error.strerror or error}); install git, or put it on PATH"
        ) from error
    return GitAnswer(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))


def submodules_of(folder: Path, env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, path and commit of each submodule of the checkout whose top is `folder`."""
    if not (folder / ".gitmodules").is_file():
        return []
    answer = run_git(["config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"], folder, env)
    entries = [entry.partition("\n") for entry in answer.out.split("\0")[:-1]]
    named = {path: key[len("submodule.") : -len(".path")] for key, _, path in entries}
    # A name is a folder of git's as well, and must not climb.
    named = {path: name for path, name in named.items() if ".." not in Path(name).parts}
    answer = run_git(["--literal-pathspecs", "ls-files", "--stage", "-z", "--", ".gitmodules", *named], folder, env)
    staged = [entry.partition("\t") for entry in answer.out.split("\0")[:-1]]
    links = {path: about.split()[1] for about, _, path in staged if about.startswith("160000 ")}
    return [(named[path], path, commit) for path, commit in links.items() if path in named]


def without_repository(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables by which a git hook names its own repository."""
    return {name: value for name, value in env.items() if name not in _REPOSITORY_VARIABLES}


class _Repository:
    """Questions to the repository of a checkout."""

    def __init__(self, toplevel: Path, env: Mapping[str, str], asked: str) -> None:
        self.toplevel = toplevel
        self._env = env
        self._asked = asked

    def named(self, name: str) -> str:
        """The commit of a revision, or of a remote's branch of this name."""
        commit = self._commit(name) or self._branch(name)
        if commit is not None:
            return commit
        kind = self._ask("cat-file", "-t", name)
        if kind in ("tree", "blob"):
            raise RefError(f"{self._asked} {name}: this is a {kind} and no commit; give it a branch, a tag or a commit")
        self._refuse_empty()
        meant = self._suggestion(name)
        if self._is_shallow():
            raise self._shallow(f"{self._asked} {name}: this clone is shallow and does not have it{meant}")
        raise RefError(
            f"{self._asked} {name}: {self.toplevel} has no branch, tag or commit of this name"
            f"{meant or '; fetch it, or give one that exists'}"
        )

    def merge_base(self) -> str:
        """The newest commit that HEAD has in common with the branch that it is meant for."""
        head = self._commit("HEAD")
        if head is None:
            self._refuse_empty()
            raise RefError(f"{MERGE_BASE} needs a HEAD with commits; commit first, or give {self._asked} a branch")
        # A CI that builds a pull request as a merge has put the target's tip first.
        merged_into = self._first_parent_of_built(head)
        if merged_into is not None:
            return merged_into
        target, what = self._target()
        base = self._ask("merge-base", head, target)
        if base and not (base == head and self._is_shallow()):
            return base.partition("\n")[0]
        if self._is_shallow():
            raise self._shallow(f"{MERGE_BASE}: this clone is shallow and does not reach back to {what}")
        raise RefError(f"{MERGE_BASE}: HEAD and {what} have no commit in common; give {self._asked} another branch")

    def _target(self) -> tuple[str, str]:
        """The commit to find the merge base with, and what to call it."""
        named: list[str] = []
        for variable in _TARGET_COMMITS:
            commit = self._env.get(variable, "")
            if commit and not commit.startswith("-"):
                found = self._commit(commit)
                if found is not None:
                    return found, f"{commit[:12]} ({variable})"
                named.append(f"the commit {commit[:12]} ({variable})")
        for variable in _TARGET_BRANCHES:
            branch = _branch_in(variable, self._env)
            if branch:
                found = self._branch(branch)
                if found is not None:
                    return found, f"the branch {branch} ({variable})"
                named.append(f"the branch {branch} ({variable})")
        if named:
            raise self._no_target(" or ".join(named))
        for ref in _DEFAULT_BRANCHES:
            found = self._commit(ref)
            if found is not None:
                return found, f"the branch {ref.removeprefix('refs/heads/').removeprefix('refs/remotes/')}"
        if self._is_shallow():
            raise self._shallow(f"{MERGE_BASE}: this clone is shallow and has no default branch")
        raise RefError(
            f"{MERGE_BASE} needs a target branch, and neither the CI's environment nor the remote `origin` names one; "
            f"give {self._asked} a branch"
        )

    def _no_target(self, what: str) -> RefError:
        if self._is_shallow():
            return self._shallow(f"{MERGE_BASE}: this clone is shallow and does not have {what}")
        return RefError(
            f"{MERGE_BASE} needs {what}, which this clone does not have; fetch it, or give {self._asked} a branch"
        )

    def _first_parent_of_built(self, head: str) -> str | None:
        for ref, commit in _BUILT_REFS:
            if re.fullmatch(r"refs/pull/\d+/merge", self._env.get(ref, "")) and self._env.get(commit) == head:
                parents = (self._ask("rev-parse", f"{head}^@") or "").split()
                return self._commit(parents[0]) if len(parents) == 2 else None
        return None

    def _branch(self, name: str) -> str | None:
        """The commit of a branch: the one of `origin`, the local one, or another remote's."""
        remotes = (self._ask("remote") or "").splitlines()
        others = [f"refs/remotes/{remote}/{name}" for remote in remotes if remote != "origin"]
        places = (f"refs/remotes/origin/{name}", f"refs/heads/{name}", *others)
        return next((commit for place in places if (commit := self._commit(place)) is not None), None)

    def _commit(self, revision: str) -> str | None:
        """The hash of the revision's commit; None when there is no such commit here."""
        # Not in one step: a suffix would become part of a revision such as `:/text`.
        found = self._ask("rev-parse", "--verify", "--quiet", revision)
        if found is None or not re.fullmatch("[0-9a-f]{40,64}", found):
            return None
        return self._ask("rev-parse", "--verify", "--quiet", f"{found}^{{commit}}")

    def _ask(self, *arguments: str) -> str | None:
        """What git prints; None when it refuses."""
        answer = run_git(arguments, self.toplevel, self._env)
        return answer.out.removesuffix("\n") if answer.code == 0 else None

    def _refuse_empty(self) -> None:
        if not self._ask("rev-list", "--max-count=1", "--all"):
            raise RefError(
                f"{self._asked} needs something to compare with, and {self.toplevel} has no commits; commit first"
            )

    def _suggestion(self, name: str) -> str:
        listed = self._ask("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/tags") or ""
        known = set()
        for ref in listed.splitlines():
            kind, _, short = ref.removeprefix("refs/").partition("/")
            known.add(short)
            if kind == "remotes":
                known.add(short.partition("/")[2])
        near = difflib.get_close_matches(name, sorted(known), n=3)
        return f"; did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else ""

    def _is_shallow(self) -> bool:
        return self._ask("rev-parse", "--is-shallow-repository") == "true"

    def _shallow(self, what: str) -> RefError:
        return RefError(
            f"{what}; set `fetch-depth: 0` for actions/checkout (`GIT_DEPTH: 0` for GitLab), or run "
            "`git fetch --unshallow origin '+refs/heads/*:refs/remotes/origin/*'`"
        )


def _toplevel(rootdir: Path, env: Mapping[str, str], asked: str) -> Path:
    answer = run_git(["rev-parse", "--show-toplevel"], rootdir, env)
    if answer.code == 0 and answer.out.strip():
        return Path(answer.out.removesuffix("\n")).resolve()
    if "not a git repository" in answer.err:
        raise RefError(f"{asked} needs a git repository, and {rootdir} is in none; run pytest in a checkout")
    if "must be run in a work tree" in answer.err:
        raise RefError(
            f"{asked} needs a checkout, and {rootdir} is in a repository without one; run pytest in a checkout"
        )
    # Among these is that the repository is somebody else's, for which git names the remedy.
    raise RefError(f"{asked} cannot read the repository of {rootdir}, git says: {answer.complaint}")


def _branch_in(variable: str, env: Mapping[str, str]) -> str:
    """The target branch that a CI's variable names; empty when this build is of no pull request."""
    branch = env.get(variable, "").strip().removeprefix("refs/heads/")
    if variable == "TRAVIS_BRANCH" and not env.get("TRAVIS_PULL_REQUEST", "").isdigit():
        return ""
    if variable == "DRONE_TARGET_BRANCH" and env.get("DRONE_BUILD_EVENT", "pull_request") != "pull_request":
        return ""
    # Azure leaves a macro without a value as it is written.
    return "" if branch.startswith("$(") else branch


def current_commit(folder: Path) -> str | None:
    """The commit checked out in ``folder``; None outside a repository or without git."""
    try:
        answer = run_git(["rev-parse", "--verify", "HEAD"], folder, os.environ)
    except RefError:
        return None
    return answer.out.strip() or None if answer.code == 0 else None
