"""Our SPF beside python3-spf (pyspf): 200 made records, answered from the same zones, give the same results.

Each case is made from its number, so that a difference can be made again. Where the two differ and RFC 7208 is on our side, ARGUED
says so by section; a difference that is not there, or one there that is gone, fails.
"""

import ipaddress
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

import harness

# Debian's modules are not on the path of another python3.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    import spf
except ImportError:
    spf = None

CASES = 200
SEED = 7208
DOMAIN = "sender.example.org"
HELO = "mail.client.example.net"

# In each pyspf counts a third void lookup, which RFC 7208 4.6.4 makes a permerror, and we do not.
CLIENT_ZONE = "5.5: a name of the client that leads nowhere is skipped; the client could spend the domain's two void lookups with it"
AFTER_MATCH = "5.4: an mx is done with at the first match; pyspf asks for the addresses of the other names too"
CNAME_TWICE = "4.6.4: one lookup that goes through a CNAME to nothing is one void lookup; pyspf counts each name"
MX_ONCE = "4.6.4: void lookups are counted by terms; pyspf counts each name of an mx"
ARGUED = {15: AFTER_MATCH, 33: CLIENT_ZONE, 39: CLIENT_ZONE, 58: CLIENT_ZONE, 68: CLIENT_ZONE, 73: CLIENT_ZONE, 76: CNAME_TWICE,
          78: CLIENT_ZONE, 81: CLIENT_ZONE, 88: CLIENT_ZONE, 122: CLIENT_ZONE, 139: CLIENT_ZONE, 143: AFTER_MATCH, 159: CLIENT_ZONE,
          160: CLIENT_ZONE, 172: MX_ONCE}


class Maker:
    """One case: a zone of a few names, and a client, all from one seed."""

    def __init__(self, number):
        self.random = random.Random(SEED * 1000 + number)
        self.zone = {}
        v6 = self.random.random() < 0.25
        self.ip = f"2001:db8::{self.random.randint(1, 9)}" if v6 else f"192.0.2.{self.random.randint(1, 9)}"
        self.sender = self.random.choice(["joe", "strong-bad", "a+b", "x.y.z", "Upper", ""]) + "@" + DOMAIN
        if self.random.random() < 0.1:
            self.sender = ""
            self.put(HELO, "TXT", self.record(0))
        self.hosts()
        self.put(DOMAIN, "TXT", self.record(0))
        if self.random.random() < 0.05:
            self.put(DOMAIN, "TXT", "v=spf1 -all")
        if self.random.random() < 0.3:
            self.put(DOMAIN, "TXT", "some other text")

    def put(self, name, kind, value):
        self.zone.setdefault(name.lower(), []).append((kind, value))

    def hosts(self):
        for i in range(1, 5):
            for _ in range(self.random.randint(0, 3)):
                self.put(f"h{i}.example.org", "A", f"192.0.2.{self.random.randint(1, 9)}")
            for _ in range(self.random.randint(0, 2)):
                self.put(f"h{i}.example.org", "AAAA", f"2001:db8::{self.random.randint(1, 9)}")
        for name in (DOMAIN, "mx1.example.org"):
            for i in self.random.sample(range(1, 5), self.random.randint(0, 3)):
                self.put(name, "MX", (10 * i, f"h{i}.example.org"))
        if self.random.random() < 0.1:
            for i in range(12):
                self.put("many.example.org", "MX", (i, "h1.example.org"))
        self.put(DOMAIN, "A", f"192.0.2.{self.random.randint(1, 9)}")
        self.put("alias.example.org", "CNAME", self.random.choice(["h1.example.org", "h2.example.org", "nothing.example.org"]))
        self.put("dead.example.org", "SERVFAIL", "")
        reverse = ipaddress.ip_address(self.ip).reverse_pointer
        for name in self.random.sample(["h1.example.org", "h2.example.org", f"host.{DOMAIN}", DOMAIN, "nothing.example.org"],
                                       self.random.randint(0, 3)):
            self.put(reverse, "PTR", name)
        if self.random.random() < 0.5:
            self.put(f"host.{DOMAIN}", "AAAA" if ":" in self.ip else "A", self.ip)
        for name in (f"joe.users.{DOMAIN}", f"bad.strong.users.{DOMAIN}", f"z.y.x.users.{DOMAIN}", f"{self.ip}.list.example.org",
                     f"{self.ip}.in-addr.{DOMAIN}"):
            if self.random.random() < 0.6 and ":" not in name:
                self.put(name, "A", "127.0.0.2")

    def target(self):
        return self.random.choice(["h1.example.org", "h2.example.org", "h3.example.org", "alias.example.org", "nothing.example.org", "%{d}",
                                   "%{o}", "h1.%{d2}", "H4.Example.ORG.", "%{h}"] + (["dead.example.org"] if self.random.random() < 0.3 else []))

    def cidr(self):
        return self.random.choice(["", "", "", "/32", "/29", "/24", "//128", "//64", "/28//126", "/0"])

    def term(self, depth):
        kind = self.random.choice(["ip4", "ip4", "ip6", "a", "a", "mx", "mx", "ptr", "exists", "exists", "include", "modifier", "wrong"])
        if kind == "ip4":
            return self.random.choice([f"ip4:192.0.2.{self.random.randint(1, 9)}", f"ip4:192.0.2.0/{self.random.randint(27, 32)}",
                                       "ip4:198.51.100.0/24"])
        if kind == "ip6":
            return self.random.choice([f"ip6:2001:db8::{self.random.randint(1, 9)}", f"ip6:2001:db8::/{self.random.randint(120, 128)}"])
        if kind == "a":
            return self.random.choice(["a", "A", f"a:{self.target()}", f"a:{self.target()}"]) + self.cidr()
        if kind == "mx":
            names = ["mx", "mx:mx1.example.org", f"mx:{self.target()}"] + (["mx:many.example.org"] if self.random.random() < 0.2 else [])
            return self.random.choice(names) + self.cidr()
        if kind == "ptr":
            return self.random.choice(["ptr", "ptr:example.org", f"ptr:{self.target()}"])
        if kind == "exists":
            return "exists:" + self.random.choice(["%{l1r-}.users.%{d}", "%{lr-}.users.%{d}", "%{lr.}.users.%{d}", "%{i}.list.example.org",
                                                   "%{i}.%{v}.%{o}", "%{p}.%{d}", "%{ir}.%{v}._spf.%{d2}", "h1.example.org", "%{l}.nothing.example.org",
                                                   "%{S}.example.org", "%%%_%-.example.org"])
        if kind == "include" and depth < 3:
            name = f"inc{self.random.randint(1, 10 ** 6)}.example.org"
            if self.random.random() < 0.9:
                self.put(name, "TXT", self.record(depth + 1))
            return f"include:{name}"
        if kind == "modifier":
            return self.random.choice(["x-other=%{d}", "some.thing=", "op=auth", "exp=why.example.org", f"exp=%{{l}}.{DOMAIN}"])
        if kind == "wrong" and self.random.random() < 0.25:
            return self.random.choice(["a:192.0.2.1", "ip4:192.0.2", "ip4:192.0.2.1/33", "mx/33", "a//129", "include", "include:", "exists", "ptr/24",
                                       "all:x", "ip:192.0.2.1", "foo", "a:%{x}.org", "a:%{d", "x=%", "a:example", "redirect:example.org",
                                       "exp=", "a:%{d0}.org", "ip6:2001:db8", "a:b.123", "ip4:192.0.2.01", "ip4:192.0.2.1/032", "+-all"])
        return "a"

    def record(self, depth):
        if depth == 0:
            self.put("why.example.org", "TXT", self.random.choice(["%{i} may not send for %{d}", "see %{c}%_and%%%-%{H} %{S}", "%{", "plain"]))
        terms = []
        for _ in range(self.random.choice([0, 1, 2, 3, 3, 4, 5, 6, 12] if depth == 0 else [1, 2, 3])):
            terms.append(self.random.choice(["", "", "", "+", "-", "~", "?"]) + self.term(depth))
            terms[-1] = terms[-1].lstrip("+-~?") if "=" in terms[-1] else terms[-1]
        if self.random.random() < 0.75:
            terms.append(self.random.choice(["-all", "-all", "~all", "?all", "all", "-ALL"]))
        elif self.random.random() < 0.5:
            name = f"red{self.random.randint(1, 10 ** 6)}.example.org"
            if self.random.random() < 0.9 and depth < 3:
                self.put(name, "TXT", self.record(depth + 1))
            terms.insert(self.random.randint(0, len(terms)), f"redirect={name}")
        return self.random.choice(["v=spf1", "v=spf1", "V=SPF1"]) + "".join(self.random.choice([" ", " ", "  "]) + t for t in terms)

    def zone_text(self):
        lines = ["$TTL 300"]
        for name, records in self.zone.items():
            for kind, value in records:
                if kind == "TXT":
                    value = " ".join('"' + value[i:i + 100] + '"' for i in range(0, len(value), 100))
                elif kind == "MX":
                    value = f"{value[0]} {value[1]}."
                elif kind in ("PTR", "CNAME"):
                    value = f"{value}."
                lines.append(f"{name}. {kind} {value}")
        return "\n".join(lines) + "\n"

    def lookup(self, name, kind, *_):
        """What pyspf calls instead of the DNS."""
        records = self.zone.get(name.lower(), [])
        if any(k == "SERVFAIL" for k, _ in records):
            raise spf.TempError("DNS failed")
        found = []
        for k, value in records:
            if k == "TXT":
                value = tuple(value[i:i + 100].encode() for i in range(0, len(value), 100))
            if k in (kind, "CNAME"):
                found.append(((name, k), value))
        return found


def pyspf_says(case):
    spf.DNSLookup = case.lookup
    query = spf.query(i=case.ip, s=case.sender, h=HELO, receiver="mx.example.com", strict=True)
    result, _, text = query.check()
    return result, text if result == "fail" and text != spf.EXPLANATIONS["fail"] else ""


@unittest.skipUnless(spf, "python3-spf is not installed")
class SpfBesidePyspf(unittest.TestCase):
    def test_200_records(self):
        differences, results = {}, {}
        with tempfile.TemporaryDirectory(prefix="postern-spf-") as folder:
            path = os.path.join(folder, "zone")
            for number in range(CASES):
                case = Maker(number)
                harness.write(path, case.zone_text())
                done = subprocess.run([harness.POSTERN, "spf", "--json", "--zone", path, "--ip", case.ip, "--from", case.sender, "--helo", HELO,
                                       "--receiver", "mx.example.com"], capture_output=True, text=True, timeout=30, check=False)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                ours = json.loads(done.stdout)
                theirs = pyspf_says(case)
                results[ours["result"]] = results.get(ours["result"], 0) + 1
                if (ours["result"], ours["published"]) != theirs:
                    differences[number] = f"{ours['explanation']} {ours['published']!r}; pyspf: {theirs}\n{case.ip} {case.sender}\n{case.zone_text()}"
        print(f"{CASES} records: {results}, {len(differences)} differences")
        # Records that never give some result would be worth little.
        self.assertLessEqual({"neutral", "pass", "fail", "softfail", "temperror", "permerror"}, set(results))
        for number in sorted(differences.keys() - ARGUED.keys()):
            print(f"--- case {number}: {differences[number]}")
        self.assertEqual(sorted(differences), sorted(ARGUED))


if __name__ == "__main__":
    unittest.main()
