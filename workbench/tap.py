# SPDX-License-Identifier: GPL-2.0
"""What test programs printed, as counts that leave nothing out."""

import glob
import json
import os
import re

RESULT = re.compile(r"^(ok|not ok) +\d+ *-? *(.*?)(?: +# *(SKIP|XFAIL|TODO)\b *(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?: +# *(SKIP)\b *(.*))?")

# kselftest's exit status of a program that could not test anything here; timeout's, when it had to end one.
EXIT_SKIP = 4
EXIT_TIMEOUT = (124, 137)


class Suite:
    """The results of one suite: names, with the reason where there is one."""

    def __init__(self, name, log=None):
        self.name, self.log = name, log
        self.passed, self.failed, self.skipped = [], [], []

    def ok(self, name):
        self.passed.append((name, ""))

    def fail(self, name, why=""):
        self.failed.append((name, why))

    def skip(self, name, why=""):
        self.skipped.append((name, why or "no reason given"))


def selftest(name, text, status, log=None):
    """One program's TAP. A program that ends before its plan is fulfilled has failed what it did not reach; one without an
    exit status, what ended is the machine it ran on."""
    suite, plan, seen = Suite(name, log), None, 0
    for line in text.splitlines():
        found = PLAN.match(line)
        if found and plan is None:
            plan = int(found[1])
            if plan == 0 and found[2]:
                suite.skip(name, found[3])
            continue
        if line.startswith("Bail out!"):
            suite.fail(name, line)
        found = RESULT.match(line)
        if not found:
            continue
        seen += 1
        verdict, test, directive, reason = found.groups()
        if directive and directive.upper() == "SKIP":
            suite.skip(test, reason)
        elif verdict == "ok" or directive:
            suite.ok(test)
        else:
            suite.fail(test)

    if plan is None and status == EXIT_SKIP and not seen:
        lines = text.strip().splitlines()
        suite.skip(name, lines[-1] if lines else "")
    elif plan is None and status is not None:
        suite.fail(name, f"printed no plan, exit status {status}")
    for missing in range(seen, plan or 0):
        why = "never reported: " + ending(status)
        if missing == seen:
            why += "; its last line: " + text.strip().splitlines()[-1]
        suite.fail(f"test {missing + 1} of {plan}", why)
    if plan is not None and seen > plan:
        suite.fail(name, f"reported {seen} tests and planned {plan}")
    if status not in (None, 0, EXIT_SKIP) and not suite.failed:
        suite.fail(name, ending(status))
    return suite


def ending(status):
    if status is None:
        return "the guest ended"
    if status in EXIT_TIMEOUT:
        return "the program ran out of time"
    if status > 128:
        return f"the program was killed by signal {status - 128}"
    return f"the program ended with status {status}"


def selftests(folder, why):
    """The suites that guest-selftests left in a folder; one without an exit status was cut off with the guest, and why."""
    for out in sorted(glob.glob(os.path.join(folder, "*.out"))):
        name = os.path.basename(out)[:-len(".out")]
        with open(out, errors="replace") as file:
            text = file.read()
        try:
            with open(os.path.join(folder, name + ".status")) as file:
                status = int(file.read())
        except (OSError, ValueError):
            status = None
        suite = selftest(name, text, status, out)
        if status is None:
            suite.failed.insert(0, (name, "the guest ended while it ran" + (f": {why}" if why else "")))
        yield suite


def kunit(path):
    """The suites in the JSON that the tree's kunit.py wrote."""
    def walk(group, prefix):
        name = prefix + group.get("name", "")
        if group.get("test_cases"):
            suite = Suite(name)
            for case in group["test_cases"]:
                if case["status"] == "PASS":
                    suite.ok(case["name"])
                elif case["status"] == "SKIP":
                    suite.skip(case["name"], "skipped by the test")
                else:
                    suite.fail(case["name"], case["status"])
            yield suite
        for sub in group.get("sub_groups", []):
            yield from walk(sub, prefix)

    with open(path) as file:
        yield from walk(json.load(file), "")
