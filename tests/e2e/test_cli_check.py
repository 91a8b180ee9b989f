"""postern check: what is wrong with a configuration, what it means, and files of before 6.4 in today's words."""

import json
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import unittest

import harness

SMTPD = os.path.join(harness.BIN, "postern-smtpd")
ZONE = """\
$TTL 300
friend.test. MX 10 mx1.friend.test.
friend.test. MX 70 mail.us.test.
"""


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.path = f"{self.folder}/smtpd.conf"
        (self.port,) = harness.free_ports(1)

    def run_verb(self, *arguments, program=harness.POSTERN, data=None):
        return subprocess.run([program, *arguments], input=data, capture_output=True, text=True, timeout=30, check=False)

    def check(self, text, *arguments):
        """The exit status and {code: (line, message, edit)} of a configuration."""
        harness.write(self.path, text)
        done = self.run_verb("check", "--json", *arguments, self.path)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["ok"], done.returncode == 0)
        for finding in said["findings"]:
            self.assertEqual(finding["file"], self.path)
        return done.returncode, {f["code"]: (f["line"], f["message"], f["edit"]) for f in said["findings"]}

    def test_a_good_file_is_ok_and_nothing_is_made(self):
        harness.write(self.path, f"listen on 127.0.0.1 port {self.port}\naction a relay\nmatch for any action a\n")
        for call in (("check", self.path), ("check", "-f", self.path)):
            done = self.run_verb(*call)
            self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "configuration OK\n", ""))
        done = self.run_verb("-n", "-f", self.path, program=SMTPD)
        self.assertEqual((done.returncode, done.stderr), (0, "configuration OK\n"))
        self.assertEqual(os.listdir(self.folder), ["smtpd.conf"])

    def test_lines_for_people(self):
        harness.write(self.path, f"listen on 0.0.0.0 port {self.port}\naction a relay\naction b mbox\n"
                                 "match from any for any action a\nmatch for local action a\n")
        done = self.run_verb("check", self.path)
        self.assertEqual(done.returncode, 0)
        lines = done.stderr.splitlines()
        self.assertEqual([line[:line.index(" ")] for line in lines if line.startswith(self.path)],
                         [f"{self.path}:{place}:" for place in ("3:1", "4:1", "5:1")])
        self.assertRegex(lines[0], r'warning: nothing uses action "b" \[unused\]$')
        self.assertRegex(lines[1], r"^    to mend it: ")
        self.assertEqual(lines[-1], "configuration OK (3 warnings)")
        done = self.run_verb("check", "--ignore", "unused", "--ignore=open-relay", self.path)
        self.assertEqual(done.stderr.splitlines()[-1], "configuration OK (1 warning)")
        self.assertIn("[never-matches]", done.stderr)

    def test_what_it_means(self):
        status, said = self.check(f"listen on 0.0.0.0 port {self.port}\naction a relay\nmatch from any for any action a\n"
                                  "match for local action a\n")
        self.assertEqual(status, 0)
        self.assertEqual(sorted(said), ["never-matches", "open-relay"])
        self.assertEqual(said["open-relay"][0], 3)
        self.assertIn("match from auth", said["open-relay"][2])

    def test_aliases(self):
        aliases = f"{self.folder}/aliases"
        harness.write(aliases, "# ours\na7:\terror:999 bad\nb4: alice, :nonsense:\nb5: a@r.test b@r.test\n"
                               f"c1: :include:{self.folder}/none\n")
        config = (f"listen on 127.0.0.1 port {self.port}\ntable a file:{aliases}\n"
                  'action l mbox alias <a>\naction v mbox virtual { "x@h" = "y@h", "y@h" = "x@h, root" }\n'
                  "match for domain a.test action l\nmatch for domain h action v\n")
        harness.write(self.path, config)
        done = self.run_verb("check", "--json", self.path)
        found = [(f["code"], f["file"], f["line"], f["column"]) for f in json.loads(done.stdout)["findings"]
                 if f["code"].startswith("alias-")]
        self.assertEqual(sorted(found), [
            ("alias-circle", self.path, 4, 40), ("alias-include", aliases, 5, 0), ("alias-value", aliases, 2, 5),
            ("alias-value", aliases, 3, 12), ("alias-value", aliases, 4, 5)])
        said = self.run_verb("check", self.path).stderr
        self.assertIn('b5: "a@r.test b@r.test": ', said)
        self.assertIn("to mend it: write a comma between two values", said)
        self.assertIn("aliases in a circle: x@h -> y@h -> x@h; each is expanded once", said)

    def test_programs_of_deliveries(self):
        plain = f"{self.folder}/plain"
        harness.write(plain, "no program\n")
        text = f'listen on 127.0.0.1 port {self.port}\naction a mda "%s"\nmatch for local action a\n'
        for command, why in (("/nonexistent/bin/procmail -f -", "no such file"), (plain + " x", "not executable"),
                             (self.folder, "a folder"), ("/bin/cat", None), ("procmail", None), ("exec /bin/sh -c x", None),
                             ("/opt/%{dest.user}/run", None)):
            status, said = self.check(text % command)
            self.assertEqual(status, 0)
            self.assertEqual("mda-program" in said, why is not None, command)
            if why:
                self.assertEqual(said["mda-program"][0], 2)
                self.assertIn(why, said["mda-program"][1])

    def test_root_shows_no_lines_of_included_files(self):
        secret = f"{self.folder}/secret"
        harness.write(secret, "root:$y$ hidden words:1\n")
        harness.write(self.path, f'listen on 127.0.0.1 port {self.port}\n'
                                 f'action l mbox alias {{ a = ":include:{secret}" }}\nmatch for local action l\n')
        done = self.run_verb("check", self.path)
        self.assertIn(f"{secret}:1:", done.stderr)
        self.assertEqual("hidden" in done.stderr, os.geteuid() != 0, done.stderr)

    def test_a_port_that_is_taken(self):
        text = f"listen on 127.0.0.1 port {self.port}\naction a relay\nmatch for any action a\n"
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", self.port))
            other.listen()
            status, said = self.check(text, "-s", f"{self.folder}/spool")
            self.assertEqual((status, said["port-taken"][0]), (1, 1))
            self.assertIn(f"127.0.0.1:{self.port}", said["port-taken"][1])
            self.assertEqual(self.check(text, "-s", f"{self.folder}/spool", "--ignore", "port-taken"), (0, {}))
        self.assertEqual(self.check(text)[1], {})

    def test_the_ports_of_our_own_server_are_no_surprise(self):
        server = harness.Server()
        self.addCleanup(server.close)
        # It greets once it has its spool; its ports are open before.
        smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30).close()
        done = self.run_verb("check", "--json", server.config_path)
        codes = [f["code"] for f in json.loads(done.stdout)["findings"]]
        self.assertNotIn("port-taken", codes)
        self.assertNotIn("spool", codes)

    def test_where_serve_would_refuse_check_does(self):
        """As serve(1) ends for the same file: the help text promises it."""
        rest = "action a relay\nmatch for any action a\n"
        here = f"listen on 127.0.0.1 port {self.port}\n"
        harness.write(f"{self.folder}/file", "")
        # an address that is not this machine's (RFC 5737), spools that cannot be
        for text, spool, code in ((f"listen on 192.0.2.77 port {self.port}\n", f"{self.folder}/spool", "address"),
                                  (here, "/proc/x", "spool"), (here, f"{self.folder}/none/spool", "spool"),
                                  (here, f"{self.folder}/file", "spool"), (here, "/proc", "spool")):
            with self.subTest(code=code, spool=spool):
                status, said = self.check(text + rest, "-s", spool)
                self.assertEqual((status, list(said)), (1, [code]))
                served = self.run_verb("serve", "-f", self.path, "-s", spool, "-u", "root")
                self.assertEqual(served.returncode, 1, served.stderr)
        # Who checks the file of another machine is told how.
        harness.write(self.path, f"listen on 192.0.2.77 port {self.port}\n" + rest)
        done = self.run_verb("check", "-s", "/proc/x", self.path)
        self.assertEqual((done.returncode, done.stderr.splitlines()[-1]),
                         (1, "    for the file of another machine: postern check --ignore address,spool"))
        done = self.run_verb("check", "-s", "/proc/x", "--ignore", "address,spool", self.path)
        self.assertEqual((done.returncode, done.stderr), (0, "configuration OK\n"))
        harness.write(self.path, "nonsense\n")
        self.assertNotIn("--ignore", self.run_verb("check", self.path).stderr)
        self.assertEqual(self.check(here + rest, "-s", f"{self.folder}/spool"), (0, {}))
        self.assertEqual(sorted(os.listdir(self.folder)), ["file", "smtpd.conf"])

    def test_certificates(self):
        cert, key = harness.certificate()  # of example.test, two days
        shutil.copy(key, f"{self.folder}/key")
        os.chmod(f"{self.folder}/key", 0o600)
        text = (f'pki x cert "{cert}"\npki x key "{self.folder}/key"\nmailname "{{}}"\n'
                f"listen on 0.0.0.0 port {self.port} tls pki x\naction a relay\nmatch for any action a\n")
        said = self.check(text.format("mail.us.test"))[1]
        self.assertEqual(said["certificate-name"][0], 4)
        self.assertIn("mail.us.test", said["certificate-name"][1])
        self.assertIn("example.test", said["certificate-name"][1])
        self.assertEqual(said["certificate-expires"][0], 1)
        self.assertNotIn("certificate-name", self.check(text.format("example.test"))[1])

    def test_backup(self):
        harness.write(f"{self.folder}/zone", ZONE)
        text = (f'resolver zone "{self.folder}/zone"\nmailname "mail.us.test"\nlisten on 127.0.0.1 port {self.port}\n'
                'action b relay backup mx "{}"\nmatch from any for domain friend.test action b\n')
        said = self.check(text.format("mx1.friend.test"))[1]
        self.assertEqual(said["backup-mx"][0], 4)
        self.assertIn('backup mx "mail.us.test"', said["backup-mx"][2])
        self.assertNotIn("backup-mx", self.check(text.format("mail.us.test"))[1])

    def test_macros_of_the_command_line(self):
        text = f"way = nothing\nlisten on 127.0.0.1 port {self.port}\naction a $way\nmatch for any action a\n"
        self.assertEqual(self.check(text)[0], 1)
        self.assertEqual(self.check(text, "-D", "way=relay")[0], 0)
        done = self.run_verb("-n", "-D", "way=relay", "-f", self.path, program=SMTPD)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_wrong_calls(self):
        harness.write(self.path, "match reject\n")
        for call in (("--what",), (self.path, self.path), ("-f", self.path, self.path), ("-D",)):
            self.assertEqual(self.run_verb("check", *call).returncode, 2, call)
        done = self.run_verb("check", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--upgrade", done.stdout)


class Upgrade(unittest.TestCase):
    OLD = ("pki mx.x.test certificate \"/etc/ssl/mx.crt\"\nqueue compression\nmax-message-size 10M\n"
           "listen on all port 587 tls-require pki mx.x.test auth mask-source\n"
           "table aliases { root = bob }\n\naccept from any for domain x.test alias <aliases> deliver to mbox\n"
           "accept for any relay via tls+auth://l@mail.y.test auth <secrets>\n")

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def upgrade(self, text):
        harness.write(f"{self.folder}/old.conf", text)
        return subprocess.run([harness.POSTERN, "check", "--upgrade", "old.conf"], capture_output=True, text=True, timeout=30,
                              check=False, cwd=self.folder)

    def test_the_diff_applies(self):
        done = self.upgrade(self.OLD)
        self.assertEqual(done.returncode, 0, done.stderr)
        patched = subprocess.run(["patch", "-s", "-p0"], input=done.stdout, capture_output=True, text=True, check=False,
                                 cwd=self.folder)
        self.assertEqual(patched.returncode, 0, patched.stdout + patched.stderr)
        with open(f"{self.folder}/old.conf", encoding="utf-8") as file:
            today = file.read()
        for line in ("smtp max-message-size 10M", 'match from any for domain x.test action "mbox"',
                     'action "relay" relay host "smtp+tls://l@mail.y.test" auth <secrets> tls no-verify',
                     'match auth from any for any action "relay"', "queue compression"):
            self.assertIn(line + "\n", today)
        done = self.upgrade(today)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("today's grammar", done.stderr)

    def test_what_cannot_be_said(self):
        done = self.upgrade('\nfilter x "/usr/libexec/filter-x"\n')
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^old\.conf:2: error: filters of before 6\.4 .*\[upgrade\]")
        self.assertIn('+# filter x "/usr/libexec/filter-x"\n', done.stdout)


if __name__ == "__main__":
    unittest.main()
