"""The suite's configurations of several domains with virtual users, on a machine of their own, run without root's rights."""

import os
import pwd
import subprocess
import unittest

import suite
import world
from suite import LOCAL, NO_RULE, NO_VIRTUAL, REMOTE, BY_SOCKET, TAKEN, Row, maildir, mbox, relayed


load_tests = suite.load_tests


class Domains(suite.Outside):
    inside = "test_suite_domains"


def setUpModule():
    suite.set_up(suite.ELSEWHERE, unprivileged=True)


BATMAN = suite.submission(("batman@athome.tld", "batman-test-pass"))
CERTIFICATES = tuple((f"/etc/ssl/{name}.crt", f"/etc/ssl/private/{name}.key", name) for name in ("domain.tld", "other.bar"))


def box(path):
    return maildir(f"/var/vmail/{path}/Maildir", "_vmail")


class MultiDomain:
    """What the two configurations of three domains do."""

    tables = "athome"
    certificates = CERTIFICATES
    rows = (
        Row(REMOTE, "batman@athome.tld", TAKEN, box("athome.tld/batman")),
        Row(REMOTE, "BatMan@ATHOME.tld", TAKEN, box("athome.tld/batman")),
        Row(REMOTE, "batman+x@athome.tld", TAKEN, box("athome.tld/batman+x")),
        Row(REMOTE, "heroes@athome.tld", TAKEN, box("athome.tld/batman"), box("athome.tld/superman")),
        Row(REMOTE, "jwayne@athome.tld", TAKEN, relayed("batman@wayne.com")),
        Row(REMOTE, "info@domain.tld", TAKEN, box("domain.tld/info")),
        Row(REMOTE, "anybody@other.bar", TAKEN, box("athome.tld/scoobydoo")),
        Row(REMOTE, "Any.Body+tag@OTHER.bar", TAKEN, box("athome.tld/scoobydoo")),
        Row(REMOTE, "batman@other.bar", TAKEN, box("athome.tld/scoobydoo")),
        Row(REMOTE, "joker@athome.tld", NO_VIRTUAL),
        Row(REMOTE, "batman@domain.tld", NO_VIRTUAL),
        Row(REMOTE, "info@athome.tld", NO_VIRTUAL),
        Row(REMOTE, "batman@sub.athome.tld", NO_RULE),
        Row(REMOTE, "somebody@elsewhere.test", NO_RULE),
        Row(BATMAN, "auth@elsewhere.test", TAKEN, relayed("auth@elsewhere.test")),
        Row(BATMAN, "superman@athome.tld", TAKEN, box("athome.tld/superman")),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
        Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test")),
        Row(LOCAL, "info@domain.tld", TAKEN, box("domain.tld/info")),
        Row(REMOTE, "john@localhost", TAKEN, maildir("/var/home/john/Maildir", "john")),
        Row(LOCAL, f"webmaster@[{world.OUR_ADDRESS}]", TAKEN, maildir("/var/home/bruce/Maildir", "bruce")),
        Row(REMOTE, "nobody-there@localhost", NO_RULE),
    )

    def test_the_name_chooses_the_certificate(self):
        for port in (25, 587):
            for asked, expected in (("athome.tld", "athome.tld"), ("domain.tld", "domain.tld"), ("other.bar", "other.bar"),
                                    ("unknown.test", "athome.tld"), (None, "athome.tld")):
                with self.subTest(port=port, asked=asked):
                    self.assertEqual(self.subject_of_certificate(port, asked), expected)

    def test_what_is_offered(self):
        client = self.client(remote=True)
        self.assertRegex(client.ehlo_resp.decode(), "^athome.tld ")
        self.assertTrue(client.has_extn("starttls"))
        client.secure()
        self.assertFalse(client.has_extn("auth"))
        client = self.client(587, remote=True)
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*STARTTLS")
        client.secure()
        self.assertRegex(client.text("MAIL FROM:<a@athome.tld>"), r"^530 5\.5\.1 .*AUTH")
        self.assertRegex(client.text("AUTH PLAIN " + suite.plain("batman", "batman-test-pass")), "^535 ")


class AthomeMultidomain(MultiDomain, suite.InWorld):
    config = "athome-multidomain.conf"


class AthomeMultidomainPki(MultiDomain, suite.InWorld):
    config = "athome-multidomain-pki.conf"


class AthomeMultidomainOfAnotherName(suite.InWorld):
    """No pki is named like the server: the one called "*" is what remains for those that ask for no known name."""

    config = "athome-multidomain.conf"
    tables = "athome"
    mailname = "mail1.example.net"
    certificates = (*CERTIFICATES, ("/etc/ssl/default.crt", "/etc/ssl/private/default.key", "default.test"))
    changes = (('pki "*" key "/etc/ssl/private/athome.tld.key"', 'pki "*" key "/etc/ssl/private/default.key"'),
               ('pki "*" cert "/etc/ssl/athome.tld.crt"', 'pki "*" cert "/etc/ssl/default.crt"'))

    def test_the_name_chooses_the_certificate(self):
        for asked, expected in (("domain.tld", "domain.tld"), ("athome.tld", "athome.tld"), ("mail1.example.net", "default.test"),
                                (None, "default.test")):
            with self.subTest(asked):
                self.assertEqual(self.subject_of_certificate(25, asked), expected)


class Openbsd69Basic(suite.InWorld):
    """An open relay, as printed, and said to be one."""

    config = "openbsd69-basic.conf"
    tables = "openbsd69"
    vmail = "vmail"
    certificates = (("/etc/ssl/mail.example.com.fullchain.pem", "/etc/ssl/private/mail.example.com.key", "mail.example.com"),)
    rows = (
        *(Row(origin, recipient, TAKEN, maildir(f"/var/vmail/example.com/{user}", "vmail"))
          for origin in (LOCAL, REMOTE)
          for recipient, user in (("john@example.com", "john"), ("PETER@Example.com", "peter"), ("mary@example.com", "mary"),
                                  ("postmaster@example.com", "john"), ("abuse@example.com", "john"),
                                  ("hostmaster@example.com", "john"), ("webmaster@example.com", "john"))),
        Row(REMOTE, "nobody-there@example.com", NO_VIRTUAL),
        Row(REMOTE, "alice@example.com", NO_VIRTUAL),
        Row(LOCAL, "root@mail.example.com", TAKEN, mbox("john")),
        Row(LOCAL, "daemon@localhost", TAKEN, mbox("john")),
        Row(LOCAL, "alice", TAKEN, mbox("alice")),
        Row(LOCAL, "nobody-there@mail.example.com", NO_RULE),
        Row(LOCAL, "local@elsewhere.test", TAKEN, relayed("local@elsewhere.test")),
        Row(BY_SOCKET, "socket@elsewhere.test", TAKEN, relayed("socket@elsewhere.test")),
        Row(REMOTE, "anybody@elsewhere.test", TAKEN, relayed("anybody@elsewhere.test")),
        Row(REMOTE._replace(port=587), "at587@elsewhere.test", TAKEN, relayed("at587@elsewhere.test")),
        Row(REMOTE._replace(tls="starttls"), "john@example.com", TAKEN, maildir("/var/vmail/example.com/john", "vmail")),
    )

    def test_listens_to_all_at_25_and_to_the_outside_at_587(self):
        ours = {world.OUR_ADDRESS, f"[{world.OUR_ADDRESS6}]"}
        self.assertEqual(self.listening(), {(each, "25") for each in ours | {"127.0.0.1", "[::1]"}} | {(each, "587") for each in ours})

    def test_starttls_is_offered_and_auth_is_not(self):
        for port in (25, 587):
            client = self.client(port, remote=True)
            self.assertRegex(client.ehlo_resp.decode(), "^mail.example.com ")
            self.assertTrue(client.has_extn("starttls"))
            client.secure()
            self.assertFalse(client.has_extn("auth"))
            self.assertEqual(self.subject_of_certificate(port), "mail.example.com")

    def test_the_open_relay_is_told(self):
        self.assertRegex(self.log(), r"/etc/mail/smtpd\.conf:27:\d+: warning: open relay")

    def test_every_user_may_hand_in_mail_by_the_socket(self):
        script = ("import smtplib, socket, sys\n"
                  "class Local(smtplib.SMTP):\n"
                  "    def _get_socket(self, host, port, timeout):\n"
                  "        there = socket.socket(socket.AF_UNIX)\n"
                  "        there.connect(sys.argv[1])\n"
                  "        return there\n"
                  "Local('localhost', local_hostname='x').sendmail(*sys.argv[2:])\n")
        account = pwd.getpwnam("alice")
        subprocess.run(["/usr/bin/python3", "-c", script, suite.SOCKET, "alice@mail.example.com",
                        "users-own@elsewhere.test", "Subject: hi\r\n\r\nHello.\r\n"], user=account.pw_uid, group=account.pw_gid,
                       extra_groups=[], check=True, timeout=20, cwd="/")
        mail, = self.relayed("users-own@elsewhere.test")
        self.assertEqual(mail.sender, "alice@mail.example.com")
        self.assertRegex(self.log(), rf"smtp connected address=local .*uid={account.pw_uid}\b")

    def test_folders_are_the_delivery_users(self):
        self.session(REMOTE).mail_to("mary@example.com", subject="for mary")
        self.assert_maildir("/var/vmail/example.com/mary", "vmail", "for mary")
        self.assertFalse(os.path.exists("/var/vmail/example.com/MARY"))


if __name__ == "__main__":
    unittest.main()
