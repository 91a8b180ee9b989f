"""Accounts of their own, as root in a world of its own: .forward files and aliases with everything they may say, who may write
them, and as whom they are obeyed. All of it twice: by a server that stays root, and by one that has become an account of its own
and has a helper for what needs the rights of users."""

import os
import pwd
import re
import signal
import socket
import subprocess
import time
import unittest

import suite
import world
from harness import POSTERN
from suite import ELSEWHERE, Client

MACHINE = None

CONFIG = """\
mailname "athome.tld"
pki athome.tld cert "/etc/ssl/athome.tld.crt"
pki athome.tld key "/etc/ssl/private/athome.tld.key"
table aliases file:/etc/mail/aliases
table users file:/etc/mail/users
listen on 127.0.0.1 port 25 tls pki athome.tld
listen on 127.0.0.1 port 587 tls-require pki athome.tld auth
action "maildir" maildir alias <aliases>
action "mbox" mbox
action "forward" forward-only
action "expand" expand-only alias <aliases>
action "users" maildir userbase <users>
action "shared" maildir virtual { "@" = alice } user vmail
action "agent" mda "env > agent.env; cat > agent.text" virtual { "@" = alice } user vmail
action "out" relay
match for domain "shared.tld" action "shared"
match for domain "agent.tld" action "agent"
match for domain "users.tld" action "users"
match for domain "athome.tld" action "maildir"
match for domain "mbox.tld" action "mbox"
match for domain "forward.tld" action "forward"
match for domain "expand.tld" action "expand"
match for any action "out"
"""
ALIASES = """\
all: gilles, jdoe
listed: :include:/etc/mail/list
gone: error:550 5.1.6 Moved to the moon
busy: error:450 4.2.0 Come back tomorrow
program: "|/bin/sh -c 'id -u > /var/tmp/alias/uid; cat > /var/tmp/alias/text'"
file: /var/tmp/alias/archive
void: /dev/null
nest: inner
inner: nest
john: john, jdoe
team: gilles, team2
team2: team, bruce
outside: someone@elsewhere.test
"""


def add_account():
    """The account that the server becomes; once."""
    if "\npostern:" not in read("/etc/passwd"):
        MACHINE.write("/etc/passwd", "postern:x:6100:6100::/var/spool/postern:/usr/sbin/nologin\n", "a")
        MACHINE.write("/etc/group", "postern:x:6100:\n", "a")


load_tests = suite.load_tests


class Forward(suite.Outside):
    inside = "test_forward"
    needs_suite = False


def setUpModule():
    global MACHINE  # pylint: disable=global-statement
    if world.inside():
        MACHINE = world.World(ELSEWHERE)


def wait_for(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}\n{InWorld.log()}")
        time.sleep(0.05)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class InWorld(unittest.TestCase):
    daemon = "nobody"  # who delivers what an alias names
    user = "root"      # whom the server becomes

    @classmethod
    def setUpClass(cls):
        MACHINE.clean()
        os.makedirs("/etc/mail", exist_ok=True)
        os.makedirs("/var/tmp/alias")
        daemon = pwd.getpwnam(cls.daemon)
        os.chown("/var/tmp/alias", daemon.pw_uid, daemon.pw_gid)
        if not os.path.exists("/etc/ssl/athome.tld.crt"):
            MACHINE.make_certificate("/etc/ssl/athome.tld.crt", "/etc/ssl/private/athome.tld.key", "athome.tld")
        os.chmod("/etc/ssl/private", 0o700)
        os.chmod("/etc/mail", 0o755)
        MACHINE.write("/etc/mail/smtpd.conf", CONFIG)
        MACHINE.write("/etc/mail/aliases", ALIASES)
        # An account with a group that /etc/group does not put it in, as one does for a quota or a share.
        account = pwd.getpwnam("alice")
        MACHINE.write("/etc/mail/users", f"alice {account.pw_uid}:100:/var/tmp/users/alice\n")
        os.makedirs("/var/tmp/users/alice")
        os.chown("/var/tmp/users/alice", account.pw_uid, 100)
        MACHINE.write("/etc/mail/list", "# members\ngilles, bruce\noutsider@elsewhere.test\n")
        with open("/var/tmp/log", "w", encoding="utf-8") as log:
            # Named from where we stand, as an operator who tries it does; only root may read it.
            os.chmod("/etc/mail/smtpd.conf", 0o600)
            cls.process = subprocess.Popen([POSTERN, "serve", "-f", "smtpd.conf", "-u", cls.user, "-s", "/var/spool/postern"],
                                           cwd="/etc/mail", stdout=log, stderr=log)
        wait_for(lambda: "started" in cls.log() or cls.process.poll() is not None, "no start")
        assert cls.process.poll() is None, cls.log()

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        assert cls.process.wait(30) == 0, cls.log()

    @staticmethod
    def log():
        return read("/var/tmp/log")

    @staticmethod
    def home(name):
        return pwd.getpwnam(name).pw_dir

    def forward(self, name, text, mode=0o644):
        path = f"{self.home(name)}/.forward"
        if os.path.lexists(path):
            os.unlink(path)
        MACHINE.write(path, text)
        os.chmod(path, mode)
        account = pwd.getpwnam(name)
        os.chown(path, account.pw_uid, account.pw_gid)
        def remove():
            if os.path.lexists(path):
                os.unlink(path)
            time.sleep(2.1)
        self.addCleanup(remove)
        time.sleep(2.1)  # what the server saw two seconds ago it takes for true
        return path

    @staticmethod
    def send(*recipients):
        with Client("127.0.0.1") as smtp:
            smtp.ehlo()
            smtp.mail_to(list(recipients))

    @staticmethod
    def answer(recipient):
        with Client("127.0.0.1") as smtp:
            smtp.ehlo()
            return smtp.rcpt_text(recipient)

    def letters(self, name, folder=""):
        path = f"{self.home(name)}/Maildir/{folder}new"
        return [f"{path}/{each}" for each in os.listdir(path)] if os.path.isdir(path) else []

    def failures(self, name, text=""):
        return len(re.findall(rf"user={name} .*result=TempFail stat=.*{text}", self.log()))

    def owned(self, path, name):
        self.assertEqual(os.stat(path).st_uid, pwd.getpwnam(name).pw_uid, path)

    def test_a_copy_for_oneself_and_others(self):
        self.forward("alice", "# where it goes\n\\alice, jdoe\nfriend@elsewhere.test\n")
        had = len(self.letters("alice")), len(self.letters("jdoe"))
        self.send("alice@athome.tld")
        wait_for(lambda: len(self.letters("alice")) > had[0] and len(self.letters("jdoe")) > had[1], "no copies")
        MACHINE.sink.wait_for("friend@elsewhere.test")
        self.owned(self.letters("alice")[0], "alice")
        self.assertEqual(os.stat(self.letters("alice")[0]).st_mode & 0o777, 0o600)
        self.owned(self.letters("jdoe")[0], "jdoe")

    def test_a_program_and_a_file_as_their_owner(self):
        home = self.home("john")
        self.forward("john", f'|"id -u > uid; id -G > groups; pwd > where; cat > text"\n{home}/archive\n')
        self.send("john+tag@athome.tld")
        wait_for(lambda: os.path.exists(f"{home}/text") and os.path.getsize(f"{home}/text") > 0 and
                 os.path.exists(f"{home}/archive"), "nothing ran")
        uid = pwd.getpwnam("john").pw_uid
        self.assertEqual(read(f"{home}/uid"), f"{uid}\n")
        self.assertEqual(read(f"{home}/groups"), f"{uid}\n")
        self.assertEqual(read(f"{home}/where"), f"{home}\n")
        self.assertIn("Delivered-To: john+tag@athome.tld\n", read(f"{home}/text"))
        wait_for(lambda: "Hello." in read(f"{home}/archive"), "no mail in the file")
        self.assertTrue(read(f"{home}/archive").startswith("From sender@elsewhere.test "))
        self.owned(f"{home}/archive", "john")
        self.assertEqual(self.letters("john"), [])

    def test_files_that_are_not_the_owners(self):
        """What the owner may not write, the mail does not: it waits."""
        target = "/var/tmp/not-mine"
        MACHINE.write(target, "")
        os.chmod(target, 0o644)
        home = self.home("username")
        os.symlink("/var/tmp/not-mine", f"{home}/link")
        self.forward("username", f"/var/tmp/not-mine\n{home}/link\n/etc/passwd\n")
        passwd = read("/etc/passwd")
        self.send("username@athome.tld")
        wait_for(lambda: self.log().count("user=username ") >= 3, "no attempts")
        self.assertNotRegex(self.log(), r"user=username .*result=(Ok|PermFail)")
        self.assertEqual(read(target), "")
        self.assertEqual(read("/etc/passwd"), passwd)

    def test_unsafe_files(self):
        home = self.home("bruce")
        path = f"{home}/.forward"
        account = pwd.getpwnam("bruce")
        elsewhere = "/var/tmp/other-forward"

        def write(owner=account.pw_uid, mode=0o644):
            MACHINE.write(path, "jdoe\n")
            os.chown(path, owner, -1)
            os.chmod(path, mode)

        def link(make):
            MACHINE.write(elsewhere, "jdoe\n")
            os.chown(elsewhere, account.pw_uid, account.pw_gid)
            make(elsewhere, path)

        def fifo():
            os.mkfifo(path)
            os.chown(path, account.pw_uid, account.pw_gid)

        def in_home(mode):
            write()
            os.chmod(home, mode)
        cases = [("writable by the group", lambda: write(mode=0o664), "5"), ("by all", lambda: write(mode=0o646), "5"),
                 ("another's", lambda: write(owner=pwd.getpwnam("jdoe").pw_uid), "5"), ("root's", lambda: write(owner=0), "5"),
                 ("a symbolic link", lambda: link(os.symlink), "5"), ("a hard link", lambda: link(os.link), "5"),
                 ("a FIFO", fifo, "5"), ("a directory", lambda: os.mkdir(path), "5"),
                 ("a home that others may write", lambda: in_home(0o777), "5"),
                 ("a sticky home: being edited", lambda: in_home(0o1755), "4"), ("a safe one", write, "2"),
                 ("too long", lambda: (write(), MACHINE.write(path, "jdoe " + " " * 4096)), "4"),
                 ("too many", lambda: (write(), MACHINE.write(path, "".join(f"u{n}@a.test\n" for n in range(101)))), "4")]
        for what, prepare, klass in cases:
            with self.subTest(what=what):
                prepare()
                time.sleep(2.1)
                answer = self.answer("bruce@athome.tld")
                self.assertEqual(answer[0], klass, (what, answer))
                os.chmod(home, 0o755)
                if os.path.isdir(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
                if os.path.lexists(elsewhere):
                    os.unlink(elsewhere)

    def test_ones_own_name_in_alias_and_forward(self):
        """The alias goes on to the .forward, the .forward to the mailbox: nobody's copy is lost."""
        self.forward("john", "john, alice\n")
        had = {name: len(self.letters(name)) for name in ("john", "jdoe", "alice")}
        self.send("john@athome.tld")
        wait_for(lambda: all(len(self.letters(name)) > had[name] for name in had), "a copy is missing")
        self.assertEqual({name: len(self.letters(name)) - had[name] for name in had}, dict.fromkeys(had, 1))

    def test_lists_in_a_circle_reach_their_members(self):
        had = {name: len(self.letters(name)) for name in ("gilles", "bruce")}
        self.send("team@athome.tld")
        wait_for(lambda: all(len(self.letters(name)) > had[name] for name in had), "a copy is missing")
        self.assertEqual({name: len(self.letters(name)) - had[name] for name in had}, dict.fromkeys(had, 1))
        self.assertRegex(self.log(), r"smtp expansion rcpt=<team@athome\.tld> note=.*circle: team -> team2 -> team")

    def test_a_forward_includes_nothing(self):
        self.forward("jdoe", ":include:/etc/mail/list\n")
        had = {name: len(self.letters(name)) for name in ("gilles", "jdoe")}
        self.send("jdoe@athome.tld")
        wait_for(lambda: len(self.letters("jdoe")) > had["jdoe"], "no mail")
        self.assertEqual(len(self.letters("gilles")), had["gilles"])
        self.assertIn("include:/etc/mail/list is not obeyed", self.log())

    def test_loops_are_refused_by_name(self):
        self.forward("gilles", "vmail\n")
        self.forward("vmail", "gilles\n")
        self.assertEqual(self.answer("gilles@athome.tld")[:9], "524 5.2.4")
        self.assertEqual(self.answer("nest@athome.tld")[:9], "524 5.2.4")
        self.assertIn("loop: nest -> inner -> nest", self.answer("nest@athome.tld"))
        self.assertRegex(self.log(), r"loop: gilles@athome\.tld -> gilles -> vmail -> gilles")

    def test_aliases(self):
        self.assertEqual(self.answer("gone@athome.tld"), "550 5.1.6 Moved to the moon")
        self.assertEqual(self.answer("busy@athome.tld"), "450 4.2.0 Come back tomorrow")
        self.send("program@athome.tld", "file@athome.tld", "void@athome.tld", "listed@athome.tld")
        wait_for(lambda: os.path.exists("/var/tmp/alias/text") and os.path.exists("/var/tmp/alias/archive"), "no deliveries")
        wait_for(lambda: os.path.getsize("/var/tmp/alias/text") > 0, "no message for the program")
        self.assertEqual(read("/var/tmp/alias/uid"), f"{pwd.getpwnam(self.daemon).pw_uid}\n")
        self.owned("/var/tmp/alias/archive", self.daemon)
        MACHINE.sink.wait_for("outsider@elsewhere.test")
        wait_for(lambda: self.letters("bruce"), "no copy of the list")

    def test_forward_only_and_expand_only(self):
        self.assertEqual(self.answer("jdoe@forward.tld")[:9], "424 4.2.4")
        self.assertEqual(self.answer("jdoe@expand.tld")[:9], "524 5.2.4")
        self.forward("jdoe", "away@elsewhere.test\n")
        self.send("jdoe@forward.tld")
        self.send("outside@expand.tld")
        MACHINE.sink.wait_for("away@elsewhere.test")
        MACHINE.sink.wait_for("someone@elsewhere.test")
        self.forward("jdoe", "|cat\n")
        self.assertEqual(self.answer("jdoe@forward.tld")[:9], "424 4.2.4")

    def test_a_sub_address_has_its_folder(self):
        home = self.home("jdoe")
        os.makedirs(f"{home}/Maildir/.box/new", exist_ok=True)
        account = pwd.getpwnam("jdoe")
        for folder in ("Maildir", "Maildir/.box", "Maildir/.box/new"):
            os.chown(f"{home}/{folder}", account.pw_uid, account.pw_gid)
        self.send("jdoe+box@athome.tld")
        self.send('"jdoe+../../x"@athome.tld')
        wait_for(lambda: self.letters("jdoe", ".box/"), "nothing in the folder")
        wait_for(lambda: any('x"@athome.tld' in read(path) for path in self.letters("jdoe")), "nothing in the inbox")
        self.assertFalse(os.path.exists("/var/home/x") or os.path.exists(f"{home}/x"))

    def test_another_user_delivers(self):
        """Where no path is written, the Maildir is that of the action's user; USER and LOGNAME are his, too."""
        had = len(self.letters("vmail")), len(self.letters("alice"))
        self.send("x@shared.tld")
        wait_for(lambda: len(self.letters("vmail")) > had[0], "no mail")
        self.assertEqual(len(self.letters("alice")), had[1])
        self.owned(self.letters("vmail")[0], "vmail")
        home = self.home("vmail")
        self.send("x@agent.tld")
        wait_for(lambda: os.path.exists(f"{home}/agent.text") and os.path.getsize(f"{home}/agent.text"), "nothing ran")
        environment = dict(line.split("=", 1) for line in read(f"{home}/agent.env").splitlines() if "=" in line)
        self.assertEqual({name: environment.get(name) for name in ("USER", "LOGNAME", "HOME")},
                         {"USER": "vmail", "LOGNAME": "vmail", "HOME": home})
        self.owned(f"{home}/agent.text", "vmail")
        os.unlink(f"{home}/agent.text")

    def test_the_systems_mailbox(self):
        os.chown("/var/mail", 0, 8)  # Debian's group mail
        os.chmod("/var/mail", 0o2775)
        self.send("gilles@mbox.tld")
        self.send("gilles@mbox.tld")
        wait_for(lambda: os.path.exists("/var/mail/gilles") and read("/var/mail/gilles").count("\nHello.") == 2, "no mail")
        self.owned("/var/mail/gilles", "gilles")
        self.assertEqual(os.stat("/var/mail/gilles").st_mode & 0o777, 0o600)
        wait_for(lambda: os.listdir("/var/mail") == ["gilles"], "the lock stays")
        self.send("root@mbox.tld")
        wait_for(lambda: os.path.exists("/var/mail/root") and "Hello." in read("/var/mail/root"), "no mail for root")
        self.owned("/var/mail/root", "root")
        os.unlink("/var/mail/root")

    def test_a_userbase_has_groups_of_its_own(self):
        self.send("alice@users.tld")
        folder = "/var/tmp/users/alice/Maildir/new"
        wait_for(lambda: os.path.isdir(folder) and os.listdir(folder), "no letter")
        letter = os.stat(f"{folder}/{os.listdir(folder)[0]}")
        self.assertEqual((letter.st_uid, letter.st_gid), (pwd.getpwnam("alice").pw_uid, 100))

    def test_a_program_can_trap_signals(self):
        """A shell cannot trap what was ignored when it was started."""
        home = self.home("gilles")
        self.forward("gilles", "|\"cat > /dev/null; trap 'echo yes > trapped' TERM; kill -TERM $$; exit 0\"\n")
        self.send("gilles@athome.tld")
        wait_for(lambda: os.path.exists(f"{home}/trapped") or self.failures("gilles"), "nothing ran")
        self.assertTrue(os.path.exists(f"{home}/trapped"), self.log())

    def test_no_room_and_no_rights_are_temporary(self):
        home = self.home("_vmail")
        account = pwd.getpwnam("_vmail")
        os.chmod(home, 0o555)
        self.addCleanup(os.chmod, home, 0o755)
        self.send("_vmail@athome.tld")
        wait_for(lambda: self.failures("_vmail") == 1, "no failure")
        os.chmod(home, 0o755)
        os.makedirs(f"{home}/Maildir")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=64k,uid={account.pw_uid}", "full", f"{home}/Maildir"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", f"{home}/Maildir"], check=False)
        with Client("127.0.0.1") as smtp:
            smtp.ehlo()
            smtp.mail_to("_vmail@athome.tld", "x" * 70 + "\r\n" * 100_000)
        wait_for(lambda: self.failures("_vmail", "No space left") >= 1, "no failure for want of room")
        self.assertEqual([each for _, _, files in os.walk(f"{home}/Maildir") for each in files], [])

    def test_a_reload_reads_what_only_root_may_read(self):
        for path in ("/etc/ssl/private/athome.tld.key", "/etc/mail/smtpd.conf"):
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertNotIn("not reloaded", self.reload())

    def reload(self):
        """What the log has of it."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in self.log()[before:], "no reload")
        return self.log()[before:]

    def test_a_reload_opens_a_port_of_mail(self):
        self.addCleanup(self.reload)
        self.addCleanup(MACHINE.write, "/etc/mail/smtpd.conf", CONFIG)
        MACHINE.write("/etc/mail/smtpd.conf", CONFIG + "listen on 127.0.0.1 port 465 smtps pki athome.tld\n")
        self.assertNotIn("not reloaded", self.reload())
        socket.create_connection(("127.0.0.1", 465), 5).close()
        MACHINE.write("/etc/mail/smtpd.conf", CONFIG.replace("port 587", "port 465"))
        self.assertNotIn("not reloaded", self.reload())
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", 587), 5).close()
        # What was open at the start can be opened again.
        MACHINE.write("/etc/mail/smtpd.conf", CONFIG)
        self.assertNotIn("not reloaded", self.reload())
        socket.create_connection(("127.0.0.1", 587), 5).close()

    def test_a_login_of_the_systems(self):
        with Client("127.0.0.1", 587) as smtp:
            smtp.ehlo()
            smtp.secure()
            self.assertEqual(smtp.login("alice", "alice-pass")[0], 235)
        with Client("127.0.0.1", 587) as smtp:
            smtp.ehlo()
            smtp.secure()
            with self.assertRaises(Exception):
                smtp.login("alice", "wrong")


class Unprivileged(InWorld):
    daemon = user = "postern"

    @classmethod
    def setUpClass(cls):
        add_account()
        super().setUpClass()

    def test_another_privileged_port_takes_a_restart(self):
        self.addCleanup(MACHINE.write, "/etc/mail/smtpd.conf", CONFIG)
        MACHINE.write("/etc/mail/smtpd.conf", CONFIG + "listen on 127.0.0.1 port 26\n")
        self.assertRegex(self.reload(), r"not reloaded: .*smtpd.conf:\d+:1: error: .*127.0.0.1:26 .*takes a restart")
        socket.create_connection(("127.0.0.1", 25), 5).close()

    def helper(self):
        return int(read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()[0])

    def under_way(self):
        """What the helper does at this moment: [(process, state)]."""
        helper = self.helper()
        return [(pid, read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0])
                for pid in read(f"/proc/{helper}/task/{helper}/children").split()]

    def test_a_program_that_stops_its_parent(self):
        """Who watches over a user's program is the user's by then: stopping it must not keep it, nor its message."""
        self.forward("john", "|\"kill -STOP $PPID; sleep 299\"\n")
        had = self.failures("john")
        for _ in range(20):
            self.send("john@athome.tld")
        wait_for(lambda: self.failures("john") - had >= 20, "they are held")
        wait_for(lambda: not self.under_way(), "something is still there")
        wait_for(lambda: not subprocess.run(["pgrep", "-f", "sleep 299"], check=False, capture_output=True).stdout,
                 "a program outlives its delivery")
        had = len(self.letters("alice"))
        self.send("alice@athome.tld")
        wait_for(lambda: len(self.letters("alice")) > had, "no mail for anybody else")

    def test_a_group_that_nobody_named(self):
        """What a userbase says later about an account and somebody's group is not done, and the log says why."""
        before = read("/etc/mail/users")
        uid = pwd.getpwnam("vmail").pw_uid
        MACHINE.write("/etc/mail/users", f"{before}vmail {uid}:8:/var/tmp/users/vmail\n")
        self.addCleanup(MACHINE.write, "/etc/mail/users", before)
        had = self.log().count("configuration reloaded")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("configuration reloaded") > had, "no reload")
        self.assertEqual(self.answer("vmail@users.tld")[:3], "451")
        self.assertIn("is not in group 8", self.log())
        self.assertFalse(os.path.exists("/var/tmp/users/vmail"))

    def test_a_reload_that_needs_root(self):
        """What was given up does not come back: the listener is refused, the old ones stay."""
        before = read("/etc/mail/smtpd.conf")
        MACHINE.write("/etc/mail/smtpd.conf", before + "listen on 127.0.0.1 port 143 proto imap tls pki athome.tld auth\n")
        self.addCleanup(MACHINE.write, "/etc/mail/smtpd.conf", before)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "serving IMAP takes a restart" in self.log(), "it was taken")
        self.assertEqual(self.answer("alice@athome.tld")[:3], "250")

    def test_who_runs(self):
        """The server is nobody but its account; the helper is root, and holds nothing but its socket."""
        def ids(pid):
            status = read(f"/proc/{pid}/status")
            return [line.split()[1:] for line in status.splitlines() if line.startswith(("Uid:", "Gid:"))]
        self.assertEqual(ids(self.process.pid), [["6100"] * 4, ["6100"] * 4])
        self.assertIn("CapEff:\t0000000000000000", read(f"/proc/{self.process.pid}/status"))
        children = read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()
        self.assertEqual(len(children), 1)
        self.assertEqual(ids(children[0]), [["0"] * 4, ["0"] * 4])
        # … once it has nothing to do: a reply for each piece of work is open meanwhile.
        wait_for(lambda: sorted(os.listdir(f"/proc/{children[0]}/fd"), key=int) == ["0", "1", "2", "3"], "it holds more")
        for folder, _, files in os.walk("/var/spool/postern"):
            for name in [folder] + [f"{folder}/{each}" for each in files]:
                self.assertEqual(os.stat(name).st_uid, 6100, name)


@unittest.skipUnless(world.inside(), "inside only")
class UnprivilegedEnds(unittest.TestCase):
    """Starts that must not be, and an end that must be seen."""

    def setUp(self):
        add_account()
        MACHINE.write("/etc/mail/smtpd.conf", 'mailname "athome.tld"\nlisten on 127.0.0.1 port 25\n'
                      'action "maildir" maildir\nmatch for domain "athome.tld" action "maildir"\n')

    @staticmethod
    def serve(spool, user="postern"):
        with open("/var/tmp/log", "w", encoding="utf-8") as log:
            return subprocess.Popen([POSTERN, "serve", "-u", user, "-s", spool], stdout=log, stderr=log)

    def serve_a_moment(self, spool, user="postern"):
        process = self.serve(spool, user)
        wait_for(lambda: "started" in read("/var/tmp/log") or process.poll() is not None, "no start")
        process.terminate()
        self.assertEqual(process.wait(30), 0, read("/var/tmp/log"))

    @staticmethod
    def owners(spool):
        return {os.stat(f"{folder}/{each}").st_uid for folder, folders, files in os.walk(spool) for each in [*folders, *files, "."]}

    def test_a_folder_that_is_not_a_spool(self):
        os.makedirs("/var/lib-of-others/cron")
        for path in ("/var/lib-of-others", "/var"):
            process = self.serve(path)
            self.assertEqual(process.wait(20), 1, read("/var/tmp/log"))
            self.assertIn(f'spool "{path}": belongs to root', read("/var/tmp/log"))
            self.assertEqual(os.stat(path).st_uid, 0)
            self.assertEqual(os.stat("/var/lib-of-others/cron").st_uid, 0)

    def test_what_a_run_as_root_left_is_taken_over(self):
        spool = "/var/spool/taken"
        self.serve_a_moment(spool, "root")
        self.assertEqual(self.owners(spool), {0})
        self.serve_a_moment(spool)
        self.assertEqual(self.owners(spool), {6100})
        # Root's server says by the folders that it was there: whoever is next looks into them.
        self.serve_a_moment(spool, "root")
        MACHINE.write(f"{spool}/bodies/0000000000000001", "")
        os.chown(f"{spool}/recent", 0, 0)
        self.serve_a_moment(spool)
        self.assertEqual(self.owners(spool), {6100})

    def test_without_its_helper_the_server_ends(self):
        process = self.serve("/var/spool/helped")
        wait_for(lambda: "started" in read("/var/tmp/log") or process.poll() is not None, "no start")
        helper = int(read(f"/proc/{process.pid}/task/{process.pid}/children").split()[0])
        os.kill(helper, signal.SIGKILL)
        self.assertEqual(process.wait(30), 1)
        self.assertIn("ALARM: the helper process has ended", read("/var/tmp/log"))


if __name__ == "__main__":
    unittest.main()
