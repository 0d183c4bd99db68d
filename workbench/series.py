#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""From the overlay and series/ to a kernel tree and to mailable patches.

The new files of the series live once, at their kernel paths in this checkout
(the overlay). series/NN-slug/ holds, for each patch, its message, the list of
overlay files that it adds, and its edits to files that the base has.

  sync      make or update a kernel tree: base + overlay + edits
  absorb    take edits made in that tree back into series/NN-slug/edits.diff
  generate  write patches/ (the mail-ready series)
  check     prove that patches/ is up to date and gives the same tree
  list      the patches and their files

The tree is a copy of the base, since people edit it in place and many editors
write through hard links. `sync --link` makes one of hard links, for trees that
nobody edits: sync itself replaces files and never writes into one.
"""

import argparse
import difflib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERIES = os.path.join(ROOT, "series")
STATE = os.environ.get("EMT_STATE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "emt")
MANIFEST = ".emt-manifest"
# What lies in a folder of the base's and is no part of the series.
APART = ("tools/net/emt/",)


class Fail(Exception):
    """What stops us, in words for the person who ran the command."""


def say(text):
    print(text, flush=True)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def mode_of(path):
    return 0o755 if os.stat(path).st_mode & stat.S_IXUSR else 0o644


def write(path, data, mode=0o644):
    """Replaces a file by a new one: readers see either, and hard links do not matter."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tmp = f"{path}.emt-tmp"
    if os.path.lexists(tmp):
        os.unlink(tmp)
    with open(tmp, "wb") as f:
        f.write(data)
    os.chmod(tmp, mode)
    os.rename(tmp, path)


def git_env(ceiling):
    """An environment in which no setting of the user changes what git does."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", LC_ALL="C",
               TZ="UTC", GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.realpath(ceiling)))
    return env


def git(*args, cwd, data=None, env=None, ok=(0,)):
    run = subprocess.run(("git",) + args, cwd=cwd, input=data, capture_output=True,
                         env={**git_env(cwd), **(env or {})})
    if run.returncode not in ok:
        raise Fail(f"git {args[0]}: " + run.stderr.decode(errors="replace").strip())
    return run.stdout


# The series' sources

class Patch:
    def __init__(self, name):
        self.name = name
        self.dir = os.path.join(SERIES, name)
        self.edits = os.path.join(self.dir, "edits.diff")

    def listed(self):
        """The lines of `files`: overlay paths, a folder's with a trailing /."""
        path = os.path.join(self.dir, "files")
        if not os.path.exists(path):
            return []
        lines = (l.split("#")[0].strip() for l in read(path).decode().splitlines())
        return [l for l in lines if l]

    def message(self):
        path = os.path.join(self.dir, "message")
        if not os.path.exists(path):
            raise Fail(f"series/{self.name}/message is missing")
        return read(path).decode().strip() + "\n"

    def edited(self):
        """The paths that edits.diff changes."""
        if not os.path.exists(self.edits) or not os.path.getsize(self.edits):
            return []
        out = git("apply", "--numstat", "-z", self.edits, cwd=tempfile.gettempdir())
        return [p.split("\t", 2)[2] for p in out.decode().split("\0") if p]


def patches():
    if not os.path.isdir(SERIES):
        return []
    names = sorted(n for n in os.listdir(SERIES) if re.match(r"\d\d-", n))
    for a, b in zip(names, names[1:]):
        if a[:3] == b[:3]:
            raise Fail(f"series/{a} and series/{b} have the same number")
    return [Patch(n) for n in names]


def find_patch(name):
    found = [p for p in patches() if p.name == name or p.name[:2] == name]
    if not found:
        raise Fail(f"no folder series/{name}; there are: " +
                   ", ".join(p.name for p in patches()))
    return found[0]


def overlay(base):
    """The new kernel files: what lies, in this checkout, in a folder of the base's, and is not APART."""
    run = subprocess.run(["git", "-C", ROOT, "ls-files", "-coz", "--exclude-standard"],
                         capture_output=True)
    if run.returncode:
        raise Fail("this needs the git checkout: " + run.stderr.decode().strip())
    tops = {e.name for e in os.scandir(base) if e.is_dir() and not e.name.startswith(".")}
    paths = [p for p in run.stdout.decode().split("\0")
             if "/" in p and p.split("/")[0] in tops and not p.startswith(APART)
             and os.path.isfile(os.path.join(ROOT, p))]
    for p in paths:
        if os.path.lexists(os.path.join(base, p)):
            raise Fail(f"{p}: the base has this file; an edit to it belongs into "
                       "series/*/edits.diff (series.py absorb)")
    return sorted(set(paths))


def assign(paths, todo):
    """Which patch adds which overlay files, and what is wrong with the lists."""
    owner, wrong = {}, []
    for patch in todo:
        for line in patch.listed():
            hit = [p for p in paths if p == line or line.endswith("/") and p.startswith(line)]
            if not hit:
                wrong.append(f"series/{patch.name}/files: {line} is not in the overlay")
            for p in hit:
                if owner.setdefault(p, patch.name) != patch.name:
                    wrong.append(f"{p} is in two patches: {owner[p]} and {patch.name}")
    wrong += [f"{p} is in no patch" for p in paths if p not in owner]
    return owner, wrong


class Stack:
    """The edited files as they stand after each patch; [0] is the base."""

    def __init__(self, base, todo):
        self.base = base
        self.states = [{}]
        with tempfile.TemporaryDirectory(prefix="emt-edits-") as tmp:
            for patch in todo:
                files = patch.edited()
                for f in files:
                    self._fetch(tmp, f, patch)
                if files:
                    self._apply(tmp, patch)
                state = dict(self.states[-1])
                state.update((f, read(os.path.join(tmp, f))) for f in files)
                self.states.append(state)

    def _fetch(self, tmp, path, patch):
        dest, src = os.path.join(tmp, path), os.path.join(self.base, path)
        if os.path.exists(dest):
            return
        if not os.path.isfile(src):
            raise Fail(f"series/{patch.name}/edits.diff: the base has no {path}; "
                       "a new file belongs into the overlay")
        write(dest, read(src), mode_of(src))
        self.states[0][path] = read(src)

    @staticmethod
    def _apply(tmp, patch):
        try:
            git("apply", "--whitespace=nowarn", patch.edits, cwd=tmp)
        except Fail as why:
            where = re.search(r"patch failed: (.+):(\d+)", str(why))
            if where:
                why = f"a hunk does not apply to {where[1]}, line {where[2]}"
            else:
                why = str(why).removeprefix("git apply: error: ").splitlines()[0]
            raise Fail(f"series/{patch.name}/edits.diff: {why}") from None

    def at(self, n, path):
        """A file after n patches, None if the base has none."""
        for state in (self.states[n], self.states[0]):
            if path in state:
                return state[path]
        src = os.path.join(self.base, path)
        return read(src) if os.path.isfile(src) else None


def wanted(base, upto=None):
    """path -> (content, mode, kind): all that the series makes of the base."""
    check_base(base)
    every = patches()
    todo = every if upto is None else every[:upto]
    paths = overlay(base)
    if upto is not None:
        owner, _ = assign(paths, todo)
        paths = [p for p in paths if p in owner]
    want = {p: (read(os.path.join(ROOT, p)), mode_of(os.path.join(ROOT, p)), "overlay")
            for p in paths}
    for p, data in Stack(base, todo).states[-1].items():
        if any(p in t.edited() for t in todo):
            want[p] = (data, mode_of(os.path.join(base, p)), "edit")
    return want


def check_base(base):
    if not os.path.isfile(os.path.join(base, "Kbuild")):
        raise Fail(f"no kernel tree in {base}: run `make setup` first")


# sync

def base_id(base):
    st = os.stat(base)
    return f"{os.path.realpath(base)} {st.st_dev}:{st.st_ino}"


def make_tree(base, out, link):
    """The first copy, complete or not there at all."""
    tmp = f"{out}.new"
    shutil.rmtree(tmp, ignore_errors=True)
    say(f"sync: making the tree {out}: half a minute, once")
    how = ["-al"] if link else ["-a", "--reflink=auto"]
    if subprocess.run(["cp", *how, "--", base, tmp]).returncode:
        shutil.rmtree(tmp, ignore_errors=True)
        raise Fail(f"the tree {out} could not be made; it needs 2 GB: df -h {os.path.dirname(out)}")
    for junk in (MANIFEST, ".git"):
        path = os.path.join(tmp, junk)
        shutil.rmtree(path) if os.path.isdir(path) else \
            os.path.lexists(path) and os.unlink(path)
    os.rename(tmp, out)


class Locked:
    """One of us at a time in a tree."""

    def __init__(self, out):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        self.file = open(f"{out}.lock", "w")

    def __enter__(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def load_manifest(base, out):
    path = os.path.join(out, MANIFEST)
    if not os.path.exists(path):
        return {}
    manifest = json.loads(read(path))
    if manifest["base"] != base_id(base):
        raise Fail(f"{out} was made from another base ({manifest['base'].split()[0]}); "
                   f"remove it: rm -rf {out}")
    return manifest["files"]


def sync(base, out, upto=None, force=False, link=False):
    want = wanted(base, upto)
    with Locked(out):
        if not os.path.isdir(out):
            make_tree(base, out, link)
        old = load_manifest(base, out)
        todo = dict(want)
        for path in old.keys() - want.keys():
            src = os.path.join(base, path)
            # A file that goes back to the base's content is written anew, not
            # linked: its old time would hide the change from make.
            todo[path] = (read(src), mode_of(src), "base") if os.path.isfile(src) \
                else (None, 0, "gone")
        changes, foreign = [], []
        for path, (data, mode, kind) in sorted(todo.items()):
            dest = os.path.join(out, path)
            now = read(dest) if os.path.isfile(dest) else None
            if now == data and (data is None or mode_of(dest) == mode):
                continue
            expect = old.get(path)
            if expect is None and os.path.isfile(os.path.join(base, path)):
                expect = digest(read(os.path.join(base, path)))
            if now is not None and digest(now) != expect and not force:
                foreign.append(path)
            changes.append((path, data, mode, kind))
        if foreign:
            raise Fail(f"edited in {out} since the last sync: " + ", ".join(foreign) +
                       " (take it over with `series.py absorb NN-slug`, or into the "
                       "overlay; or drop it with `sync --force`)")
        for path, data, mode, kind in changes:
            dest = os.path.join(out, path)
            if data is not None:
                write(dest, data, mode)
            elif os.path.exists(dest):
                os.unlink(dest)
                prune(os.path.dirname(dest), out)
        manifest = {"base": base_id(base),
                    "files": {p: digest(d) for p, (d, _, _) in sorted(want.items())}}
        data = json.dumps(manifest, indent=0).encode()
        path = os.path.join(out, MANIFEST)
        if not os.path.exists(path) or read(path) != data:
            write(path, data)
    for path, data, _, kind in changes:
        say(f"sync: {'removed' if data is None else kind:8} {path}")
    return len(changes)


def prune(folder, top):
    while folder != top and not os.listdir(folder):
        os.rmdir(folder)
        folder = os.path.dirname(folder)


# absorb

def inserted(before, after):
    """Which lines of `after` are new, None if lines went or changed as well."""
    flags = [False] * len(after)
    for what, _, _, start, end in difflib.SequenceMatcher(None, before, after,
                                                          False).get_opcodes():
        if what == "insert":
            flags[start:end] = [True] * (end - start)
        elif what != "equal":
            return None
    return flags


def merge(ours, base, theirs):
    """Three-way merge. None if it conflicts, unless all that happened is that
    neighbouring lines were added, or added and taken away."""
    with tempfile.TemporaryDirectory(prefix="emt-merge-") as tmp:
        names = [os.path.join(tmp, n) for n in ("ours", "base", "theirs")]
        for n, d in zip(names, (ours, base, theirs)):
            write(n, d)
        run = subprocess.run(["git", "merge-file", "-p"] + names, capture_output=True, cwd=tmp)
        if run.returncode == 0:
            return run.stdout
        ours, base, theirs = (d.splitlines(True) for d in (ours, base, theirs))
        new, taken = inserted(base, theirs), inserted(ours, base)
        if new is None:
            return None
        if taken is not None:
            old = iter(taken)
            return b"".join(l for l, added in zip(theirs, new) if added or not next(old))
        if inserted(base, ours) is not None:
            return git("merge-file", "-p", "--union", *names, cwd=tmp)
        return None


def diff_text(before, after):
    """A git style diff of two {path: content}."""
    with tempfile.TemporaryDirectory(prefix="emt-diff-") as tmp:
        # The base's .gitattributes name the language, for the hunk headings.
        write(os.path.join(tmp, ".gitattributes"), b"*.[ch] diff=cpp\n*.rs diff=rust\n")
        git("init", "-q", cwd=tmp)
        for side, files in (("a", before), ("b", after)):
            for path, data in files.items():
                write(os.path.join(tmp, side, path), data)
            os.makedirs(os.path.join(tmp, side), exist_ok=True)
        out = git("diff", "--no-index", "--no-prefix", "--diff-algorithm=histogram",
                  "a", "b", cwd=tmp, ok=(0, 1))
    return b"".join(l for l in out.splitlines(True) if not re.match(rb"index [0-9a-f]+\.\.", l))


def differing(base, out):
    """Files of the base that have another content in the tree."""
    found = []
    for folder, dirs, files in os.walk(base):
        rel = os.path.relpath(folder, base)
        for name in files:
            path = name if rel == "." else os.path.join(rel, name)
            a, b = os.path.join(base, path), os.path.join(out, path)
            try:
                sa, sb = os.lstat(a), os.lstat(b)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(sa.st_mode):
                continue
            # The copy kept the times; what was edited has a new one.
            same = (sa.st_size, sa.st_mtime_ns) == (sb.st_size, sb.st_mtime_ns)
            if not same and read(a) != read(b):
                found.append(path)
    return found


def absorb(base, out, name):
    patch, todo = find_patch(name), patches()
    at = [p.name for p in todo].index(patch.name) + 1
    stack = Stack(base, todo)
    touched = set().union(*stack.states)
    taken = []
    for path in sorted(set(differing(base, out)) | touched):
        new, old = read(os.path.join(out, path)), stack.at(-1, path)
        if new == old:
            continue
        # What patch N leaves is what the tree shows less what later patches
        # do to the file; each later state then follows from the one before.
        later = [n for n in range(at + 1, len(todo) + 1)
                 if stack.at(n, path) != stack.at(n - 1, path)]
        was = [stack.at(n, path) for n in range(len(todo) + 1)]
        state = merge(was[at], old, new) if later else new
        for n in range(at, len(todo) + 1):
            if n == (later[-1] if later else at):
                state = new
            elif n in later:
                state = merge(was[n], was[n - 1], state)
            if state is None:
                others = ", ".join(todo[i - 1].name for i in later)
                raise Fail(f"{path}: the edit stands on lines that {others} adds or changes; "
                           f"absorb it there, or edit series/{patch.name}/edits.diff by hand")
            stack.states[n][path] = state
        for n in range(at):
            stack.states[n].setdefault(path, was[n])
        taken.append(path)
    if not taken:
        say("absorb: the tree holds no edit that the series has not")
        return
    for n, p in enumerate(todo, 1):
        before, after = stack.states[n - 1], stack.states[n]
        if n < at or not any(after.get(f) != before.get(f) for f in taken):
            continue
        names = sorted(f for f in after if after[f] != stack.at(n - 1, f))
        write(p.edits, diff_text({f: stack.at(n - 1, f) for f in names},
                                 {f: after[f] for f in names}))
        say(f"absorb: wrote series/{p.name}/edits.diff ({', '.join(names)})")
    want = wanted(base)
    for path in taken:
        if want[path][0] != read(os.path.join(out, path)):
            raise Fail(f"absorb: {path} does not come out of the diffs as the tree has it")
    sync(base, out)


# Command line

def show(base):
    check_base(base)
    paths = overlay(base)
    owner, wrong = assign(paths, patches())
    for patch in patches():
        say(f"{patch.name}")
        for p in paths:
            if owner.get(p) == patch.name:
                say(f"    + {p}")
        for p in patch.edited():
            say(f"    ~ {p}")
    for w in wrong:
        say(f"wrong: {w}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="do", required=True)

    def command(name, text, tree=False):
        cmd = sub.add_parser(name, help=text)
        cmd.add_argument("--base", default=os.path.join(STATE, "base"),
                         help="the pristine kernel tree")
        if tree:
            cmd.add_argument("--out", default=os.path.join(STATE, "linux"),
                             help="the tree to build from")
        return cmd

    cmd = command("sync", "make or update a kernel tree", tree=True)
    cmd.add_argument("--upto", type=int, metavar="N", help="only the first N patches")
    cmd.add_argument("--force", action="store_true", help="drop edits made in the tree")
    cmd.add_argument("--link", action="store_true", help="make it of hard links to the base")
    cmd = command("absorb", "take edits from the tree into a patch", tree=True)
    cmd.add_argument("patch", help="series/NN-slug, or NN")
    command("generate", "write patches/")
    command("check", "prove patches/, as TAP")
    command("list", "the patches and their files")
    args = parser.parse_args()

    args.base = os.path.abspath(args.base)
    if args.do == "list":
        return show(args.base)
    if args.do in ("sync", "absorb"):
        args.out = os.path.abspath(args.out)
    if args.do == "sync":
        sync(args.base, args.out, args.upto, args.force, args.link)
    elif args.do == "absorb":
        absorb(args.base, args.out, os.path.basename(args.patch.rstrip("/")))
    else:
        import series_git
        return series_git.main(args.do, args.base)


if __name__ == "__main__":
    # series_git imports this module by its name.
    sys.modules.setdefault("series", sys.modules["__main__"])
    try:
        sys.exit(main())
    except Fail as why:
        sys.exit(f"series: {why}")
