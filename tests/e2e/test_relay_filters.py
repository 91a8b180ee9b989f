"""What goes out by a relay action with a `filter` passes it first: built-in filters, programs and milters between two of our
servers; and mail that would come back to us is not sent."""

import glob
import os
import re
import subprocess
import time
import unittest

import harness
from harness import DOMAIN
from test_relay import DEAD_ADDRESS, MX_ADDRESS, parse, port_25_is_ours, send

HERE = os.path.dirname(os.path.abspath(__file__))
NEXT = "next.test"


class RelayFilters(unittest.TestCase):
    def setUp(self):
        self.next = harness.Server(domain=NEXT)
        self.addCleanup(self.next.close)

    def first_hop(self, filters, options="", host=None):
        host = host or f"smtp+notls://127.0.0.1:{self.next.ports['smtp']}"
        server = harness.Server(extra="queue retry-delay 1s\n" + filters,
                                rules=f'action "onward" relay host "{host}" filter "out" {options}\n'
                                      f'match from any for domain "{NEXT}" action "onward"')
        self.addCleanup(server.close)
        return server

    def wait_for_log(self, server, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, server.log()):
            self.assertLess(time.monotonic(), deadline, f"no {pattern} in\n{server.log()}")
            time.sleep(0.05)

    def arrived(self, folder=""):
        with open(self.next.wait_for_messages("bob", 1, folder, 60)[-1], encoding="utf-8") as file:
            return file.read()

    def test_built_in_filters(self):
        server = self.first_hop(
            'filter outward phase mail-from match mail-from {{ "alice@example.test" }} rewrite "outward@example.test"\n'
            'filter later phase rcpt-to match rcpt-to {{ "later@next.test" }} reject "451 4.7.1 not now"\n'
            'filter never phase rcpt-to match rcpt-to {{ "never@next.test" }} reject "550 5.7.1 not by us"\n'
            'filter mark phase data match helo {{ "client.test" }} junk\n'
            'filter out chain {{ outward, later, never, mark }}\n')
        send(server, f"bob@{NEXT}", subject="one")
        text = self.arrived("/.Junk")
        self.assertIn("Return-Path: <outward@example.test>", text)
        # The whole of it came, below the mark.
        self.assertIn("\nX-Spam: Yes\n", text)
        self.assertTrue(text.endswith("\n\nText of one.\n"), text)
        send(server, f"later@{NEXT}")
        self.wait_for_log(server, r"to=<later@[^>]*> .*result=.?TempFail.*451 4.7.1 not now")
        send(server, f"never@{NEXT}")
        self.assertIn("not by us", parse(server.wait_for_messages("alice", 1)[0]).as_string().lower())
        self.assertNotIn("later@", self.next.log())
        self.assertNotIn("never@", self.next.log())

    def test_a_program_sees_a_session(self):
        server = self.first_hop(
            f'filter out proc-exec "/usr/bin/python3 {HERE}/filter_program.py {{home}}/heard '
            'connect,ehlo,mail-from,rcpt-to,data,data-line,commit"\n')
        send(server, f"bob@{NEXT}", subject="by program")
        self.assertTrue(self.arrived().endswith("\n\nText of by program.\n"))
        deadline = time.monotonic() + 20
        heard = ""
        while "link-disconnect" not in heard:
            self.assertLess(time.monotonic(), deadline, heard)
            time.sleep(0.05)
            with open(f"{server.home}/heard", encoding="utf-8") as file:
                heard = file.read()
        steps = [line.split("|")[4] for line in heard.splitlines() if line.startswith(("report|", "filter|"))
                 and "|filter-response|" not in line]
        self.assertEqual(steps, ["link-connect", "connect", "link-greeting", "ehlo", "link-identify", "mail-from", "tx-begin",
                                 "tx-mail", "rcpt-to", "tx-envelope", "tx-rcpt", "data", "tx-data", "commit", "tx-commit",
                                 "tx-reset", "link-disconnect"], heard)
        # The envelope that it is told of is the one in the log.
        told = re.search(r"\|tx-envelope\|[^|]*\|[0-9a-f]{8}\|([0-9a-f]{16})\n", heard)
        self.assertIsNotNone(told, heard)
        self.assertIn(f" evpid={told.group(1)} ", server.log())

    def test_a_program_that_dies_in_the_middle(self):
        server = self.first_hop(
            f'filter out proc-exec "/usr/bin/python3 {HERE}/filter_program.py {{home}}/heard data,data-line die data"\n')
        harness.write(f"{server.home}/heard.go", "")
        send(server, f"bob@{NEXT}", subject="waits")
        self.wait_for_log(server, r"to=<bob@[^>]*> .*result=.?TempFail")
        self.assertTrue(self.arrived().endswith("\n\nText of waits.\n"))
        self.assertEqual(len(self.next.messages("bob")), 1)

    def test_a_milter_that_comes_late(self):
        folder = self.next.home
        socket, told = f"{folder}/milter", f"{folder}/told"
        harness.write(told, "good X")
        server = self.first_hop(f'filter out milter "unix:{socket}"\n')
        send(server, f"bob@{NEXT}", subject="milter", sender=f"alice@{DOMAIN}")
        self.wait_for_log(server, r"to=<bob@[^>]*> .*result=.?TempFail")
        self.assertEqual(self.next.messages("bob"), [])
        milter = subprocess.Popen(["/usr/bin/python3", f"{HERE}/milter_program.py", socket, told])
        self.addCleanup(milter.wait)
        self.addCleanup(milter.kill)
        text = self.arrived()
        self.assertIn("\nX-Milter: ", text)
        # Nothing of what it held back is left.
        self.assertEqual(glob.glob(f"{server.home}/**/filter.*", recursive=True), [])

    def test_a_large_message_goes_through_a_file(self):
        server = self.first_hop('filter out phase data match helo {{ "client.test" }} junk\n')
        # The helper has the subject in the body as well.
        with_lines = "".join(f"{number:07} {'x' * 60}\r\n" for number in range(50_000))
        send(server, f"bob@{NEXT}", subject="large\r\nX-Filler: y\r\n\r\n" + with_lines)
        text = self.arrived("/.Junk")
        self.assertIn("\nX-Spam: Yes\n", text)
        self.assertEqual(len(re.findall(r"(?m)^\d{7} x{60}$", text)), 100_000)


class ToOurselves(unittest.TestCase):
    def server(self, rules, zone=""):
        server = harness.Server(extra="queue retry-delay 1s\n" + ('resolver zone "{home}/zone"\n' if zone else ""), rules=rules,
                                files={"zone": zone})
        self.addCleanup(server.close)
        return server

    def expect_notice(self, server, words):
        notice = " ".join(parse(server.wait_for_messages("alice", 1)[0]).as_string().split())
        self.assertIn("Status: 5.4.6", notice)
        self.assertIn("loops back to this server", notice)
        self.assertIn(words, notice)
        self.assertEqual(server.log().count(" smtp message "), 1, server.log())

    def test_a_host_that_is_our_own_listener(self):
        port, = harness.free_ports(1)
        server = self.server(f'listen on 127.0.0.1 port {port}\naction "onward" relay host "smtp+notls://127.0.0.1:{port}"\n'
                             'match from any for domain "far.test" action "onward"')
        send(server, "bob@far.test")
        self.expect_notice(server, "onward")

    def test_another_tag_is_another_way_in(self):
        second, = harness.free_ports(1)
        server = self.server(f'listen on 127.0.0.1 port {second} tag SECOND\n'
                             f'action "again" relay host "smtp+notls://127.0.0.1:{second}"\n'
                             'match from any tag SECOND for domain "far.test" reject\n'
                             'match from any for domain "far.test" action "again"')
        send(server, "bob@far.test")
        self.assertIn("5.1.1", parse(server.wait_for_messages("alice", 1)[0]).as_string())
        self.assertIn(f"mta connecting address=smtp://127.0.0.1:{second}", server.log())
        self.assertNotIn("loops back", server.log())

    @unittest.skipUnless(port_25_is_ours(), "port 25 cannot be bound")
    def test_an_exchanger_that_is_us_by_another_name(self):
        zone = ("$ORIGIN test.\n$TTL 60\n@ SOA ns.test. root.test. 1 60 60 60 60\nfar MX 10 other.test.\nfar MX 20 worse.test.\n"
                f"backup MX 5 dead.test.\nbackup MX 10 other.test.\nother A {MX_ADDRESS}\nworse A {DEAD_ADDRESS}\n"
                f"dead A {DEAD_ADDRESS}\n")
        server = self.server(f'listen on {MX_ADDRESS} port 25\naction "onward" relay\n'
                             'match from any for domain "far.test" action "onward"\n'
                             'match from any for domain "backup.test" action "onward"', zone)
        send(server, "bob@backup.test")
        deadline = time.monotonic() + 20
        while not re.search(r"to=<bob@backup.test> .*result=.?TempFail", server.log()):
            self.assertLess(time.monotonic(), deadline, server.log())
            time.sleep(0.05)
        self.assertNotIn("loops back", server.log())
        before = server.log().count(" smtp message ")
        send(server, "bob@far.test")
        notice = " ".join(parse(server.wait_for_messages("alice", 1)[0]).as_string().split())
        self.assertIn("Status: 5.4.6", notice)
        self.assertEqual(server.log().count(" smtp message "), before + 1)


if __name__ == "__main__":
    unittest.main()
