"""DKIM and ARC with strangers: what `postern` signs and seals, Debian's python3-dkim verifies, and the reverse.
Keys come from a zone file on our side and from a table on theirs."""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

# Debian's own interpreter: another one in PATH does not see Debian's modules.
PEER_PYTHON = "/usr/bin/python3"

PEER = r"""
import base64, json, sys
import dkim
job = json.load(sys.stdin)
message = base64.b64decode(job["message"])
records = {name.encode(): text.encode() for name, text in job["records"].items()}
def lookup(name, timeout=5):
    name = name if isinstance(name, bytes) else name.encode()
    return records.get(name.rstrip(b"."))
out = {}
if job["do"] == "verify":
    d = dkim.DKIM(message, minkey=1024)
    count = sum(1 for name, _ in d.headers if name.lower() == b"dkim-signature")
    out["good"] = [bool(dkim.DKIM(message, minkey=1024).verify(idx=i, dnsfunc=lookup)) for i in range(count)]
elif job["do"] == "sign":
    out["field"] = base64.b64encode(dkim.sign(message, b"s", b"example.org", job["key"].encode(),
        canonicalize=tuple(c.encode() for c in job["forms"]), signature_algorithm=job["algorithm"].encode(),
        length=job.get("length", False))).decode()
elif job["do"] == "arc_verify":
    cv, results, reason = dkim.arc_verify(message, dnsfunc=lookup)
    out["cv"] = cv.decode() if isinstance(cv, bytes) else str(cv)
    out["reason"] = str(reason)
elif job["do"] == "arc_seal":
    fields = dkim.arc_sign(message, b"s", b"example.org", job["key"].encode(), b"peer.example.org")
    out["fields"] = base64.b64encode(b"".join(fields)).decode()
json.dump(out, sys.stdout)
"""

PLAIN = (b"From: Ann Example <ann@example.org>\r\nTo: bob@example.net\r\nSubject:  a  test of\r\n\tfolded lines\r\n"
         b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
         b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello  Bob, \r\n\r\n this\tis it.\r\n\r\n\r\n")


def has_peer():
    done = subprocess.run([PEER_PYTHON, "-c", "import dkim, nacl"], capture_output=True, check=False)
    return done.returncode == 0


def made_message(rng):
    """A message whose blanks, folds, empty lines and repeated fields try the canonical forms."""
    fields = ["From: Ann <ann@example.org>"]
    for name in rng.sample(["To", "Cc", "Subject", "Date", "Message-ID", "X-Other", "Reply-To", "References", "List-Id"], 6):
        words = " ".join("w" * rng.randint(1, 9) + rng.choice(["", " ", "\t", "\r\n ", "\r\n\t "]) for _ in range(rng.randint(1, 8)))
        fields.append(f"{name}:{rng.choice([' ', '', '  '])}{words.rstrip()}")
    fields += ["Received: from a by b; Tue, 14 Nov 2023 22:13:20 +0000"] * rng.randint(0, 2)
    rng.shuffle(fields)
    lines = ["".join(rng.choice(["word", " ", "  ", "\t", "x", "=20", "é"]) for _ in range(rng.randint(0, 12)))
             for _ in range(rng.randint(0, 12))]
    body = "\r\n".join(lines) + rng.choice(["", "\r\n", "\r\n\r\n\r\n"])
    return ("\r\n".join(fields) + "\r\n\r\n" + body).encode()


@unittest.skipUnless(has_peer(), "python3-dkim and python3-nacl are not installed")
class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.zone = f"{cls.folder}/zone"
        cls.records = {}
        zone = ""
        for name, options in (("rsa", ["--type", "rsa"]), ("rsa4096", ["--bits", "4096"]), ("ed", ["--type", "ed25519"])):
            done = subprocess.run([harness.POSTERN, "dkim", "keygen", *options, "--domain", "example.org", "--selector", name,
                                   "--out", f"{cls.folder}/{name}.pem"], capture_output=True, text=True, check=True, timeout=120)
            for piece in re.findall(r'"([^"]*)"', done.stdout):
                assert len(piece) <= 255, piece
            zone += done.stdout
            cls.records[f"{name}._domainkey.example.org"] = "".join(re.findall(r'"([^"]*)"', done.stdout))
            assert os.stat(f"{cls.folder}/{name}.pem").st_mode & 0o777 == 0o600
        # "s" is what the peer signs with.
        for name in ("rsa", "ed"):
            zone += f's._domainkey.example.org. IN TXT "{cls.records[name + "._domainkey.example.org"][:200]}" '
            zone += f'"{cls.records[name + "._domainkey.example.org"][200:]}"\n'
        with open(cls.zone, "w", encoding="ascii") as out:
            out.write(zone)
        with open(f"{cls.folder}/rsa.pem", encoding="ascii") as pem:
            cls.rsa = pem.read()
        with open(f"{cls.folder}/ed.pem", encoding="ascii") as pem:
            der = base64.b64decode("".join(pem.read().split("\n")[1:-2]))
        cls.seed = base64.b64encode(der[-32:]).decode()  # RFC 8410 section 7: the seed ends the PKCS#8 form

    def postern(self, *arguments, message, status=0):
        done = subprocess.run([harness.POSTERN, *arguments], input=message, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, (done.stdout + done.stderr).decode(errors="replace"))
        return done.stdout

    def peer(self, do, message, **more):
        records = dict(self.records)
        records["s._domainkey.example.org"] = self.records[f"{more.pop('s', 'rsa')}._domainkey.example.org"]
        job = {"do": do, "message": base64.b64encode(message).decode(), "records": records, **more}
        done = subprocess.run([PEER_PYTHON, "-c", PEER], input=json.dumps(job), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def key(self, name):
        return ["--key", f"{self.folder}/{name}.pem", "--domain", "example.org", "--selector", name]

    def messages(self, count):
        rng = random.Random(6376)
        return [PLAIN] + [made_message(rng) for _ in range(count)]

    def test_they_verify_what_we_sign(self):
        forms = [(h, b) for h in ("relaxed", "simple") for b in ("relaxed", "simple")]
        for number, message in enumerate(self.messages(12)):
            header, body = forms[number % 4]
            signed = self.postern("dkim", "sign", *self.key("rsa"), "--key2", f"{self.folder}/ed.pem", "--selector2", "ed",
                                  "--header-form", header, "--body-form", body, "--expires", "86400", message=message)
            self.assertEqual(self.peer("verify", signed)["good"], [True, True], (number, signed))
            broken = signed.replace(b"From: Ann", b"From: Eve")
            self.assertEqual(self.peer("verify", broken)["good"], [False, False])

    def test_they_verify_a_long_key(self):
        signed = self.postern("dkim", "sign", *self.key("rsa4096"), message=PLAIN)
        self.assertEqual(self.peer("verify", signed)["good"], [True])

    def test_we_verify_what_they_sign(self):
        forms = [(h, b) for h in ("relaxed", "simple") for b in ("relaxed", "simple")]
        for number, message in enumerate(self.messages(12)):
            algorithm, key = (("rsa-sha256", self.rsa), ("ed25519-sha256", self.seed))[number % 2]
            field = base64.b64decode(self.peer("sign", message, forms=forms[number % 4], algorithm=algorithm, key=key,
                                               length=number % 3 == 2)["field"])
            signed = field + message
            told = json.loads(self.postern("dkim", "verify", "--zone", self.zone, "--json", message=signed))
            self.assertEqual(told["result"], "pass", (number, told, signed))
            broken = signed.replace(b"From: Ann", b"From: Eve")
            told = json.loads(self.postern("dkim", "verify", "--zone", self.zone, "--json", message=broken, status=1))
            self.assertEqual((told["result"], told["reason"]), ("fail", "signature_differs"))

    def test_arc_they_verify_what_we_seal(self):
        message = b"Authentication-Results: example.org; spf=pass smtp.mailfrom=ann@example.org\r\n" + PLAIN
        for expected in ("pass", "pass", "pass"):
            message = self.postern("arc", "seal", *self.key("rsa"), "--zone", self.zone, message=message)
            told = self.peer("arc_verify", message)
            self.assertEqual(told["cv"], expected, told)
        broken = message.replace(b"this\tis it", b"this is not")
        self.assertEqual(self.peer("arc_verify", broken)["cv"], "fail")

    def test_arc_we_verify_what_they_seal(self):
        message = PLAIN
        for count, arc in ((1, b"none"), (2, b"pass")):
            # It takes cv= from what its own Authentication-Results says of the chain.
            told_by_peer = b"Authentication-Results: peer.example.org; arc=" + arc + b"\r\n" + message
            message = base64.b64decode(self.peer("arc_seal", told_by_peer, key=self.rsa)["fields"]) + message
            told = json.loads(self.postern("arc", "verify", "--zone", self.zone, "--json", message=message))
            self.assertEqual((told["result"], len(told["sets"])), ("pass", count), told)
        # A set of ours stands on theirs.
        ours = self.postern("arc", "seal", *self.key("ed"), "--zone", self.zone, message=message)
        told = json.loads(self.postern("arc", "verify", "--zone", self.zone, "--json", message=ours))
        self.assertEqual((told["result"], len(told["sets"])), ("pass", 3), told)
        broken = message.replace(b"Hello", b"Hullo")
        told = json.loads(self.postern("arc", "verify", "--zone", self.zone, "--json", message=broken, status=1))
        self.assertEqual((told["result"], told["reason"]), ("fail", "body_hash_differs"))


class CommandLine(unittest.TestCase):
    def run_it(self, *arguments, message=b""):
        return subprocess.run([harness.POSTERN, *arguments], input=message, capture_output=True, timeout=60, check=False)

    def test_wrong_calls_say_what_is_missing(self):
        for arguments, words in ((("dkim",), "usage"), (("dkim", "sign"), "--key is missing"),
                                 (("dkim", "sign", "--key", "/none", "--domain", "a.example", "--selector", "s"), "/none"),
                                 (("dkim", "keygen", "--domain", "a.example"), "--selector is missing"),
                                 (("dkim", "keygen", "--domain", "a", "--selector", "s", "--bits", "1024"), "2048"),
                                 (("dkim", "verify", "--zone", "/none"), "/none"), (("arc", "seal"), "--key is missing")):
            done = self.run_it(*arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertIn(words, done.stderr.decode())

    def test_an_unsigned_message(self):
        with tempfile.NamedTemporaryFile("w", suffix=".zone") as zone:
            done = self.run_it("dkim", "verify", "--zone", zone.name, message=PLAIN)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.decode(), "DKIM none: the message is not signed\n")

    def test_a_message_with_bare_line_feeds_stays_so(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_it("dkim", "keygen", "--type", "ed25519", "--domain", "example.org", "--selector", "s",
                               "--out", f"{folder}/key")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{folder}/zone", "wb") as zone:
                zone.write(done.stdout)
            # A key is not overwritten.
            self.assertEqual(self.run_it("dkim", "keygen", "--type", "ed25519", "--domain", "example.org", "--selector", "s",
                                         "--out", f"{folder}/key").returncode, 2)
            signed = self.run_it("dkim", "sign", "--key", f"{folder}/key", "--domain", "example.org", "--selector", "s",
                                 message=PLAIN.replace(b"\r\n", b"\n")).stdout
            self.assertNotIn(b"\r", signed)
            done = self.run_it("dkim", "verify", "--zone", f"{folder}/zone", message=signed)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(b"DKIM pass: good signature of example.org", done.stdout)

    def test_a_large_message_costs_no_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            zone = f"{folder}/zone"
            with open(zone, "wb") as out:
                out.write(self.run_it("dkim", "keygen", "--type", "ed25519", "--domain", "example.org", "--selector", "s",
                                      "--out", f"{folder}/key").stdout)
            body = (b"a line of seventy octets, more or less, as people write them in letters\r\n" * 14000) * 50
            fields = self.run_it("dkim", "sign", "--key", f"{folder}/key", "--domain", "example.org", "--selector", "s",
                                 "--header-only", message=PLAIN + body).stdout
            process = subprocess.Popen([harness.POSTERN, "dkim", "verify", "--zone", zone], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
            process.stdin.write(fields + PLAIN + body)
            process.stdin.flush()
            # Its own high water mark: that of wait4 has the memory of the Python that forked it.
            with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                most_kib = int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))
            said, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        self.assertLess(most_kib, 32 * 1024, "for a message of 50 MiB")


if __name__ == "__main__":
    unittest.main()
