#!/usr/bin/env python3
"""Holds tests/RELIABILITY.md to the tree: every row of the catalogue is there, says one of three things, and every test that it
names exists. `check_reliability.py [--top FOLDER]` prints what is wrong and exits 1, or a tally."""

import argparse
import os
import re
import sys

ROWS = [f"P{n}" for n in range(1, 7)] + [str(n) for n in range(1, 45)] + [f"F{n}" for n in range(1, 20)]
REFERENCE = re.compile(r"`([^`]+)`")


def names_in(path, text):
    """The names of tests that a file defines."""
    if path.endswith(".py"):
        return set(re.findall(r"^\s*def (test_\w+)", text, re.M))
    if path.startswith("tests/sim/"):
        return set(re.findall(r"\"([a-z][a-z0-9-]+)\"", text))
    return {f"{suite}.{test}" for suite, test in re.findall(r"^TEST(?:_F|_P)?\((\w+), *(\w+)", text, re.M)}


def check_reference(top, reference):
    """What is wrong with one `path` or `path: name, name`; '' when nothing is."""
    path, _, names = reference.partition(": ")
    full = os.path.join(top, path)
    if not os.path.exists(full):
        return f"{path} is not there"
    if not names:
        return ""
    with open(full, encoding="utf-8") as file:
        known = names_in(path, file.read())
    missing = [name for name in names.split(", ") if name not in known]
    return f"{path} has no test {', '.join(missing)}" if missing else ""


def check(top):
    problems, seen, tally = [], [], {"shown": 0, "partly": 0, "not built": 0, "gap": 0}
    with open(os.path.join(top, "tests/RELIABILITY.md"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
            if len(cells) < 5 or cells[1] not in ROWS:
                continue
            row, shown = cells[1], cells[3]
            seen.append(row)
            where = f"tests/RELIABILITY.md:{number}: row {row}"
            references = REFERENCE.findall(shown)
            for reference in references:
                problem = check_reference(top, reference)
                if problem:
                    problems.append(f"{where}: {problem}")
            missing = "not built yet: belongs to" in shown
            gap = "gap:" in shown
            if not (references or missing or gap):
                problems.append(f"{where}: names no test, no later feature and no gap")
            kind = ("partly" if missing or gap else "shown") if references else ("gap" if gap else "not built")
            tally[kind] += 1
    problems += [f"row {row} is missing" for row in ROWS if row not in seen]
    problems += [f"row {row} is there twice" for row in sorted(set(seen)) if seen.count(row) > 1]
    return problems, tally


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    problems, tally = check(parser.parse_args().top)
    for problem in problems:
        print(problem)
    if not problems:
        print("reliability: " + ", ".join(f"{count} {kind}" for kind, count in tally.items()))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
