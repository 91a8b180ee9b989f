"""What an operator gets wrong: every mistake is told with file, line and column, exit status 1, and nothing half started."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import harness


def postern(*arguments):
    return subprocess.run([harness.POSTERN, *arguments], capture_output=True, text=True, timeout=30, check=False)


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.path = f"{self.folder}/smtpd.conf"

    def refused(self, text, line, *words, command="serve"):
        harness.write(self.path, text)
        done = postern(command, "-f", self.path)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, rf"{self.path}:{line}:\d+: error: ")
        for word in words:
            self.assertIn(word, done.stderr)
        return done.stderr

    def test_an_unknown_directive(self):
        self.refused("lisen on lo0\n", 1, "lisen", "listen")

    def test_every_mistake_is_told(self):
        text = self.refused("lisen on lo0\nlisten on lo0 port 99999\naction a relay\nmatch for any action b\n", 1)
        for line in (1, 2, 4):
            self.assertIn(f"{self.path}:{line}:", text)

    def test_a_missing_file(self):
        done = postern("serve", "-f", f"{self.folder}/nothing.conf")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("nothing.conf"), 1, done.stderr)
        self.assertIn("nothing.conf: error: cannot be read: No such file", done.stderr)

    def test_the_number_of_loops(self):
        for value in ("0", "abc", "4x", "", "65"):
            done = postern("serve", "-f", self.path, "-w", value)
            self.assertEqual((done.returncode, done.stderr),
                             (2, f"postern: -w {value}: a number of event loops from 1 to 64 is wanted\n"))

    def test_help_is_no_mistake(self):
        for arguments in (("--help",), ("serve", "--help"), ("check", "-h")):
            done = postern(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("usage: postern " + ("check" if "check" in arguments else "serve"), done.stdout)

    def test_thousands_of_mistakes_are_told_as_a_hundred(self):
        harness.write(f"{self.folder}/addresses", "".join(f"300.0.0.{number}\n" for number in range(5000)))
        harness.write(self.path, f"table addresses file:{self.folder}/addresses\naction a relay src <addresses>\n"
                      f"listen on 127.0.0.1 port {harness.free_ports(1)[0]}\nmatch for any action a\n")
        done = postern("check", "-f", self.path)
        self.assertEqual(done.returncode, 1)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 101)
        self.assertTrue(lines[0].startswith(f"{self.folder}/addresses:1: error: "), lines[0])
        self.assertEqual(lines[-1], "and 4900 errors more")

    def test_a_spool_that_cannot_be(self):
        for spool in (f"{self.folder}/none/spool", self.path):
            for command in ("check", "serve"):
                self.refused(f'listen on 127.0.0.1 port {harness.free_ports(1)[0]}\naction a relay\nmatch for any action a\n'
                             f'spool "{spool}"\n', 4, "spool", command=command)

    def test_a_missing_parent_of_the_spool(self):
        harness.write(self.path, f"listen on 127.0.0.1 port {harness.free_ports(1)[0]}\naction a relay\nmatch for any action a\n")
        done = postern("serve", "-f", self.path, "-s", f"{self.folder}/none/spool")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.folder}/none does not exist", done.stderr)
        self.assertFalse(os.path.exists(f"{self.folder}/none"))

    def test_an_account_that_is_not(self):
        self.refused("action a maildir user nosuchuser\nlisten on 127.0.0.1 port 2525\nmatch for any action a\n",
                     1, "nosuchuser", command="check")

    def test_a_missing_table(self):
        self.refused(f"table t file:{self.folder}/none\naction a relay\nmatch for domain <t> action a\nlisten on lo0 port 2525\n",
                     1, "none", "No such file")

    @unittest.skipIf(os.getuid() == 0, "root reads everything")
    def test_an_unreadable_table(self):
        harness.write(f"{self.folder}/t", "x\n", 0o000)
        self.refused(f"table t file:{self.folder}/t\naction a relay\nmatch for domain <t> action a\nlisten on lo0 port 2525\n",
                     1, "Permission denied")

    def test_a_table_that_does_not_parse(self):
        harness.write(f"{self.folder}/aliases", "root: alice\nbroken\n")
        harness.write(self.path, f"table a file:{self.folder}/aliases\nlisten on lo0 port 2525\naction l mbox alias <a>\n"
                                 "match for local action l\n")
        done = postern("check", "-f", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.folder}/aliases:2", done.stderr)

    def pki_config(self, cert, key):
        return (f'pki p cert "{cert}"\npki p key "{key}"\nlisten on lo0 port 2525 tls pki p\naction a relay\n'
                "match for any action a\n")

    def test_a_bad_certificate(self):
        harness.write(f"{self.folder}/bad.pem", "not a certificate\n")
        _, key = harness.certificate()
        self.refused(self.pki_config(f"{self.folder}/bad.pem", key), 1, "bad.pem")

    def test_a_key_of_another_certificate(self):
        cert, _ = harness.certificate()
        subprocess.run(["openssl", "genrsa", "-out", f"{self.folder}/other.pem", "2048"], check=True, capture_output=True)
        self.refused(self.pki_config(cert, f"{self.folder}/other.pem"), 2, "other.pem")

    def test_a_missing_certificate(self):
        _, key = harness.certificate()
        self.refused(self.pki_config(f"{self.folder}/none.pem", key), 1, "none.pem", "No such file")

    def test_a_port_in_use_and_nothing_half_started(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            (free,) = harness.free_ports(1)
            text = self.refused(f'spool "{self.folder}/spool"\nlisten on 127.0.0.1 port {free}\nlisten on 127.0.0.1 port {port}\n'
                                "action a relay\nmatch for any action a\n", 3, f"127.0.0.1:{port}", "in use")
            self.assertNotIn("listening on", text)
            with self.assertRaises(OSError):
                socket.create_connection(("127.0.0.1", free), 1)

    def test_a_cipher_string_that_names_none(self):
        cert, key = harness.certificate()
        text = self.refused('smtp  ciphers "foo"\n' + self.pki_config(cert, key)
                            + "listen on lo0 port 2526 smtps pki p\n", 1, '"foo"', command="check")
        self.assertIn(f"{self.path}:1:15: error:", text)
        self.assertEqual(text.count("error:"), 1, text)

    def test_two_listen_lines_for_one_address(self):
        for second in ("127.0.0.1", "lo0", "0.0.0.0", "localhost"):
            with self.subTest(second):
                text = self.refused(f"listen on 127.0.0.1 port 2525\nlisten on {second} port 2525 tag X\naction a relay\n"
                                    "match for any action a\n", 2, "2525", "at " + self.path + ":1:1", command="check")
                self.assertEqual(text.count("error:"), 1, text)

    def test_a_home_outside_and_a_login_without_a_hash(self):
        cert, key = harness.certificate()
        harness.write(f"{self.folder}/logins", "alice hunter2\nbob *\n")
        harness.write(f"{self.folder}/users", "alice 1000:1000:/home/../root\n")
        config = (self.pki_config(cert, key).replace("pki p\naction", "pki p auth <l>\naction")
                  + "action m maildir userbase <u>\nmatch for local action m\n")
        tables = f"table l file:{self.folder}/logins\ntable u file:{self.folder}/users\n"
        harness.write(self.path, tables + config)
        done = postern("check", "-f", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf'{self.folder}/users:1: error: .*alice.*"\.\."')
        harness.write(f"{self.folder}/users", "alice 1000:1000:/home/alice\n")
        done = postern("check", "-f", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, rf'(?m)^{self.folder}/logins:1: warning: .*"alice" is no hash.*openssl passwd -6')
        self.assertNotIn("hunter2", done.stderr)
        self.assertNotIn("bob", done.stderr)

    def test_a_default_spool_that_cannot_be_made(self):
        (free,) = harness.free_ports(1)
        harness.write(f"{self.folder}/file", "")
        harness.write(self.path, f"listen on 127.0.0.1 port {free}\naction a relay\nmatch for any action a\n")
        done = postern("serve", "-f", self.path, "-s", f"{self.folder}/file/spool")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf'spool "{self.folder}/file/spool": ')

    def test_a_spool_that_cannot_be_made(self):
        harness.write(f"{self.folder}/file", "")
        (free,) = harness.free_ports(1)
        harness.write(self.path, f'spool "{self.folder}/file/spool"\nlisten on 127.0.0.1 port {free}\naction a relay\n'
                                 "match for any action a\n")
        done = postern("serve", "-f", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf'^{self.path}:1:7: error: spool "{self.folder}/file/spool": ')

    def test_check_says_ok(self):
        harness.write(self.path, "listen on lo0 port 2525\naction a relay\nmatch for any action a\n")
        done = postern("check", "-f", self.path)
        self.assertEqual((done.returncode, done.stderr), (0, "configuration OK\n"))

    def test_an_open_relay_is_warned_of(self):
        harness.write(self.path, "listen on 0.0.0.0 port 2525\naction a relay\nmatch from any for any action a\n")
        done = postern("check", "-f", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, rf"(?m)^{self.path}:3:\d+: warning: open relay: .* \[open-relay\]\n    to mend it: ")


if __name__ == "__main__":
    unittest.main()
