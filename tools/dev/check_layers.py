#!/usr/bin/env python3
"""Holds the source to the layers that CMake declares.

Reads every postern_layer(NAME … DEPS … LINKS …) below lib/ and every #include and refuses
  - an include of a layer that is not among the DEPS (each layer names all that it uses),
  - a cycle among the layers, or a dependency on a layer that does not exist,
  - a third-party header in a layer that does not link that library,
  - in core/*: a call or type that reaches the machine (sockets, files, clocks, threads, the environment),
  - anywhere in lib/: a way to start a shell, but in the one file that runs the operator's `mda` commands; there, that
    anything but a policy::ShellCommand (which holds no stranger's text) becomes the shell's text.
Prints one line a violation, file:line: what and why, and exits 1 if there was any.
"""

import argparse
import os
import re
import sys

# The prefix of an included header, and the libraries (as LINKS names them) that may bring it.
THIRD_PARTY = {
    "asio": {"postern_asio"},
    "openssl/": {"postern_boringssl_ssl", "postern_boringssl_crypto"},
    "sqlite3.h": {"PkgConfig::SQLITE3"},
    "re2/": {"PkgConfig::RE2", "${RE2_LINK_LIBRARIES}"},
    "unicode/": {"PkgConfig::ICU"},
    "unbound": {"postern_unbound"},
    "argon2.h": {"${ARGON2_LINK_LIBRARIES}"},
    "crypt.h": {"PkgConfig::CRYPT", "${CRYPT_LINK_LIBRARIES}"},
    "zlib.h": {"ZLIB::ZLIB"},
    "expat.h": {"PkgConfig::EXPAT"},
    "libpsl.h": {"PkgConfig::PSL"},
    "gumbo.h": {"PkgConfig::GUMBO"},
}

BANNED_IN_CORE = [
    (r"::now\s*\(|\babsl::Now\s*\(|\b(?:clock_gettime|gettimeofday)\s*\(", "reads a clock: time is an argument in core"),
    (r"\bstd::(?:thread|mutex|condition_variable|async)\b|\bthread_local\b", "threads belong to lib/rt"),
    (r"(?<![\w.>:])(?:::)?(?:socket|bind|accept|recv|getaddrinfo|fork|execve|execv)\s*\(", "effects go through lib/rt"),
    (r"(?<![\w.>:])::(?:open|read|write|close|unlink|rename|stat|mkdir)\s*\(", "effects go through lib/rt"),
    (r"\bfopen\b|\bstd::[io]?fstream\b", "files belong to lib/rt"),
    (r"\b(?:secure_)?getenv\s*\(|\bsetenv\s*\(", "core does not read the environment"),
    (r"(?<![\w.>:])s?rand\s*\(|\bstd::random_device\b", "chance is an argument in core"),
]

# A shell would make text from outside into commands.
BANNED_EVERYWHERE = [
    (r"(?<![\w.>:])(?:std::)?(?:system|popen|wordexp)\s*\(", "starts a shell"),
    (r'"(?:/usr)?/bin/(?:ba|da|k|z)?sh"|"-c"', "names a shell"),
]
# The file that starts a shell, and the lines of it that may name one: that many, and no others.
SHELL_FILE = "lib/service/deliver/program.cc"
SHELL_LINES = ['constexpr const char* kShell[] = {"/bin/sh", "-c"};',
               "spec.argv = {kShell[0], kShell[1], target.command.text()};",
               "spec.argv = {kShell[0], kShell[1], command.text()};"]
# Who makes a shell's text: nobody else may be a friend of ShellCommand or write its members.
COMMAND_FILE = "lib/core/policy/shell_command.h"
COMMAND_FRIENDS = 1
# Who starts programs at all.
EXEC_FILE = "lib/rt/asio/program_child.cc"
EXEC = r"(?<![\w.>])(?:::)?(?:execve?|execvp?e?|execl[pe]?|execveat|fexecve|posix_spawnp?)\s*\("

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
LAYER = re.compile(r"postern_layer\s*\((.*?)\)", re.S)
KEYWORDS = ("NAME", "SOURCES", "DEPS", "LINKS")
SOURCE_ENDINGS = (".h", ".cc", ".hpp", ".c")


def read_layers(lib):
    layers = {}
    for folder, _, names in os.walk(lib):
        if "CMakeLists.txt" not in names:
            continue
        with open(os.path.join(folder, "CMakeLists.txt"), encoding="utf-8") as file:
            text = re.sub(r"#.*", "", file.read())
        for call in LAYER.findall(text):
            fields, key = {keyword: [] for keyword in KEYWORDS}, None
            for word in call.split():
                if word in KEYWORDS:
                    key = word
                elif key:
                    fields[key].append(word)
            layers[fields["NAME"][0]] = {"deps": set(fields["DEPS"]), "links": set(fields["LINKS"])}
    return layers


def layer_of(path, layers):
    """The layer with the longest folder that `path` (lib/…) lies in."""
    inside = [name for name in layers if path.startswith("lib/" + name + "/")]
    return max(inside, key=len, default=None)


def check_graph(layers):
    for name, layer in sorted(layers.items()):
        for dep in sorted(layer["deps"] - layers.keys()):
            yield f"lib/{name}/CMakeLists.txt: {name} depends on {dep}, which is no layer"
    done = set()

    def cycle_from(name, trail):
        if name in trail:
            return trail[trail.index(name):] + [name]
        if name in done or name not in layers:
            return None
        for dep in sorted(layers[name]["deps"]):
            found = cycle_from(dep, trail + [name])
            if found:
                return found
        done.add(name)
        return None

    for name in sorted(layers):
        found = cycle_from(name, [])
        if found:
            yield "cycle: " + " -> ".join(found)
            return


def check_include(header, here, layers):
    if header.startswith("lib/"):
        there = layer_of(header, layers)
        if there is None:
            return f"includes {header}, which is in no layer"
        if there != here and there not in layers[here]["deps"]:
            return f"{here} includes {header}, but {there} is not among its DEPS"
    for prefix, libraries in THIRD_PARTY.items():
        if header.startswith(prefix) and not libraries & layers[here]["links"]:
            return f"{here} includes {header} but links none of {', '.join(sorted(libraries))}"
    return None


def without(pattern, text):
    """`text` with every match blanked out, lines kept."""
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group(0)), text, flags=re.S)


def check_file(relative, text, here, layers):
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        problem = match and check_include(match.group(1), here, layers)
        if problem:
            yield f"{relative}:{number}: {problem}"
    no_comments = without(r"//[^\n]*|/\*.*?\*/", text)
    code = without(r'"(?:\\.|[^"\\\n])*"', without(r'R"(\w*)\(.*?\)\1"', no_comments))
    rules = [(rule, why, no_comments) for rule, why in BANNED_EVERYWHERE]
    if here.startswith("core/"):
        rules += [(rule, why, code) for rule, why in BANNED_IN_CORE]
    if relative != EXEC_FILE:
        rules.append((EXEC, f"starts a program: {EXEC_FILE} does that", code))
    if relative == SHELL_FILE:
        for line in SHELL_LINES:
            if no_comments.count(line) != 1:
                yield f"{relative}:1: the line `{line}` must stand here once"
            no_comments = no_comments.replace(line, "")
        rules = [(rule, why, no_comments if body is not code else code) for rule, why, body in rules]
    if relative == COMMAND_FILE and len(re.findall(r"\bfriend\b", code)) != COMMAND_FRIENDS:
        yield f"{relative}:1: ShellCommand has other friends than MakeShellCommand"
    for rule, why, body in rules:
        for match in re.finditer(rule, body):
            number = body.count("\n", 0, match.start()) + 1
            yield f"{relative}:{number}: {match.group(0).strip()} in {here}: {why}"


def check(top):
    layers = read_layers(os.path.join(top, "lib"))
    problems = list(check_graph(layers))
    for folder, _, names in os.walk(os.path.join(top, "lib")):
        for name in sorted(names):
            if not name.endswith(SOURCE_ENDINGS):
                continue
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            here = layer_of(relative, layers)
            if here is None:
                problems.append(f"{relative}:1: belongs to no layer: declare its folder with postern_layer")
                continue
            with open(path, encoding="utf-8") as file:
                problems += check_file(relative, file.read(), here, layers)
    return layers, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    default_top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    parser.add_argument("--top", default=default_top, help="the tree to check (this one)")
    parser.add_argument("--list", action="store_true", help="print the layers and what each may use")
    args = parser.parse_args()
    layers, problems = check(os.path.normpath(args.top))
    if args.list:
        for name in sorted(layers):
            print(name, "->", " ".join(sorted(layers[name]["deps"])) or "(nothing)")
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} layer violations", file=sys.stderr)
        return 1
    print(f"{len(layers)} layers hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
