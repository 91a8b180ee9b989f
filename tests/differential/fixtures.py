"""What configurations and envelopes are drawn from, so that they meet: the accounts, the names, the clients and their addresses.

`Machine` is the machine that both servers see, each in namespaces of its own: world.World of tests/e2e with these accounts, a DNS
server, hosts behind a cable that connect from several addresses, and the servers that mail is handed on to.
"""

import ctypes
import ipaddress
import os
import pwd
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import world  # noqa: E402  pylint: disable=wrong-import-position

MAILNAME = "host.example.test"
LISTENER_NAMES = ("other.example.test", "named.example.test", "loop.example.test")
FOLDER = "/var/differential"  # programs, tables' files and what is written of the deliveries
RECORD = f"{FOLDER}/record"   # the program that `mda` and `|` run
RECORDS = f"{FOLDER}/records"
APPENDED = f"{FOLDER}/files"    # where values of aliases append to

ACCOUNTS = ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "heidi", "ivan", "judy", "ken", "o.dot", "u_score",
            "dash-ed", "vmail", "vmail2", "nohome")
VIRTUAL_USERS = ("vera", "victor", "vince")  # known to `userbase` tables alone
FIRST_UID = 6000

LOCAL_DOMAINS = (MAILNAME, "localhost", "[127.0.0.1]", "[192.0.2.1]", "[IPv6:2001:db8:1::1]", "[IPv6:::1]")
HOSTED_DOMAINS = ("example.test", "v1.test", "v2.test", "sub.v1.test", "deep.sub.v1.test")
FOREIGN_DOMAINS = ("elsewhere.test", "relay1.test", "sub.relay1.test", "friend.test")
UNKNOWN_DOMAINS = ("nosuch.test", "[198.51.100.7]", "example.com")

# What a .forward says; "MODE " in front gives it that mode.
FORWARDS = {
    "bob": "bob, carol\n",
    "dave": f"|{RECORD} forward-of-dave\n",
    "erin": "someone@elsewhere.test\n",
    "frank": "/var/home/frank/saved\n",
    "gina": "ken@v1.test, gina@example.test\n",
    "heidi": "0666 carol\n",
    "ivan": "# nothing\n\n",
    "judy": "# two lines\ncarol\nalice, frank # and more\n",
    "ken": "\\ken, noone\n",
}

# Where clients connect from: (on this machine, address, the server's address).
CLIENTS = {
    "loopback": (True, "127.0.0.1", "127.0.0.1"),
    "loopback2": (True, "127.0.0.2", "127.0.0.1"),
    "own": (True, world.OUR_ADDRESS, world.OUR_ADDRESS),
    "own6": (True, world.OUR_ADDRESS6, world.OUR_ADDRESS6),
    "peer": (False, world.PEER_ADDRESS, world.OUR_ADDRESS),
    "friend": (False, "198.51.100.10", world.OUR_ADDRESS),
    "nameless": (False, "198.51.100.11", world.OUR_ADDRESS),
    "dynamic": (False, "203.0.113.5", world.OUR_ADDRESS),
    "peer6": (False, world.PEER_ADDRESS6, world.OUR_ADDRESS6),
}
PORTS = (25, 587, 2500)

HELO_NAMES = ("client.example", "mail.friend.test", "localhost", "[192.0.2.9]", "dyn-5.pool.isp.test", "UPPER.Example")

DNS = {
    ("mx.elsewhere.test", "A"): [world.PEER_ADDRESS],
    ("mail.friend.test", "A"): ["198.51.100.10"],
    ("dyn-5.pool.isp.test", "A"): ["203.0.113.5"],
    (MAILNAME, "A"): [world.OUR_ADDRESS],
    ("9.2.0.192.in-addr.arpa", "PTR"): ["mx.elsewhere.test"],
    ("1.2.0.192.in-addr.arpa", "PTR"): [MAILNAME],
    ("10.100.51.198.in-addr.arpa", "PTR"): ["mail.friend.test"],
    ("5.113.0.203.in-addr.arpa", "PTR"): ["dyn-5.pool.isp.test"],
    ("1.0.0.127.in-addr.arpa", "PTR"): ["localhost"],
    ("localhost", "A"): ["127.0.0.1"],
    **{(domain, "MX"): [(10, "mx.elsewhere.test")] for domain in FOREIGN_DOMAINS},
}

SMTP_SINK = (world.PEER_ADDRESS, 2525)   # a smarthost
LMTP_SINK = ("127.0.0.1", 2424)
LMTP_SOCKET = f"{FOLDER}/lmtp.sock"



def reverse_name(address):
    """What DNS says that an address is called, or None."""
    known = DNS.get((ipaddress.ip_address(address).reverse_pointer, "PTR"))
    return known[0] if known else None


# Writes what it was called with and what it read to a file of its own. Takes its exit code from a user's name in its arguments.
RECORD_TEXT = f"""\
#!/bin/sh
out=$(mktemp {RECORDS}/.XXXXXXXXXX) || exit 75
{{
  for each in "$@"; do echo "argument=$each"; done
  env | grep -E "^(USER|LOGNAME|HOME|SHELL|SENDER|RECIPIENT|ORIGINAL_RECIPIENT|LOCAL|DOMAIN|EXTENSION|PATH)=" | sort
  echo "cwd=$(pwd)"
  echo
  cat
}} > "$out"
chmod 644 "$out"
mv "$out" "{RECORDS}/${{out##*/.}}"
case "$*" in *fail69*) echo "no such luck"; exit 69 ;; esac
exit 0
"""


class Machine(world.World):
    """The machine. Made once a process, inside the namespaces."""

    def __init__(self):  # pylint: disable=super-init-not-called
        world.ACCOUNTS = ACCOUNTS
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.set_up_files()
        self.set_up_network()
        self.dns = world.Dns(DNS)
        self.add_addresses()

    def add_addresses(self):
        world.run("ip", "route", "add", "198.51.100.0/24", "dev", "peer0")
        world.run("ip", "route", "add", "203.0.113.0/24", "dev", "peer0")

        def there():
            for address in ("198.51.100.10", "198.51.100.11", "203.0.113.5"):
                world.run("ip", "addr", "add", f"{address}/32", "dev", "us0")
        self.in_peer(there)

    def set_up_files(self):
        super().set_up_files()
        for name in ("opensmtpd", "opensmtpq", "postern"):
            if not any(entry.pw_name == name for entry in pwd.getpwall()):
                uid = 6900 + len(name) + ord(name[-1])
                self.write("/etc/passwd", f"{name}:x:{uid}:{uid}::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n", "a")
                self.write("/etc/group", f"{name}:x:{uid}:\n", "a")
        # The real /root is not hidden, and mail for root may be delivered.
        with open("/etc/passwd", encoding="utf-8") as file:
            accounts = file.read()
        self.write("/etc/passwd", accounts.replace(":0:0:root:/root:", ":0:0:root:/var/home/root:", 1))
        self.write("/etc/mail/mailname", MAILNAME + "\n")
        self.write("/etc/mailname", MAILNAME + "\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{world.OUR_ADDRESS} {MAILNAME}\n")
        self.write("/etc/aliases", "# none\n")
        os.makedirs("/var/lib/opensmtpd/empty")
        # The cwd of some programs, and the place of sockets and locks.
        world.run("mount", "-t", "tmpfs", "-o", "mode=755", "scratch", "/run")
        os.makedirs("/run/lock", exist_ok=True)
        for link, target in (("/var/run", "/run"), ("/var/lock", "/run/lock")):
            os.symlink(target, link)

    def clean(self):
        """Fresh homes, mailboxes, spools and records."""
        for folder in ("mail", "vmail", "spool", "home", "tmp", "differential", "lib/opensmtpd", "store"):
            shutil.rmtree(f"/var/{folder}", ignore_errors=True)
            os.makedirs(f"/var/{folder}")
        os.makedirs("/var/lib/opensmtpd/empty")
        os.chmod("/var/tmp", 0o1777)
        os.chmod("/var/store", 0o1777)
        os.chmod("/var/mail", 0o2775)
        shutil.chown("/var/mail", group="mail")
        for folder in (RECORDS, APPENDED):
            os.makedirs(folder)
            os.chmod(folder, 0o1777)
        self.write(RECORD, RECORD_TEXT)
        os.chmod(RECORD, 0o755)
        for name in ACCOUNTS:
            account = pwd.getpwnam(name)
            if name == "nohome":
                continue
            os.makedirs(account.pw_dir, exist_ok=True)
            os.chmod(account.pw_dir, 0o755)
            if name in FORWARDS:
                text, mode = FORWARDS[name], 0o600
                if text.startswith("0666 "):
                    text, mode = text[5:], 0o666
                path = f"{account.pw_dir}/.forward"
                self.write(path, text)
                os.chmod(path, mode)
                os.chown(path, account.pw_uid, account.pw_gid)
            os.chown(account.pw_dir, account.pw_uid, account.pw_gid)
        os.makedirs("/var/home/root")
        for index, name in enumerate(VIRTUAL_USERS):
            home = f"/var/home/{name}"
            os.makedirs(home)
            os.chown(home, FIRST_UID + 100 + index, FIRST_UID + 100 + index)
