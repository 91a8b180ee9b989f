"""What `cmake --install` leaves, as its user meets it: headers, pkg-config, the CMake package, and the program of README.md."""

import os
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time
import unittest

import harness

BUILD = os.path.abspath(os.environ.get("POSTERN_BUILD", os.path.join(os.path.dirname(__file__), "../../build/dev")))
HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "../../README.md")
README_PORT = 2525
LAST_LINE = "Hello from the test."


def run(command, ok=True, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)
    if ok and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def receive_one(program):
    """Starts README's program on a terminal, as a person would, sends it one mail and returns what it printed."""
    terminal, its_side = os.openpty()
    with subprocess.Popen([program], stdout=its_side) as server:
        os.close(its_side)
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    with smtplib.SMTP("127.0.0.1", README_PORT, timeout=20) as smtp:
                        smtp.sendmail("alice@example.test", ["bob@example.test"], f"Subject: hello\r\n\r\n{LAST_LINE}\r\n")
                    printed = b""
                    while LAST_LINE.encode() not in printed:  # a terminal gives it line by line; the test has a time limit
                        printed += os.read(terminal, 65536)
                    return printed.decode()
                except ConnectionRefusedError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
        finally:
            server.terminate()


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prefix = tempfile.mkdtemp(prefix="postern-install-")
        cls.addClassCleanup(shutil.rmtree, cls.prefix, True)
        run(["cmake", "--build", BUILD, "--target", "postern_archive"])
        run(["cmake", "--install", BUILD, "--prefix", cls.prefix, "--strip"])
        cls.lib = os.path.dirname(run(["find", cls.prefix, "-name", "libpostern.so"]).stdout.strip())
        cls.environment = dict(os.environ, PKG_CONFIG_PATH=f"{cls.lib}/pkgconfig", LD_LIBRARY_PATH=cls.lib)
        with open(README, encoding="utf-8") as file:
            readme = file.read()
        cls.program = f"{cls.prefix}/print_mail.c"
        harness.write(cls.program, re.search(r"^```c\n(.*?)^```$", readme, re.M | re.S).group(1), 0o644)
        cls.readme_command = re.search(r"^    (cc print_mail\.c .*)$", readme, re.M).group(1)

    def shell(self, command):
        run(["bash", "-euc", command], cwd=self.prefix, env=self.environment)

    def receives(self, program):
        """The program takes a mail on the port that it names, which is free in a network namespace of our own, if we may have one."""
        alone = ["unshare", "--map-root-user", "--net"]
        if run(alone + ["ip", "link", "set", "lo", "up"], ok=False).returncode != 0:
            alone = []
        script = f"ip link set lo up; exec {sys.executable} {__file__} receive {program}" if alone else \
            f"exec {sys.executable} {__file__} receive {program}"
        done = run(alone + ["bash", "-euc", script], env=self.environment)
        self.assertIn("Subject: hello\n", done.stdout.replace("\r", ""))
        self.assertIn(LAST_LINE, done.stdout)

    def test_what_is_there(self):
        found = set()
        for folder, _, names in os.walk(self.prefix):
            found |= {os.path.relpath(os.path.join(folder, name), self.prefix) for name in names}
        lib = os.path.relpath(self.lib, self.prefix)
        for name in ("include/postern.h", "include/postern/server.h", f"{lib}/libpostern.so.0.1", f"{lib}/libpostern.a",
                     f"{lib}/pkgconfig/postern.pc", f"{lib}/cmake/postern/posternConfig.cmake", "bin/postern", "bin/postern-smtpd"):
            self.assertTrue(os.path.exists(os.path.join(self.prefix, name)), f"{name} is not among {sorted(found)}")

    def test_each_header_compiles_alone(self):
        include = f"{self.prefix}/include"
        headers = ["postern.h"] + [f"postern/{name}" for name in sorted(os.listdir(f"{include}/postern"))]
        self.assertGreater(len(headers), 4)
        for header in headers:
            source = f"#include <{header}>\n#include <{header}>\n"
            compilers = [["cc", "-x", "c", "-std=c99"], ["clang", "-x", "c", "-std=c99"], ["c++", "-x", "c++", "-std=c++11"]]
            if header.endswith(".hpp"):
                compilers = [["c++", "-x", "c++", "-std=c++17"], ["clang++", "-x", "c++", "-std=c++17"]]
            for compiler in compilers:
                with self.subTest(header=header, compiler=compiler[0]):
                    run(compiler + ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", include, "-"], input=source)

    def test_the_readme_program_as_it_is_printed(self):
        self.shell(self.readme_command + " -o shared")
        self.assertIn("libpostern.so", run(["ldd", f"{self.prefix}/shared"], env=self.environment).stdout)
        self.receives(f"{self.prefix}/shared")

    def test_the_readme_program_with_the_static_library(self):
        self.shell(self.readme_command.replace(" postern)", " postern-static)") + " -o static")
        self.assertNotIn("libpostern", run(["ldd", f"{self.prefix}/static"]).stdout)
        self.receives(f"{self.prefix}/static")

    def test_find_package(self):
        run(["cmake", "-S", f"{HERE}/install_project", "-B", f"{self.prefix}/project", "-G", "Ninja",
             f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DPROGRAM={self.program}"])
        run(["cmake", "--build", f"{self.prefix}/project"])
        for program in ("with_shared", "with_static"):
            with self.subTest(program=program):
                self.receives(f"{self.prefix}/project/{program}")

    def test_the_static_library_offers_postern_and_nothing_else(self):
        done = run(["nm", "-g", "--defined-only", f"{self.lib}/libpostern.a"])
        names = [line.split()[-1] for line in done.stdout.splitlines() if len(line.split()) == 3]
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in names if not name.startswith("postern_")], [])

    def test_beside_another_openssl(self):
        certificate, key = harness.certificate()
        openssl = {"shared": "-lssl -lcrypto", "static": "-l:libssl.a -l:libcrypto.a -ldl -pthread"}
        for ours, package in (("shared", "postern"), ("static", "postern-static")):
            for theirs, libraries in openssl.items():
                with self.subTest(postern=ours, openssl=theirs):
                    program = f"{self.prefix}/beside_{ours}_{theirs}"
                    # Their library before ours and after: neither order may matter.
                    self.shell(f"cc -Wall -Werror {HERE}/beside_openssl.c {libraries} $(pkg-config --cflags --libs {package}) "
                               f"{libraries} -o {program}")
                    (port,) = harness.free_ports(1)
                    done = run([program, certificate, key, str(port)], env=self.environment)
                    self.assertRegex(done.stdout, r"^TLSv1\.3 .*, OpenSSL 3\.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["receive"]:
        print(receive_one(sys.argv[2]))
    else:
        unittest.main()
