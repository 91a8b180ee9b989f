#!/usr/bin/env python3
"""check_layers.py refuses what it should: each test plants one violation in a small tree of two layers and a core."""

import os
import subprocess
import sys
import tempfile
import unittest

import check_layers

TREE = {
    "lib/core/base/CMakeLists.txt": "postern_layer(\n  NAME core/base\n  SOURCES text.cc)\n",
    "lib/core/base/text.h": "#pragma once\n#include <string>\n",
    "lib/core/base/text.cc": '#include "lib/core/base/text.h"\n',
    "lib/core/smtp/CMakeLists.txt": "postern_layer(NAME core/smtp SOURCES session.cc DEPS core/base)  # the protocol\n",
    "lib/core/smtp/session.h": '#pragma once\n#include "lib/core/base/text.h"\n',
    "lib/core/smtp/session.cc": '#include "lib/core/smtp/session.h"\n',
    "lib/store/queue/CMakeLists.txt":
        "postern_layer(NAME store/queue SOURCES queue.cc DEPS core/base LINKS PkgConfig::SQLITE3)\n",
    "lib/store/queue/queue.h": '#pragma once\n#include "lib/core/base/text.h"\n',
    "lib/store/queue/queue.cc": '#include <sqlite3.h>\n#include "lib/store/queue/queue.h"\n',
}


def write_tree(top, files):
    for path, text in files.items():
        full = os.path.join(top, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


class CheckLayers(unittest.TestCase):
    def check(self, files=None):
        """The checker's findings in the small tree with `files` (path: text) added or replaced, one a line."""
        with tempfile.TemporaryDirectory(prefix="postern-layers-") as top:
            write_tree(top, {**TREE, **(files or {})})
            return "\n".join(check_layers.check(top)[1])

    def refuses(self, path, text, *said):
        problems = self.check(files={path: text})
        for words in said:
            self.assertIn(words, problems)

    def test_the_tree_as_it_is_holds(self):
        self.assertEqual(self.check(), "")

    def test_the_program_says_so_and_fails(self):
        with tempfile.TemporaryDirectory(prefix="postern-layers-") as top:
            command = [sys.executable, check_layers.__file__, "--top", top]
            write_tree(top, TREE)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, "3 layers hold\n"), done.stderr)
            write_tree(top, {"lib/core/base/text.cc": '#include "lib/core/smtp/session.h"\n'})
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (1, "1 layer violations\n"), done.stdout)

    def test_an_include_that_points_up(self):
        self.refuses("lib/core/base/text.cc", '#include "lib/core/base/text.h"\n#include "lib/core/smtp/session.h"\n',
                     "lib/core/base/text.cc:2: core/base includes lib/core/smtp/session.h, but core/smtp is not among its DEPS")

    def test_an_include_that_no_layer_declares(self):
        self.refuses("lib/core/smtp/session.cc", '#include "lib/store/queue/queue.h"\n',
                     "session.cc:1: core/smtp includes lib/store/queue/queue.h, but store/queue is not among its DEPS")

    def test_a_header_in_no_layer(self):
        self.refuses("lib/core/smtp/session.cc", '#include "lib/elsewhere/thing.h"\n', "which is in no layer")
        self.refuses("lib/elsewhere/thing.h", "#pragma once\n", "lib/elsewhere/thing.h:1: belongs to no layer")

    def test_a_cycle(self):
        self.refuses("lib/core/base/CMakeLists.txt", "postern_layer(NAME core/base SOURCES text.cc DEPS core/smtp)\n",
                     "cycle: core/base -> core/smtp -> core/base")

    def test_a_dependency_on_nothing(self):
        self.refuses("lib/core/smtp/CMakeLists.txt", "postern_layer(NAME core/smtp SOURCES session.cc DEPS core/base core/lost)\n",
                     "core/smtp depends on core/lost, which is no layer")

    def test_a_third_party_header_in_a_layer_that_does_not_link_it(self):
        for header in ("<sqlite3.h>", '"asio/ip/tcp.hpp"', "<openssl/ssl.h>", '"re2/re2.h"', "<unicode/uchar.h>", "<unbound.h>",
                       "<crypt.h>", "<zlib.h>"):
            with self.subTest(header=header):
                self.refuses("lib/core/smtp/session.cc", f"\n#include {header}\n",
                             f"lib/core/smtp/session.cc:2: core/smtp includes {header[1:-1]} but links none of")

    def test_a_call_that_core_may_not_make(self):
        for code in ("int f() { return socket(1, 2, 3); }", 'int f() { return ::open("x", 0); }', 'auto f() { return getenv("HOME"); }',
                     "auto t = std::chrono::steady_clock::now();", "auto t = absl::Now();", "std::thread worker;",
                     "std::mutex lock;", "thread_local int count;", 'std::ifstream in("x");', "int f() { return rand(); }",
                     "std::random_device chance;", "int f() { return fork(); }"):
            with self.subTest(code=code):
                self.refuses("lib/core/smtp/session.cc", code + "\n", "lib/core/smtp/session.cc:1: ", " in core/smtp: ")

    def test_what_only_looks_like_such_a_call(self):
        text = ("// socket( and getenv( in a comment; std::thread too\n"
                'const char* f() { return "socket(2) and getenv(3)"; }\n'
                "/* ::open(\n */ int g(Files* files) { return files->open(1) + my::rand(); }\n")
        self.assertEqual(self.check(files={"lib/core/smtp/session.cc": text}), "")

    def test_a_layer_below_the_machine_may_call_it(self):
        self.assertEqual(self.check(files={"lib/store/queue/queue.cc": "std::mutex lock;\n"}), "")

    def test_a_shell_anywhere(self):
        for code in ('int f() { return system("ls"); }', 'auto f() { return popen("ls", "r"); }', 'const char* s = "/bin/sh";'):
            with self.subTest(code=code):
                self.refuses("lib/store/queue/queue.cc", code + "\n", "lib/store/queue/queue.cc:1: ", " a shell")

    def test_the_one_file_that_starts_a_shell(self):
        path = check_layers.SHELL_FILE
        right = "\n".join(check_layers.SHELL_LINES) + "\n"
        layer = {"lib/service/deliver/CMakeLists.txt": "postern_layer(NAME service/deliver SOURCES program.cc DEPS core/base)\n"}
        self.assertEqual(self.check(files={**layer, path: right}), "")
        for code in (right + 'const char* s = "/bin/sh";\n', right + 'spec.argv = {"x", "-c", envelope.user};\n',
                     right.replace("target.command.text()", "envelope.user"), ""):
            with self.subTest(code=code):
                self.assertIn(path, self.check(files={**layer, path: code}))

    def test_who_starts_programs(self):
        self.refuses("lib/store/queue/queue.cc", "void f() { execve(a, b, c); }\n", "starts a program")
        self.refuses("lib/store/queue/queue.cc", "void f() { ::posix_spawn(a); }\n", "starts a program")


if __name__ == "__main__":
    unittest.main()
