#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Documentation/networking/rust-protocol-families.rst, whose code has to be that of the tree.

  page.py check TREE        what in the page is not so (nothing is printed if all is)
  page.py write TREE DIR    what somebody writes and types who follows the page: the
                            module's files, and the commands in the order of the page
"""

import os
import re
import subprocess
import sys

PAGE = "Documentation/networking/rust-protocol-families.rst"
SAMPLE = "samples/rust/rust_protocol_family.rs"
COMMANDS = "tools/testing/selftests/rust/protocol_family.sh"
OPTIONS = {"language", "start-at", "start-after", "end-at", "end-before", "dedent", "prepend"}


class Wrong(Exception):
    """What is wrong with the page."""


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Block:
    """One block of code: where it comes from (None: typed into the page) and its lines."""

    def __init__(self, line, kind, argument, options, body):
        self.line, self.kind, self.argument, self.options = line, kind, argument, options
        self.lines, self.source = body, None


def included(block, tree):
    """The lines that Sphinx would show, by the rules of its literalinclude."""
    block.source = os.path.normpath(os.path.join(os.path.dirname(PAGE), block.argument))
    unknown = set(block.options) - OPTIONS
    if unknown:
        raise Wrong(f"{PAGE}:{block.line}: option {unknown} is not known here")
    lines = read(os.path.join(tree, block.source)).splitlines()

    def find(name, first):
        marker = block.options[name]
        for n, line in enumerate(lines):
            if n >= first and marker in line:
                return n
        raise Wrong(f"{PAGE}:{block.line}: {block.source} has no \"{marker}\"")

    start = 0
    if "start-at" in block.options:
        start = find("start-at", 0)
    elif "start-after" in block.options:
        start = find("start-after", 0) + 1
    before = lines[start - 1] if start else ""
    lines = lines[start:]
    if "end-at" in block.options:
        lines = lines[:find("end-at", 0) + 1]
    elif "end-before" in block.options:
        lines = lines[:find("end-before", 1)]
    if "prepend" in block.options:
        if before != block.options["prepend"]:
            raise Wrong(f"{PAGE}:{block.line}: what stands before is \"{before}\"")
        lines.insert(0, before)
    dedent = int(block.options.get("dedent", 0))
    if any(l[:dedent].strip() for l in lines):
        raise Wrong(f"{PAGE}:{block.line}: dedent cuts text off")
    return lines


def blocks(tree):
    """All blocks of code of the page, in their order."""
    text = read(os.path.join(tree, PAGE)).splitlines()
    found, n = [], 0
    while n < len(text):
        start = re.match(r"\.\. (literalinclude|code-block|parsed-literal|code)::\s*(.*)", text[n])
        if not start and not re.search(r"(^|[^:.])::$", text[n]):
            n += 1
            continue
        kind, argument = start.groups() if start else ("::", "")
        line, options, body = n + 1, {}, []
        n += 1
        while n < len(text) and (not text[n].strip() or text[n].startswith("   ")):
            option = re.match(r"   :([a-z-]+):\s*(.*)", text[n])
            if option and not body:
                options[option[1]] = option[2]
            else:
                body.append(text[n][3:])
            n += 1
        block = Block(line, kind, argument, options, [l for l in body if l.strip()])
        if kind == "literalinclude":
            block.lines = included(block, tree)
        found.append(block)
    return found


def filled(lines):
    return [l for l in lines if l.strip()]


def names(tree):
    """Functions and files that the page names exist, and so do the Rust names."""
    text = read(os.path.join(tree, PAGE))
    prose = re.sub(r"(?m)^\.\. (literalinclude|code-block).*\n(   .*\n|\n)*", "", text)
    wrong = []
    functions = set(re.findall(r"\b([a-z_][a-z0-9_]*_[a-z0-9_]*)\(\)", prose))
    functions |= set(re.findall(r"``(rfcomm_\w+|packet_\w+|struct \w+)``", prose))
    rust = {n for found in re.findall(r"``((?:\w+::)+\w+)", prose) for n in found.split("::")}

    def missing(words, *where):
        out = subprocess.run(["grep", "-rohwE", "--include=*.[ch]", "--include=*.rs",
                              "|".join(words), *where], cwd=tree, capture_output=True, text=True)
        return [f"{PAGE}: names {words[w]}, which is not there"
                for w in sorted(set(words) - set(out.stdout.split()))]

    wrong += missing({n.split()[-1]: n for n in functions},
                     "net", "include", "rust/kernel", "security", "samples/rust")
    wrong += missing({n: n for n in rust}, "rust/kernel/net", "net/emt", "samples/rust")
    # In C: a() and b() in ``file``: there.
    for said in re.findall(r"(?ms)^\*In C:\*(.*?)(?:\n\n|\Z)", prose):
        for part in re.split(r";|\. ", said):
            path = re.search(r"``([\w/]+\.c)``", part)
            if not path:
                continue
            for name in re.findall(r"\b(\w+)\(\)|``((?:rfcomm|packet)_\w+|prot_hook)``",
                                   part[:path.start()]):
                name = name[0] or name[1]
                if not re.search(rf"\b{name}\b", read(os.path.join(tree, path[1]))):
                    wrong.append(f"{PAGE}: {path[1]} has no {name}")
    return wrong


def check(tree):
    """What is wrong."""
    wrong = []
    try:
        every = blocks(tree)
    except (Wrong, OSError) as why:
        return [str(why)]
    for block in every:
        if block.kind in ("parsed-literal", "code"):
            wrong.append(f"{PAGE}:{block.line}: code that comes from no file")
        if block.kind == "code-block" and block.argument != "sh":
            wrong.append(f"{PAGE}:{block.line}: only commands, which are run, may be typed in")
    if sum(b.kind == "::" for b in every) != 1:
        wrong.append(f"{PAGE}: has other literal blocks than the drawing")
    shown = [l for b in every if b.source == SAMPLE for l in filled(b.lines)]
    sample = filled(read(os.path.join(tree, SAMPLE)).splitlines())
    if shown != sample:
        at = next((n for n, (a, b) in enumerate(zip(shown, sample)) if a != b),
                  min(len(shown), len(sample)))
        wrong.append(f"{PAGE}: the blocks are not {SAMPLE}, from its line "
                     f"\"{(sample + ['end'])[at].strip()}\" on")
    return wrong + names(tree)


def write(tree, out):
    every = blocks(tree)
    os.makedirs(out, exist_ok=True)

    def put(name, lines):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    put("rust_protocol_family.rs", [l for b in every if b.source == SAMPLE for l in b.lines])
    typed = [b for b in every if b.kind == "code-block"]
    for name, block in zip(("kernel", "makefile", "module", "selftests"), typed, strict=True):
        put(f"{name}.sh", block.lines)
    for n, block in enumerate(b for b in every if b.source == COMMANDS):
        put(f"guest-{n}.sh", block.lines)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "check":
        wrong = check(sys.argv[2])
        print("\n".join(wrong), end="\n" if wrong else "")
        return 1 if wrong else 0
    if len(sys.argv) == 4 and sys.argv[1] == "write":
        return write(sys.argv[2], sys.argv[3])
    return __doc__


if __name__ == "__main__":
    sys.exit(main())
