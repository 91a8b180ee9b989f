"""One server under all configurations, inside namespaces of its own: `side.py postern|opensmtpd WORK OUTPUT`.

Reads WORK/configurations.json and WORK/envelopes.json, writes what was replied and what arrived to OUTPUT, one JSON object a
configuration and line. The other server is run the same way by another process; compare.py reads both.
"""

import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time

import fixtures
import landings
import sinks
import world

START_SECONDS = 30
REPLY_SECONDS = 60
QUIET_SECONDS = float(os.environ.get("DIFFERENTIAL_PATIENCE", "5"))  # nothing arrives for so long: it is over
SETTLE_SECONDS = 180  # and after so long in any case
WORKERS = 3          # sessions at a time, of this machine and of the other one each


class Postern:
    def __init__(self, work):
        del work
        self.command = [os.path.join(os.environ["POSTERN_BIN"], "postern"), "serve", "-f", "/etc/smtpd.conf", "-s", "/var/spool/postern",
                        "-u", "postern"]

    def check(self):
        return [os.path.join(os.environ["POSTERN_BIN"], "postern"), "check", "-f", "/etc/smtpd.conf"]

    def pending(self):
        return None  # what is in the queue is not looked at: arrivals are waited for

    @staticmethod
    def reasons(log_path):
        """What its log says of refused recipients, and of odd ones: {argument and code: [reasons]}; and of messages that would have
        come back to it, or whose notice would: {"loops MSGID": [recipients]}."""
        found, notices = {}, []
        with open(log_path, encoding="utf-8", errors="replace") as file:
            for line in file:
                refused = re.search(r'command="RCPT TO:(.*)" result="(\d+).*?" reason="(.*)"', line)
                if refused:
                    said = re.sub(r"\\(.)", r"\1", refused[1])
                    reasons = found.setdefault(f"{said} {refused[2]}", [])
                    if refused[3] not in reasons:
                        reasons.append(refused[3])
                noted = re.search(r'smtp expansion rcpt=(<.*>) note="(.*)"', line)
                if noted:
                    found.setdefault(f"{noted[1]} 250", []).append(noted[2])
                looped = re.search(r'mta delivery evpid=(.{8}).{8} from="?<.*?>"? (to="?<.*?>"?) .* loops back to this server', line)
                if looped:
                    found.setdefault(f"loops {looped[1]}", []).append(looped[2])
                notice = re.search(r'scheduler notice \w+ evpid=(.{8}).{8} reason="message (.{8})"', line)
                if notice:
                    notices.append(notice.groups())
        for message, notice in notices:
            if f"loops {notice}" in found:
                found.setdefault(f"loops {message}", []).extend(found[f"loops {notice}"])
        return found


class OpenSmtpd:
    """Debian's, unpacked in WORK/package."""

    def __init__(self, work):
        self.root = f"{work}/package"
        world.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.root}/usr:/usr", "/usr")
        trace = os.environ.get("DIFFERENTIAL_TRACE", "").split()  # of its -T: rules, expand, lookup, smtp, ...
        self.command = ["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"] + [word for each in trace for word in ("-T", each)]

    @staticmethod
    def reasons(log_path):
        del log_path
        return {}

    def check(self):
        return ["/usr/sbin/smtpd", "-n", "-f", "/etc/smtpd.conf"]

    def pending(self):
        """Envelopes in the queue."""
        return sum(1 for _, _, names in os.walk("/var/spool/smtpd/queue") for name in names if name != "message")


def read_reply(reader):
    """(code, enhanced status or '') of one reply; (0, 'closed') when there is none."""
    while True:
        line = reader.readline()
        if not line:
            return [0, "closed"]
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if len(text) < 4 or text[3] != "-":
            words = text[4:].split(" ", 1)
            enhanced = words[0] if words and words[0].count(".") == 2 and words[0].replace(".", "").isdigit() else ""
            return [int(text[:3]) if text[:3].isdigit() else 0, enhanced, text[:160]]


def converse(envelope):
    """One session; what was replied: {"greeting", "mail", "rcpt": [], "data", "end"}."""
    _, source, target = fixtures.CLIENTS[envelope["client"]]
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    said = {"greeting": None, "mail": None, "rcpt": [], "data": None, "end": None}
    with socket.socket(family) as connection:
        connection.settimeout(REPLY_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((source, 0))
        connection.connect((target, envelope["port"]))
        reader = connection.makefile("rb")

        def command(text):
            try:
                connection.sendall((text + "\r\n").encode("utf-8", "surrogateescape"))
                return read_reply(reader)
            except OSError:
                return [0, "closed"]
        said["greeting"] = read_reply(reader)
        if said["greeting"][0] != 220:
            return said
        command(envelope["greeting"])
        said["mail"] = command("MAIL FROM:" + envelope["mail"])
        if said["mail"][0] != 250:
            return said
        for each in envelope["rcpt"]:
            said["rcpt"].append(command("RCPT TO:" + each))
        if any(reply[0] == 250 for reply in said["rcpt"]):
            said["data"] = command("DATA")
            if said["data"][0] == 354:
                said["end"] = command(envelope["message"] + ".")
        command("QUIT")
    return said


class Side:
    def __init__(self, name, work):
        self.name = name
        self.work = work
        self.machine = fixtures.Machine()
        self.server = {"postern": Postern, "opensmtpd": OpenSmtpd}[name](work)
        lmtp = socket.create_server(fixtures.LMTP_SINK, backlog=100)
        self.sinks = [sinks.Sink("mx", self.machine.peer_listener(25)),
                      sinks.Sink("smarthost", self.machine.peer_listener(fixtures.SMTP_SINK[1])),
                      sinks.Sink("lmtp", lmtp, lmtp=True)]
        self.socket_sink = None
        self.queues = {True: queue.Queue(), False: queue.Queue()}
        self.replies = {}
        for here in (True, False):
            for _ in range(WORKERS):
                threading.Thread(target=self.work_off, args=(here,), daemon=True).start()

    def work_off(self, here):
        if not here and self.machine.libc.setns(self.machine.peer, world.CLONE_NEWNET) != 0:
            os._exit(3)
        jobs = self.queues[here]
        while True:
            number, envelope = jobs.get()
            try:
                self.replies[number] = converse(envelope)
            except OSError as error:
                self.replies[number] = {"greeting": [0, f"no connection: {error}"], "mail": None, "rcpt": [], "data": None, "end": None}
            jobs.task_done()

    def prepare(self, configuration):
        self.machine.clean()
        for sink in self.sinks:
            sink.mails.clear()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(fixtures.LMTP_SOCKET)
        os.chmod(fixtures.LMTP_SOCKET, 0o666)
        listener.listen(100)
        self.socket_sink = sinks.Sink("lmtp socket", listener, lmtp=True)
        for name, text in configuration["files"].items():
            self.machine.write(f"{fixtures.FOLDER}/{name}", text)
            os.chmod(f"{fixtures.FOLDER}/{name}", 0o644)
            if f"db:{fixtures.FOLDER}/{name}.db" in configuration["text"]:
                # The same program makes both sides' tables: the peer's own.
                subprocess.run([f"{self.work}/makemap", "-t", "aliases", "-o", f"{fixtures.FOLDER}/{name}.db", f"{fixtures.FOLDER}/{name}"],
                               group="opensmtpq", extra_groups=[0], check=True, stdout=subprocess.DEVNULL)
                os.chmod(f"{fixtures.FOLDER}/{name}.db", 0o644)
        self.machine.write("/etc/smtpd.conf", configuration["text"])
        os.chmod("/etc/smtpd.conf", 0o600)

    def start(self, log):
        process = subprocess.Popen(self.server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", fixtures.PORTS[0]), 5) as probe:
                    if probe.recv(3) == b"220":
                        return process
            except OSError:
                pass
            time.sleep(0.05)
        process.kill()
        process.wait()
        return None

    def settle(self):
        """Waits until nothing arrives any more."""
        everything = self.sinks + [self.socket_sink]
        last, since, end = -1, time.monotonic(), time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            now = landings.quantity(everything)
            if now != last:
                last, since = now, time.monotonic()
            waited, pending = time.monotonic() - since, self.server.pending()
            # What waits for a second try stays; but 6.8 also rests for seconds between connections.
            if waited > QUIET_SECONDS * (3 if pending else 1) or (waited > 1 and pending == 0):
                return
            time.sleep(0.25)

    def run(self, configuration, envelopes, log_path):
        self.prepare(configuration)
        checked = subprocess.run(self.server.check(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        result = {"check": checked.returncode, "said": (checked.stdout + checked.stderr)[-2000:], "replies": [], "rows": []}
        with open(log_path, "w", encoding="utf-8") as log:
            began = time.monotonic()
            process = self.start(log)
            if process is None:
                result["check"] = result["check"] or -1
                return result
            self.replies = {}
            for number, envelope in enumerate(envelopes):
                self.queues[fixtures.CLIENTS[envelope["client"]][0]].put((number, envelope))
            for jobs in self.queues.values():
                jobs.join()
            result["seconds"] = time.monotonic() - began
            self.settle()
            result["settled"] = time.monotonic() - began
            result["alive"] = process.poll() is None
            result["replies"] = [self.replies[number] for number in range(len(envelopes))]
            result["rows"] = landings.collect(self.sinks + [self.socket_sink])
            result["pending"] = self.server.pending()
            log.flush()
            result["reasons"] = self.server.reasons(log_path)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return result


def main():
    name, work, output = sys.argv[1:4]
    with open(f"{work}/configurations.json", encoding="utf-8") as file:
        configurations = json.load(file)
    with open(f"{work}/envelopes.json", encoding="utf-8") as file:
        envelopes = json.load(file)
    side = Side(name, work)
    with open(output, "w", encoding="utf-8") as file:
        for index, configuration in enumerate(configurations):
            result = side.run(configuration, envelopes, f"{output}.{index:02d}.log")
            file.write(json.dumps(result) + "\n")
            file.flush()
            print(f"{name}: configuration {index + 1} of {len(configurations)}: {len(result['replies'])} envelopes in "
                  f"{result.get('seconds', 0):.1f} s, {len(result['rows'])} arrivals after {result.get('settled', 0):.1f} s", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
