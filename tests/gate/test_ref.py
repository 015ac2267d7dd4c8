"""A name becomes one commit, whatever CI, clone or hook it is asked in, and what has none says what to change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_fastr.errors import RefError
from pytest_fastr.gate.ref import MERGE_BASE, resolve_ref, run_git
from support.repository import ENV, git


def commit(folder: Path, name: str) -> str:
    """Commits a new file of this name; the commit's hash."""
    (folder / name).write_text(name)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", f"adds {name}")
    return git(folder, "rev-parse", "HEAD")


def found(name: str, folder: Path, env: Mapping[str, str] = ENV) -> str:
    return resolve_ref(name, folder, env).commit


def refused(name: str, folder: Path, env: Mapping[str, str] = ENV) -> str:
    with pytest.raises(RefError) as caught:
        resolve_ref(name, folder, env)
    return str(caught.value)


def with_env(**more: str) -> dict[str, str]:
    return {**ENV, **more}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose `main` has two commits."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "one")
    commit(folder, "two")
    return folder


@pytest.fixture
def clone(repository: Path, tmp_path: Path) -> Path:
    """A full clone with a branch `work`, one commit ahead of origin/main."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(folder))
    git(folder, "checkout", "-q", "-b", "work")
    commit(folder, "work")
    return folder


def shallow(repository: Path, depth: int = 1, *options: str) -> Path:
    folder = repository.parent / "shallow"
    git(repository.parent, "clone", "-q", f"--depth={depth}", *options, repository.as_uri(), str(folder))
    return folder


def built_pull_request(clone: Path) -> tuple[str, str, str]:
    """Checks out the merge of `work` into a main that has moved on: base, head and merge commit."""
    head = git(clone, "rev-parse", "work")
    git(clone, "checkout", "-q", "--detach", "origin/main")
    base = commit(clone, "moved on")
    git(clone, "merge", "-q", "--no-ff", "-m", "merge", head)
    return base, head, git(clone, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["main", "HEAD", "v2", "refs/heads/main", "main@{0}", ":/adds two"])
def test_a_revision_is_its_commit(repository: Path, name: str) -> None:
    git(repository, "tag", "-a", "-m", "annotated", "v2")
    ref = resolve_ref(name, repository, ENV)
    assert (ref.name, ref.commit) == (name, git(repository, "rev-parse", "HEAD"))
    assert found("HEAD~1", repository) == git(repository, "rev-parse", "HEAD~1") != ref.commit
    assert found(ref.commit[:10], repository) == ref.commit


def test_the_top_folder_is_found_from_a_subfolder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "mein Läden\nund mehr "
    (folder / "täst s").mkdir(parents=True)
    git(folder, "init", "-q")
    first = commit(folder, "one")
    link = tmp_path / "link"
    link.symlink_to(folder)
    ref = resolve_ref("HEAD", link / "täst s", ENV)
    assert (ref.toplevel, ref.commit) == (folder.resolve(), first)


def test_a_name_with_no_local_branch_is_a_branch_of_a_remote(clone: Path) -> None:
    git(clone, "checkout", "-q", "--detach")
    git(clone, "branch", "-q", "-D", "main")
    assert found("main", clone) == git(clone, "rev-parse", "origin/main")
    git(clone, "remote", "rename", "origin", "upstream")
    assert found("main", clone) == git(clone, "rev-parse", "upstream/main")


@pytest.mark.parametrize("name", ["", "  ", "-q", "--all", "--output=/tmp/x", "a\0b"])
def test_what_cannot_be_a_name_is_refused_before_git_sees_it(repository: Path, name: str) -> None:
    assert "is no git ref" in refused(name, repository, {"PATH": "/nonexistent"})


@pytest.mark.parametrize("name", ["^main", "main..HEAD", "main HEAD", "HEAD^@", "nothing"])
def test_what_is_no_single_commit_is_refused(repository: Path, name: str) -> None:
    assert "no branch, tag or commit of this name" in refused(name, repository)


def test_a_folder_or_file_is_no_commit(repository: Path) -> None:
    assert "this is a tree and no commit" in refused("HEAD:", repository)
    assert "this is a blob and no commit" in refused("HEAD:one", repository)


def test_an_unknown_name_names_those_near_it(clone: Path) -> None:
    git(clone, "tag", "release-1")
    git(clone, "update-ref", "refs/remotes/origin/feature/basket", "HEAD")
    assert "did you mean `release-1`?" in refused("relase-1", clone)
    assert "`feature/basket`" in refused("feature/baskett", clone)
    assert "did you mean" not in refused("zzzz", clone)


def test_the_merge_base_is_where_work_left_the_remotes_default_branch(repository: Path, clone: Path) -> None:
    base = git(clone, "rev-parse", "origin/main")
    commit(repository, "three")
    git(clone, "fetch", "-q")
    assert found(MERGE_BASE, clone) == base != git(clone, "rev-parse", "origin/main")


@pytest.mark.parametrize("branch", ["refs/remotes/origin/main", "refs/remotes/origin/master", "refs/heads/master"])
def test_without_the_remotes_head_the_usual_names_are_tried(clone: Path, branch: str) -> None:
    base = git(clone, "rev-parse", "main")
    git(clone, "remote", "set-head", "origin", "--delete")
    git(clone, "update-ref", "-d", "refs/remotes/origin/main")
    git(clone, "branch", "-q", "-D", "main")
    git(clone, "update-ref", branch, base)
    assert found(MERGE_BASE, clone) == base


def test_without_any_target_branch_one_is_asked_for(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")
    git(clone, "branch", "-q", "-D", "main")
    assert "give --perf-against a branch" in refused(MERGE_BASE, clone)


@pytest.mark.parametrize(
    "variables",
    [
        {"GITHUB_BASE_REF": "release"},
        {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "release"},
        {"BITBUCKET_PR_DESTINATION_BRANCH": "release"},
        {"CHANGE_TARGET": "release"},
        {"SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/release"},
        {"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "release"},
        {"DRONE_TARGET_BRANCH": "release"},
        {"TRAVIS_BRANCH": "release", "TRAVIS_PULL_REQUEST": "7"},
    ],
    ids=lambda variables: str(next(iter(variables))),
)
def test_a_ci_names_the_target_branch(clone: Path, variables: dict[str, str]) -> None:
    older = git(clone, "rev-parse", "main~1")
    git(clone, "update-ref", "refs/remotes/origin/release", older)
    git(clone, "branch", "release", "main")
    assert found(MERGE_BASE, clone, {**ENV, **variables}) == older


@pytest.mark.parametrize(
    "variables",
    [
        {"GITHUB_BASE_REF": ""},
        {"TRAVIS_BRANCH": "release", "TRAVIS_PULL_REQUEST": "false"},
        {"DRONE_TARGET_BRANCH": "release", "DRONE_BUILD_EVENT": "push"},
        {"SYSTEM_PULLREQUEST_TARGETBRANCH": "$(System.PullRequest.TargetBranch)"},
    ],
    ids=lambda variables: str(next(iter(variables))),
)
def test_a_build_of_no_pull_request_has_the_default_branch(clone: Path, variables: dict[str, str]) -> None:
    git(clone, "branch", "release", "main~1")
    assert found(MERGE_BASE, clone, {**ENV, **variables}) == git(clone, "rev-parse", "origin/main")


def test_a_target_branch_is_looked_for_at_origin_then_here_then_at_other_remotes(clone: Path) -> None:
    env = with_env(GITHUB_BASE_REF="target")
    one, two = git(clone, "rev-parse", "main~1"), git(clone, "rev-parse", "main")
    git(clone, "remote", "add", "fork", "https://fork.example")
    git(clone, "update-ref", "refs/remotes/fork/target", one)
    assert found(MERGE_BASE, clone, env) == one
    git(clone, "branch", "target", two)
    assert found(MERGE_BASE, clone, env) == two
    git(clone, "update-ref", "refs/remotes/origin/target", one)
    assert found(MERGE_BASE, clone, env) == one


def test_a_target_branch_that_was_not_fetched_is_named(clone: Path) -> None:
    message = refused(MERGE_BASE, clone, with_env(GITHUB_BASE_REF="release"))
    assert "the branch release (GITHUB_BASE_REF), which this clone does not have; fetch it" in message


def test_a_pull_request_that_is_built_as_a_merge_is_compared_with_what_it_merges_into(clone: Path) -> None:
    base, _, merge = built_pull_request(clone)
    git(clone, "update-ref", "refs/remotes/origin/main", base)
    assert found(MERGE_BASE, clone, with_env(GITHUB_BASE_REF="main")) == base
    # Its first parent is that, even when the branch itself is an old one, or not there at all.
    git(clone, "update-ref", "refs/remotes/origin/main", f"{base}~1")
    env = with_env(GITHUB_BASE_REF="main", GITHUB_REF="refs/pull/7/merge", GITHUB_SHA=merge)
    assert found(MERGE_BASE, clone, env) == base
    env = with_env(BUILD_SOURCEBRANCH="refs/pull/7/merge", BUILD_SOURCEVERSION=merge)
    assert found(MERGE_BASE, clone, env) == base


def test_a_head_that_the_user_merged_is_no_merge_of_the_ci(clone: Path) -> None:
    base, head, _ = built_pull_request(clone)
    git(clone, "update-ref", "refs/remotes/origin/main", f"{base}~1")
    for env in (with_env(GITHUB_BASE_REF="main", GITHUB_REF="refs/pull/7/merge", GITHUB_SHA=head), ENV):
        assert found(MERGE_BASE, clone, env) == git(clone, "rev-parse", f"{base}~1")


def test_two_commits_of_a_merged_pull_request_are_enough(clone: Path) -> None:
    base, _, merge = built_pull_request(clone)
    git(clone, "branch", "merged")
    env = with_env(GITHUB_BASE_REF="main", GITHUB_REF="refs/pull/7/merge", GITHUB_SHA=merge)
    assert found(MERGE_BASE, shallow(clone, 2, "--branch=merged"), env) == base


def test_gitlab_names_the_commit_and_needs_no_branch(clone: Path) -> None:
    older, newer = git(clone, "rev-parse", "main~1"), git(clone, "rev-parse", "main")
    env = with_env(CI_MERGE_REQUEST_DIFF_BASE_SHA=older, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main")
    assert found(MERGE_BASE, clone, env) == older
    # A merged result has the target's newer commits in it: they are not the merge request's.
    assert found(MERGE_BASE, clone, {**env, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": newer}) == newer
    # Not cloned: the branch does as well.
    assert found(MERGE_BASE, clone, {**env, "CI_MERGE_REQUEST_DIFF_BASE_SHA": "1" * 40}) == newer


@pytest.mark.parametrize(
    "env", [ENV, with_env(GITHUB_BASE_REF="main"), with_env(CI_MERGE_REQUEST_DIFF_BASE_SHA="1" * 40)]
)
def test_a_merge_base_beyond_a_shallow_clone_names_the_depth(clone: Path, env: dict[str, str]) -> None:
    commit(clone, "more work")
    folder = shallow(clone, 1, "--branch=work", "--no-single-branch")
    git(folder, "remote", "set-head", "origin", "--delete")
    message = refused(MERGE_BASE, folder, env)
    assert "shallow" in message
    assert "`fetch-depth: 0`" in message
    assert "`git fetch --unshallow" in message


@pytest.mark.parametrize("name", ["HEAD~1", "work", "1" * 40])
def test_a_ref_beyond_a_shallow_clone_names_the_depth(repository: Path, name: str) -> None:
    git(repository, "branch", "work")
    message = refused(name, shallow(repository))
    assert f"--perf-against {name}: this clone is shallow" in message
    assert "`fetch-depth: 0`" in message


def test_the_advice_for_a_shallow_clone_helps(repository: Path) -> None:
    git(repository, "branch", "other", "HEAD~1")
    folder = shallow(repository)
    advice = refused("other", folder).partition("run `git ")[2].partition("`")[0]
    git(folder, *(part.strip("'") for part in advice.split()))
    assert found("other", folder) == git(repository, "rev-parse", "HEAD~1")


def test_a_ref_that_a_shallow_clone_has_is_found(repository: Path) -> None:
    assert found("main", shallow(repository)) == git(repository, "rev-parse", "main")


def test_histories_that_never_met_have_no_merge_base(clone: Path) -> None:
    git(clone, "checkout", "-q", "--orphan", "alone")
    commit(clone, "alone")
    assert "HEAD and the branch origin/HEAD have no commit in common" in refused(MERGE_BASE, clone)


@pytest.mark.parametrize("name", [MERGE_BASE, "HEAD", "main"])
def test_a_repository_without_commits_says_so(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    assert "has no commits; commit first" in refused(name, tmp_path)


def test_an_unborn_branch_still_has_the_others(repository: Path) -> None:
    git(repository, "checkout", "-q", "--orphan", "new")
    assert found("main", repository) == git(repository, "rev-parse", "main")
    assert "needs a HEAD with commits" in refused(MERGE_BASE, repository)


def test_a_folder_in_no_repository_says_so(tmp_path: Path) -> None:
    assert f"{tmp_path} is in none" in refused("main", tmp_path, with_env(GIT_CEILING_DIRECTORIES=str(tmp_path.parent)))


def test_a_repository_without_a_checkout_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    assert "needs a checkout" in refused("main", tmp_path)


def test_a_machine_without_git_says_so(repository: Path, tmp_path: Path) -> None:
    assert "install git, or put it on PATH" in refused("main", repository, {"PATH": str(tmp_path)})


def test_a_folder_that_does_not_exist_is_not_taken_for_a_missing_git(tmp_path: Path) -> None:
    assert "is no folder in which git can run" in refused("main", tmp_path / "gone")


def test_gits_own_hint_about_the_owner_is_passed_on(repository: Path) -> None:
    message = refused("main", repository, with_env(GIT_TEST_ASSUME_DIFFERENT_OWNER="1"))
    assert f"git config --global --add safe.directory {repository}" in message


def test_the_variables_of_a_hook_name_no_other_repository(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    commit(other, "three")
    env = with_env(GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other), GIT_INDEX_FILE="index.lock", GIT_PREFIX="x/")
    ref = resolve_ref("main", repository, env)
    assert (ref.toplevel, ref.commit) == (repository.resolve(), git(repository, "rev-parse", "main"))


def test_a_git_that_does_not_end_is_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/cat pipe\n")
    (tmp_path / "git").chmod(0o755)
    with pytest.raises(RefError, match=r"`git tag` did not end within 0\.1 s"):
        run_git(["tag"], tmp_path, {"PATH": str(tmp_path)}, timeout_s=0.1)


def test_what_git_writes_need_not_be_text(repository: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    git(repository, "tag", name)
    assert found(name, repository) == git(repository, "rev-parse", "main")
    assert name in run_git(["tag"], repository, ENV).out.splitlines()
