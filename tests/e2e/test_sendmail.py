"""Our sendmail, by itself and under the programs that call it: mail(1), git send-email, cron."""

import email.header
import email.utils
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
import world

SENDMAIL = os.path.join(harness.BIN, "sendmail")
MAILQ = os.path.join(harness.BIN, "mailq")
NOBODY = 65534
LETTER = "Subject: hello\n\nbody\n"


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Sendmail(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(extra='queue retry-delay 1s')
        os.chmod(self.server.home, 0o711)
        os.chmod(f"{self.server.data}/spool", 0o711)
        self.addCleanup(self.server.close)
        self.wait_for_sockets()

    def wait_for_sockets(self):
        """The ports are open a moment before the sockets in the spool."""
        deadline = time.monotonic() + 20
        while not (os.path.exists(f"{self.server.data}/spool/control.sock") and os.path.exists(f"{self.server.data}/spool/offline")):
            self.assertLess(time.monotonic(), deadline, self.server.log())
            time.sleep(0.02)

    def run_it(self, *words, text=LETTER, user=None):
        where = ["-C", self.server.config_path] if user is None else ["-S", f"{self.server.data}/spool"]
        return subprocess.run([SENDMAIL, *where, *words], input=text, capture_output=True, text=True, check=False, timeout=60,
                              user=user)

    def test_recipients_of_the_header(self):
        done = self.run_it("-t", "-i", "-oi", "-f", "bob@example.test", text=(
            'To: "Alice, A." <alice@example.test>\nCc: team: bob@example.test;\nBcc: alice@example.test,\n bob@example.test\n'
            "Subject: all\n\nbefore\n.\nafter\n"))
        self.assertEqual(done.returncode, 0, done.stderr)
        letter = text_of(self.server.wait_for_messages("alice", 1)[0])
        self.server.wait_for_messages("bob", 1)
        self.assertIn("Return-Path: <bob@example.test>\n", letter)
        self.assertIn("before\n.\nafter\n", letter)
        self.assertNotIn("Bcc", letter)
        self.assertRegex(letter, r"\nFrom: .*@example\.test>\n")
        self.assertRegex(letter, r"\nDate: ")
        self.assertRegex(letter, r"\nMessage-ID: ")

    def test_exit_statuses(self):
        self.assertEqual(self.run_it().returncode, 64)                                     # EX_USAGE: nobody
        self.assertEqual(self.run_it("-Z").returncode, 64)
        self.assertEqual(self.run_it("-N", "sometimes", "alice@example.test").returncode, 64)
        self.assertEqual(self.run_it("-t", text="Subject: x\n\n").returncode, 67)         # EX_NOUSER
        refused = self.run_it("nobody-there@example.test")
        self.assertIn(refused.returncode, (67, 69))
        self.assertRegex(refused.stderr, r"5\d\d ")
        self.assertEqual(self.run_it("not an address@@").returncode, 65)                  # EX_DATAERR

    def test_addresses_are_not_verified_by_an_empty_mail(self):
        done = self.run_it("-bv", "alice@example.test")
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("usage", done.stderr)
        self.assertEqual(self.run_it("alice@example.test").returncode, 0)
        self.assertEqual(len(self.server.wait_for_messages("alice", 1)), 1)

    def test_from_where_the_message_has_none(self):
        long_name = "Straße der Pariser Kommune und der Münchner Räterepublik in Groß Köris"
        cases = [(("-f", "bob@example.test"), "bob@example.test", ""), (("-f", "<bob@example.test>"), "bob@example.test", ""),
                 (("-r", "bob@example.test", "-F", "Shop, \"The\""), "bob@example.test", 'Shop, "The"'),
                 (("-f", "bob@example.test", "-F", "Föö Bär"), "bob@example.test", "Föö Bär"),
                 (("-f", "bob@example.test", "-F", long_name), "bob@example.test", long_name),
                 (("-F", "Föö"), pwd.getpwuid(os.getuid()).pw_name, "Föö")]
        for count, (flags, address, name) in enumerate(cases, 1):
            with self.subTest(flags=flags):
                done = self.run_it(*flags, "alice@example.test")
                self.assertEqual(done.returncode, 0, done.stderr)
                path = max(self.server.wait_for_messages("alice", count), key=os.path.getmtime)
                with open(path, "rb") as file:
                    octets = file.read()
                self.assertTrue(octets.isascii())
                self.assertTrue(all(len(line) <= 76 for line in octets.split(b"\n") if b"=?utf-8" in line), octets)
                shown, sender = email.utils.parseaddr(email.message_from_bytes(octets)["From"])
                self.assertEqual(str(email.header.make_header(email.header.decode_header(shown))), name)
                self.assertEqual(sender if "@" in address else sender.split("@")[0], address)

    def test_flags_that_programs_give(self):
        for flags in (("-FCronDaemon", "-i", "-B8BITMIME", "-oem"), ("-oi", "-oem", "-odi"), ("-bm", "-G", "-i"), ("-r", "bob"),
                      ("-N", "never", "-R", "hdrs", "-V", "id1"), ("-L", "tag", "-m", "-n", "-U")):
            done = self.run_it(*flags, "--", "alice@example.test")
            self.assertEqual(done.returncode, 0, (flags, done.stderr))
        self.server.wait_for_messages("alice", 6)
        self.assertEqual(subprocess.run([SENDMAIL, "-C", self.server.config_path, "-v", "alice@example.test"], input=LETTER,
                                        capture_output=True, text=True, check=False).stdout[:4], "250 ")

    def test_who_it_was_is_what_the_system_says(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        done = self.run_it("-f", "alice@example.test", "alice@example.test", user=NOBODY)
        self.assertEqual(done.returncode, 0, done.stderr)
        letter = text_of(self.server.wait_for_messages("alice", 1)[0])
        self.assertIn("Received: (from nobody@localhost, uid 65534)\n", letter)

    def test_smtp_by_standard_input(self):
        spoken = subprocess.run([SENDMAIL, "-C", self.server.config_path, "-bs"], input=(
            "EHLO x\r\nMAIL FROM:<bob@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n"
            "QUIT\r\n").encode(), capture_output=True, check=False, timeout=60).stdout.decode()
        self.assertRegex(spoken, r"(?s)^220 .*250 2\.0\.0 [0-9a-f]{8} Message accepted.*221 ")
        self.server.wait_for_messages("alice", 1)

    def test_while_the_server_is_down(self):
        self.server.stop()
        self.assertEqual(self.run_it("alice@example.test").returncode, 0)
        spool = f"{self.server.data}/spool"
        if os.geteuid() == 0:
            self.assertEqual(self.run_it("alice@example.test", user=NOBODY).returncode, 0)
            # Anybody may put mail there; nobody may look.
            listed = subprocess.run(["ls", f"{spool}/offline"], capture_output=True, check=False, user=NOBODY)
            self.assertNotEqual(listed.returncode, 0)
        count = 2 if os.geteuid() == 0 else 1
        # What a stranger could leave there: a pipe, a link, a second name of a file, nonsense.
        good = [name for name in os.listdir(f"{spool}/offline")]
        self.assertEqual(len(good), count)
        os.mkfifo(f"{spool}/offline/1.pipe")
        os.symlink("/etc/passwd", f"{spool}/offline/2.link")
        harness.write(f"{self.server.home}/other", "postern offline 1\nf: x\nt: alice@example.test\n\n\nsecret\n")
        os.link(f"{self.server.home}/other", f"{spool}/offline/3.second")
        harness.write(f"{spool}/offline/4.nonsense", "nonsense")
        self.server.start()
        letters = [text_of(path) for path in self.server.wait_for_messages("alice", count)]
        if os.geteuid() == 0:
            self.assertEqual(sum("(from nobody@localhost, uid 65534)" in letter for letter in letters), 1)
        deadline = time.monotonic() + 20
        while len([name for name in os.listdir(f"{spool}/offline") if name.startswith("bad.")]) < 4:
            self.assertLess(time.monotonic(), deadline, os.listdir(f"{spool}/offline"))
            time.sleep(0.1)
        self.assertEqual(len(self.server.messages("alice")), count)
        self.assertEqual(len(os.listdir(f"{spool}/offline")), 4)

    def test_mail_and_git(self):
        programs = {"mail": shutil.which("mail"), "git": shutil.which("git")}
        if None in programs.values() or not os.path.exists("/usr/lib/git-core/git-send-email"):
            self.skipTest("no mail(1) or no git send-email here")
        wrapper = f"{self.server.home}/sendmail"
        harness.write(wrapper, f'#!/bin/sh\nexec {SENDMAIL} -C {self.server.config_path} "$@"\n', 0o755)
        done = subprocess.run(["mail", "-E", f"set sendmail=sendmail://{wrapper}", "-s", "from mail", "alice@example.test"],
                              input="body\n", capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Subject: from mail\n", text_of(self.server.wait_for_messages("alice", 1)[0]))
        repository = f"{self.server.home}/repository"
        environment = dict(os.environ, HOME=self.server.home, GIT_AUTHOR_NAME="A", GIT_AUTHOR_EMAIL="bob@example.test",
                           GIT_COMMITTER_NAME="A", GIT_COMMITTER_EMAIL="bob@example.test", GIT_CONFIG_NOSYSTEM="1")
        for words in (["init", "-q", repository], ["-C", repository, "commit", "-q", "--allow-empty", "-m", "first"],
                      ["-C", repository, "commit", "-q", "--allow-empty", "-m", "a patch"]):
            subprocess.run(["git", *words], env=environment, check=True)
        harness.write(f"{repository}/0001.patch", "From 0 Mon Sep 17 00:00:00 2001\nFrom: A <bob@example.test>\n"
                      "Date: Sat, 1 Jan 2022 00:00:00 +0000\nSubject: [PATCH] a patch\n\n---\n")
        done = subprocess.run(["git", "-C", repository, "send-email", "--quiet", "--confirm=never", "--from=bob@example.test",
                               "--to=alice@example.test", f"--smtp-server={wrapper}", "0001.patch"], env=environment,
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        letters = [text_of(path) for path in self.server.wait_for_messages("alice", 2)]
        self.assertTrue(any("Subject: [PATCH] a patch\n" in letter for letter in letters))


@unittest.skipIf(world.available() or not os.path.exists("/usr/sbin/cron"), world.available() or "no cron here")
class Cron(unittest.TestCase):
    """cron(8) calls /usr/sbin/sendmail: it is ours in a world of its own, where /etc and /var are scratch."""

    def test_cron(self):
        if not world.inside():
            done = world.run_inside("test_sendmail.Cron")
            self.assertEqual(done.returncode, 0, done.stdout)
            return
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        home = tempfile.mkdtemp(prefix="postern-cron-")
        self.addCleanup(shutil.rmtree, home, True)
        for target in ("/var/spool/cron", "/etc/cron.d", "/run"):
            os.makedirs(target, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
        sbin = f"{home}/sbin"
        shutil.copytree("/usr/sbin", sbin, symlinks=True)
        os.makedirs("/var/spool/cron/crontabs")
        server = harness.Server(config=harness.CONFIG.replace('spool "{data}/spool"', 'spool "/run/spool"'))
        self.addCleanup(server.close)
        harness.write(f"{sbin}/sendmail", f'#!/bin/sh\nexec {SENDMAIL} -S /run/spool "$@"\n', 0o755)
        subprocess.run(["mount", "--bind", sbin, "/usr/sbin"], check=True)
        harness.write("/etc/cron.d/job", "MAILTO=alice@example.test\n* * * * * root echo said by cron\n", 0o644)
        with subprocess.Popen(["/usr/sbin/cron", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as cron:
            try:
                letter = text_of(server.wait_for_messages("alice", 1, seconds=100)[0])
            finally:
                cron.terminate()
        self.assertIn("said by cron\n", letter)
        self.assertRegex(letter, r"\nSubject: Cron <root@.*echo said by cron")


if __name__ == "__main__":
    unittest.main()
