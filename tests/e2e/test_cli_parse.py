"""postern parse: a message from a file and from standard input, for people and for programs."""

import base64
import json
import os
import subprocess
import tempfile
import unittest

from harness import POSTERN

MAIL = (b"From: =?utf-8?Q?J=C3=BCrgen?= <j@example.org>\r\nTo: Team: a@example.com, Bob <b@example.com>;\r\n"
        b"Subject: =?utf-8?B?R3LDvMOfZQ==?= \x1b[31m\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n"
        b"Message-ID: <1@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
        b"--c\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nSch\xf6ne Gr\xfc\xdfe\r\n"
        b"--c\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>hello\r\n--c--\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=\"\x1b]0;a.pdf\"\r\n\r\nUERG\r\n")
BOUNCE = (b"From: MAILER-DAEMON@example.org\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
          b"--b\r\n\r\nno luck\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
          b"Final-Recipient: rfc822; a@example.com\r\nAction: failed\r\nStatus: 5.0.0\r\n"
          b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n--b--\r\n")


def parse(*arguments, mail=None):
    return subprocess.run([POSTERN, "parse", *arguments], input=mail, capture_output=True, timeout=30, check=False)


class Parse(unittest.TestCase):
    def test_tree_for_people(self):
        done = parse(mail=MAIL)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        text = done.stdout.decode()
        self.assertIn("From        Jürgen <j@example.org>\n", text)
        self.assertIn("To          Team: a@example.com, Bob <b@example.com>;\n", text)
        self.assertIn("Date        Tue, 01 Jul 2003 10:52:37 +0200\n", text)
        self.assertIn("Says        Schöne Grüße\n", text)
        self.assertIn("0  multipart/mixed\n├─ 1  multipart/alternative\n│  ├─ 2  text/plain  iso-8859-1  12 bytes\n"
                      "│  └─ 3  text/html  quoted-printable  8 bytes\n└─ 4  application/pdf  ", text)
        self.assertIn("part 0: missing_close_delimiter: a multipart is not closed", text)
        self.assertNotIn("\x1b", text, "nothing of the message reaches the terminal as a command")

    def test_json(self):
        tree = json.loads(parse("--json", "--text", mail=MAIL).stdout)
        self.assertEqual(tree["from"], [{"name": "Jürgen", "address": "j@example.org"}])
        self.assertEqual(tree["to"][1], {"name": "Bob", "address": "b@example.com", "group": "Team"})
        self.assertEqual(tree["date"]["unix_s"], 1057049557)
        self.assertEqual([part["type"] for part in tree["parts"]],
                         ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"])
        self.assertEqual(tree["parts"][2]["text"], "Schöne Grüße")
        self.assertEqual(tree["parts"][4]["decoded_bytes"], 3)
        self.assertEqual(tree["defects"][0]["defect"], "missing_close_delimiter")

    def test_a_bounce_is_told(self):
        tree = json.loads(parse("--json", mail=BOUNCE).stdout)
        self.assertEqual(tree["bounce"]["recipients"],
                         [{"final_recipient": "a@example.com", "action": "failed", "status": "5.1.1", "reply_code": 550,
                           "diagnostic": "550 5.1.1 no such user"}])

    def test_bodies(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(MAIL)
            file.flush()
            self.assertEqual(parse(file.name, "--part", "4").stdout, b"PDF")
            self.assertEqual(parse(file.name, "--part", "2").stdout, b"Sch\xf6ne Gr\xfc\xdfe")
            self.assertEqual(parse(file.name, "--part", "2", "--text").stdout.decode(), "Schöne Grüße")
            self.assertEqual(parse(file.name, "--text").stdout.decode(), "Schöne Grüße")
            self.assertIn("Message-ID: <1@example.org>", parse(file.name, "--headers").stdout.decode())

    def test_what_is_wrong(self):
        missing = os.path.join(tempfile.gettempdir(), "no-such-message.eml")
        done = parse(missing)
        self.assertEqual(done.returncode, 2)
        self.assertIn(missing + ": No such file or directory", done.stderr.decode())
        done = parse("--part", "7", mail=MAIL)
        self.assertEqual((done.returncode, done.stderr), (1, b"postern: parse: there is no part 7; the last one is 4\n"))
        self.assertEqual(parse("--part", "x", mail=MAIL).returncode, 2)
        self.assertEqual(parse("--wrong", mail=MAIL).returncode, 2)
        self.assertEqual(parse("--help").returncode, 0)

    def test_defects_of_fields_and_bodies(self):
        mail = (b"From : a@b.c\r\nSubject: s\r\nSubject: t\r\nTo: a@b.c b@c.d\r\nDate: garbage\r\n"
                b"Bcc: nobody:;\r\n\r\nbare\rCR\nLF \0 \xc3\xa4\r\n")
        tree = json.loads(parse("--json", mail=mail).stdout)
        self.assertEqual({d["defect"]: d["offset"] for d in tree["defects"]},
                         {"blank_before_colon": 4, "repeated_field": 26, "missing_comma": 48, "bad_date": 55,
                          "bare_cr_in_body": 91, "bare_lf": 94, "nul_in_body": 98, "undeclared_8bit": 100})
        self.assertEqual([entry["address"] for entry in tree["to"]], ["a@b.c", "b@c.d"])
        self.assertEqual(tree["bcc"], [{"group": "nobody"}])
        shown = parse(mail=mail).stdout.decode()
        self.assertIn("line 3, part 0: repeated_field: a header field that may stand once stands again", shown)

    def test_nothing_reaches_the_terminal_as_a_command(self):
        mail = (b"From: \x9b31m\xff <a\x9b@b.c>\r\nTo: \xc2\x9b31m <d@e.f>\r\nSubject: a\x1bb\r\nX\x9bY: z\r\n"
                b"Content-Type: text/plain; charset=utf-8\r\n\r\nl\x1b]0;t\x07ne\n\xc2\x9b31m\t\x9b\xc3\xa4\n")
        for option in ((), ("--headers",), ("--text",), ("--json", "--text")):
            with self.subTest(option=option):
                done = parse(*option, mail=mail)
                self.assertEqual(done.returncode, 0)
                text = done.stdout.decode()  # it is UTF-8
                self.assertFalse([c for c in text if c < " " and c not in "\n\t" or "\x7f" <= c < "\xa0"])
                if option != ("--headers",):
                    self.assertIn("ä", text)

    def test_all_texts_are_said(self):
        part = b"--b\r\nContent-Type: %s\r\n\r\n%s\r\n"
        mail = (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part % (b"text/plain", b"first") +
                part % (b"image/png", b"x") + part % (b"text/plain", b"second") +
                part % (b"message/rfc822", b"Subject: x\r\n\r\nanother's") +
                b"--b\r\nContent-Disposition: attachment\r\n\r\nattached\r\n--b--\r\n")
        said = parse("--text", mail=mail).stdout.decode()
        self.assertEqual(said.split(), ["first", "second"])

    def test_an_encoded_message_is_opened(self):
        inside = base64.encodebytes("Subject: Grüße\r\n\r\nhello\r\n".encode())
        mail = b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inside
        tree = json.loads(parse("--json", "--text", mail=mail).stdout)
        self.assertEqual([part["type"] for part in tree["parts"]], ["message/global", "text/plain"])
        self.assertEqual(tree["parts"][1]["text"].strip(), "hello")
        self.assertEqual(tree["defects"], [])

    def test_a_forward_of_a_bounce_is_none(self):
        mail = (b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n" +
                BOUNCE + b"\r\n--o--\r\n")
        self.assertNotIn("bounce", json.loads(parse("--json", mail=mail).stdout))

    def test_any_octets(self):
        for mail in (b"", b"\n", b"\0" * 1000, bytes(range(256)), b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 20000):
            for option in ("--json", "--headers"):
                self.assertEqual(parse(option, mail=mail).returncode, 0)
            self.assertEqual(parse(mail=mail).returncode, 0)


if __name__ == "__main__":
    unittest.main()
