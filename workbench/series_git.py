# SPDX-License-Identifier: GPL-2.0
"""The half of series.py that needs git: patches/, and the proof that it is right.

Beside each base folder stands base.git, a bare repository with one commit of
the whole base. It is made once. It lets `git am` run on a clean tree without
unpacking one, and shows whether something wrote into the base.
"""

import os
import re
import shutil
import tempfile

from series import (Fail, ROOT, SERIES, Stack, assign, base_id, check_base, git, overlay,
                    patches, read, say, wanted, write)

PATCHES = os.path.join(ROOT, "patches")
PREFIX = "PATCH net-next"
MOST = 15

# A patch names who wrote it, and the Signed-off-by of those who certify its
# origin (the DCO). Neither is a program's to claim: the author below is nobody,
# no patch is signed, and whoever sends the series becomes its author and signs.
# The fixed date makes that the same sources always give the same patches.
NOBODY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
    ("NAME", "EMT developers"), ("EMAIL", "emt@example.invalid"),
    ("DATE", "2026-11-23T00:00:00+0000"))}


class Tap:
    """Results as the Test Anything Protocol has them."""

    def __init__(self):
        self.count = self.failed = 0

    def _line(self, text, notes):
        self.count += 1
        say(text)
        for note in notes:
            say(f"# {note}")

    def result(self, good, name, notes=()):
        self.failed += not good
        self._line(f"{'ok' if good else 'not ok'} {self.count + 1} - {name}",
                   () if good else notes)

    def skip(self, name, why):
        self._line(f"ok {self.count + 1} - {name} # SKIP {why}", ())

    def attempt(self, name, run):
        """Runs a check that returns what is wrong, or raises."""
        try:
            wrong = run() or []
        except Fail as why:
            wrong = [str(why)]
        self.result(not wrong, name, wrong)
        return not wrong

    def end(self):
        say(f"1..{self.count}")
        return 1 if self.failed else 0


# base.git

def base_git(base):
    """The repository of the base, made or brought up to date if need be."""
    check_base(base)
    repo = os.path.join(os.path.dirname(base), os.path.basename(base) + ".git")
    stamp = os.path.join(repo, "emt-base")
    if os.path.exists(stamp) and read(stamp).decode() == base_id(base):
        return repo
    say(f"# recording the base in {repo}: about a minute, once")
    if os.path.exists(repo) and not os.path.exists(stamp):
        shutil.rmtree(repo)
    if not os.path.exists(repo):
        git("init", "-q", "--bare", repo, cwd=base)
    # Linking a file changes its ctime. The threshold makes git write one pack
    # instead of a hundred thousand files.
    config = ("-c", "core.trustctime=false", "-c", "core.bigFileThreshold=1",
              "-c", "core.compression=1")
    git(*config, "add", "-A", "-f", ".", cwd=base, env=at(repo, base))
    tree = git("write-tree", cwd=repo).decode().strip()
    commit = git("commit-tree", "-m", "The base", tree, cwd=repo, env=NOBODY).decode().strip()
    git("update-ref", "refs/heads/base", commit, cwd=repo)
    write(stamp, base_id(base).encode())
    return repo


def at(repo, base):
    return {"GIT_DIR": repo, "GIT_WORK_TREE": base}


def written(repo, base):
    """Files of the base that are no longer as they were recorded."""
    out = git("-c", "core.trustctime=false", "diff-files", "-z", "--name-only",
              cwd=base, env=at(repo, base))
    names = [p for p in out.decode().split("\0") if p]
    if names:   # a new time is not yet a new content
        git("-c", "core.trustctime=false", "update-index", "-q", "--refresh",
            cwd=base, env=at(repo, base), ok=(0, 1))
        out = git("-c", "core.trustctime=false", "diff-files", "-z", "--name-only",
                  cwd=base, env=at(repo, base))
        names = [p for p in out.decode().split("\0") if p]
    return names


# generate

def complain(wrong):
    wrong = list(wrong)
    if wrong:
        raise Fail("\nseries: ".join(wrong))


def lists_wrong(base):
    every = patches()
    owner, wrong = assign(overlay(base), every)
    for p in every:
        if p.name not in owner.values() and not p.edited():
            wrong.append(f"series/{p.name} changes nothing")
    return wrong


def messages_wrong():
    wrong = []
    every = patches()
    if not 1 <= len(every) <= MOST:
        wrong.append(f"{len(every)} patches; a series has 1 to {MOST}")
    for name, text in [(p.name, p.message()) for p in every] + [("cover-letter", cover())]:
        subject, _, body = text.partition("\n")
        if len(subject) > 75 or subject.endswith(".") or subject.startswith("["):
            wrong.append(f"series/{name}: the subject is no subject: {subject}")
        if not body.startswith("\n") or not body.strip():
            wrong.append(f"series/{name}: no blank line and body after the subject")
        if re.search(r"(?im)^(signed-off|acked|reviewed|tested)-by:|to be written", text):
            wrong.append(f"series/{name}: holds a tag that a person has to give, or a to-do")
        wrong += [f"series/{name}: a line longer than 75: {l[:40]}..."
                  for l in body.splitlines() if len(l) > 75 and "://" not in l]
    return wrong


def cover():
    path = os.path.join(SERIES, "cover-letter")
    if not os.path.exists(path):
        raise Fail("series/cover-letter is missing")
    return read(path).decode().strip() + "\n"


def generate(base, out):
    """Writes the series into the folder `out`."""
    complain(lists_wrong(base))
    every = patches()
    paths = overlay(base)
    owner, _ = assign(paths, every)
    stack = Stack(base, every)
    with tempfile.TemporaryDirectory(prefix="emt-series-") as repo:
        git("init", "-q", cwd=repo)
        # For the names of functions in the hunks, as in a kernel tree.
        shutil.copy(os.path.join(base, ".gitattributes"), repo)
        # A title underlined by seven = is no conflict.
        write(os.path.join(repo, ".git/info/attributes"), b"*.rst conflict-marker-size=100\n")

        def commit(files, message):
            for path, (data, mode) in files.items():
                write(os.path.join(repo, path), data, mode)
            git("add", "-A", "-f", cwd=repo)
            git("commit", "-q", "--cleanup=verbatim", "--allow-empty", "-F", "-", cwd=repo,
                data=message.encode(), env=NOBODY)

        def mode(path):
            return 0o755 if os.access(path, os.X_OK) else 0o644

        commit({p: (d, mode(os.path.join(base, p))) for p, d in stack.states[0].items()}, "base")
        git("tag", "base", cwd=repo)
        for n, patch in enumerate(every, 1):
            files = {p: (read(os.path.join(ROOT, p)), mode(os.path.join(ROOT, p)))
                     for p in paths if owner[p] == patch.name}
            files.update((p, (stack.states[n][p], mode(os.path.join(base, p))))
                         for p in patch.edited())
            commit(files, patch.message())
        bad = git("diff", "--check", "base", "HEAD", cwd=repo, ok=(0, 2)).decode().splitlines()
        complain(l for l in bad if re.match(r"\S+:\d+: ", l))
        git("-c", "diff.algorithm=histogram", "-c", "core.abbrev=12",
            "format-patch", "-q", "-v1", "-o", out, f"--subject-prefix={PREFIX}",
            "--cover-letter", "--zero-commit", "--no-signature", "--no-renames",
            "--no-thread", "base..HEAD", cwd=repo, env=NOBODY)
    path = os.path.join(out, "v1-0000-cover-letter.patch")
    subject, _, body = cover().partition("\n")
    text = read(path).decode()
    for mark, value in (("*** SUBJECT HERE ***", subject), ("*** BLURB HERE ***", body.strip())):
        if text.count(mark) != 1:
            raise Fail(f"git's cover letter has no {mark}")
        text = text.replace(mark, value)
    write(path, text.encode())


def have():
    return os.listdir(PATCHES) if os.path.isdir(PATCHES) else []


def store(base):
    with tempfile.TemporaryDirectory(prefix="emt-patches-") as tmp:
        generate(base, tmp)
        complain(messages_wrong())
        new = sorted(os.listdir(tmp))
        for name in set(have()) - set(new):
            if name.endswith(".patch"):
                os.unlink(os.path.join(PATCHES, name))
        for name in new:
            path = os.path.join(PATCHES, name)
            if not os.path.exists(path) or read(path) != read(os.path.join(tmp, name)):
                write(path, read(os.path.join(tmp, name)))
                say(f"series: wrote patches/{name}")


# check

def same_patches(base):
    with tempfile.TemporaryDirectory(prefix="emt-patches-") as tmp:
        generate(base, tmp)
        new = set(os.listdir(tmp))
        old = set(have())
        wrong = [f"patches/{n} is missing" for n in sorted(new - old)]
        wrong += [f"patches/{n} is none of the series" for n in sorted(old - new)]
        wrong += [f"patches/{n} differs" for n in sorted(old & new)
                  if read(os.path.join(PATCHES, n)) != read(os.path.join(tmp, n))]
    return wrong + (["mend it with: make series"] if wrong else [])


def same_tree(base):
    """git am of patches/ on the base against base + overlay + edits."""
    repo = base_git(base)
    head = git("rev-parse", "refs/heads/base", cwd=repo).decode().strip()
    with tempfile.TemporaryDirectory(prefix="emt-am-") as tmp:
        git("init", "-q", cwd=tmp)
        write(os.path.join(tmp, ".git/objects/info/alternates"),
              os.path.join(repo, "objects\n").encode())
        git("update-ref", "HEAD", head, cwd=tmp)

        git("read-tree", head, cwd=tmp, env={"GIT_INDEX_FILE": ".git/expect"})
        lines = []
        for path, (data, mode, _) in wanted(base).items():
            blob = git("hash-object", "-w", "--stdin", cwd=tmp, data=data).decode().strip()
            lines.append(f"100{mode:o} {blob}\t{path}\n")
        git("update-index", "--add", "--index-info", cwd=tmp, data="".join(lines).encode(),
            env={"GIT_INDEX_FILE": ".git/expect"})
        expect = git("write-tree", cwd=tmp, env={"GIT_INDEX_FILE": ".git/expect"})

        # The work tree stays empty but for what the patches touch: git takes
        # what it misses there from the index.
        git("read-tree", head, cwd=tmp)
        mails = sorted(os.path.join(PATCHES, n) for n in have()
                       if n.endswith(".patch") and "-0000-" not in n)
        if not mails:
            return ["patches/ is empty"]
        git("am", "-q", *mails, cwd=tmp, env=NOBODY)
        if git("rev-parse", "HEAD^{tree}", cwd=tmp) == expect:
            return []
        names = git("diff", "--name-only", expect.decode().strip(), "HEAD", cwd=tmp).decode()
        return [f"differs: {n}" for n in names.splitlines()]


def intact(base):
    return [f"{n} was changed in the base since it was recorded; have it unpacked anew: rm -rf "
            f"{base} && make setup" for n in written(base_git(base), base)]


def check(base):
    tap = Tap()
    tap.attempt("series: every new file is in exactly one patch", lambda: lists_wrong(base))
    tap.attempt("series: each patch has a fit message", messages_wrong)
    tap.attempt("series: patches/ is what the sources give", lambda: same_patches(base))
    tap.attempt("series: the base is as it was unpacked", lambda: intact(base))
    tap.attempt("series: git am on a clean tree gives base + overlay + edits",
                lambda: same_tree(base))
    return tap.end()


def main(do, base):
    return store(base) if do == "generate" else check(base)
