"""What arrived, and where: Maildirs, mboxes, files, programs and sinks read into rows that can be compared.

A row is {"case": the envelope's identity, "where", "owner", "from", "to", "report", "fields", "body"}. Rows do not hold what differs
between two runs of the same server: identities of the queue, dates, names of files.
"""

import hashlib
import os
import pwd
import re

import fixtures

MBOXES = ("/var/mail",)
TREES = ("/var/home", "/var/vmail", "/var/store", fixtures.APPENDED)
CASE = re.compile(rb"^X-Case: (e[0-9]+)", re.M)
DAEMONS = ("opensmtpd", "postern", "nobody")


def owner_name(uid):
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return "daemon" if name in DAEMONS else name


def unfold(text):
    return re.sub(rb"\r?\n([ \t])", rb"\1", text)


def header_fields(text):
    """The header's fields: [(name in lower case, value)]."""
    header = unfold(text.split(b"\n\n", 1)[0])
    found = []
    for line in header.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.decode("latin-1").strip().lower(), value.decode("utf-8", "surrogateescape").strip()))
    return found


def describe(text):
    """The parts of a row that come from the message itself."""
    text = text.replace(b"\r\n", b"\n")
    case = CASE.search(text)
    fields = header_fields(text)
    values = dict(reversed(fields))
    body = text.split(b"\n\n", 1)[1] if b"\n\n" in text else b""
    row = {"case": case.group(1).decode() if case else "?", "delivered-to": values.get("delivered-to", ""),
           "return-path": values.get("return-path", "").strip("<>"), "report": "", "fields": "", "body": ""}
    if values.get("subject", "").startswith("Delivery status notification") or "report" in values.get("content-type", ""):
        row["report"] = report(body)
        return row
    kept = []
    for name, value in fields:
        if name in ("received", "delivered-to", "return-path"):
            continue
        if name == "message-id" and "@client.example" not in value:
            value = "added"
        if name == "date" and not value.startswith("Mon, 02 Nov 2026 10:00:00"):
            value = "added"
        kept.append(f"{name}: {value}")
    row["fields"] = "\n".join(kept)
    row["body"] = hashlib.sha256(body.rstrip(b"\n")).hexdigest()[:12]
    return row


def body_of(message):
    """The body of a row of this message, as a client sends it (RFC 5321 §4.5.2)."""
    lines = [line.removeprefix(".") for line in message.split("\r\n\r\n", 1)[-1].split("\r\n")]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape").rstrip(b"\n")).hexdigest()[:12]


def report(body):
    """What a report says of each recipient: its action, address and the class of its status."""
    found = []
    for block in re.split(rb"\n\n+", unfold(body)):
        recipient = re.search(rb"^Final-Recipient: *[^;]*; *(.*)$", block, re.M | re.I)
        if recipient:
            action = re.search(rb"^Action: *(\w+)", block, re.M | re.I)
            status = re.search(rb"^Status: *([0-9])", block, re.M | re.I)
            found.append(f"{action.group(1).decode() if action else '?'} {status.group(1).decode() if status else '?'} "
                         f"{recipient.group(1).decode('utf-8', 'surrogateescape').strip()}")
    return "\n".join(sorted(found)) or "a report without recipients"


def rows_of(text, where, owner):
    """The row of a message; of a report, one for each recipient."""
    row = describe(text)
    row.update(where=where, owner=owner)
    return [dict(row, report=line) for line in row["report"].split("\n")]


def mbox_rows(path):
    """A message begins where "From " stands behind an empty line; elsewhere it may stand as it is (RFC 4155, appendix A)."""
    with open(path, "rb") as file:
        content = file.read()
    found = []
    for text in re.split(rb"(?:\A|\n\n)From [^\n]*\n", content)[1:]:
        text = re.sub(rb"^>(>*From )", rb"\1", text, flags=re.M)
        found += rows_of(text, f"mbox {path}", owner_name(os.stat(path).st_uid))
    return found


def tree_rows():
    found = []
    for top in TREES:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if name == ".forward" or not os.path.isfile(path) or os.path.islink(path):
                    continue
                part = os.path.basename(folder)
                if part in ("new", "cur"):
                    with open(path, "rb") as file:
                        found += rows_of(file.read(), f"maildir {os.path.dirname(folder)}", owner_name(os.stat(path).st_uid))
                elif part != "tmp":
                    found += mbox_rows(path)
    return found


def program_rows():
    found = []
    for name in os.listdir(fixtures.RECORDS):
        if name.startswith("."):
            continue
        path = f"{fixtures.RECORDS}/{name}"
        with open(path, "rb") as file:
            environment, _, text = file.read().partition(b"\n\n")
        said = environment.decode("utf-8", "surrogateescape")
        for daemon in DAEMONS:
            said = re.sub(rf"^(USER|LOGNAME)={daemon}$", r"\1=daemon", said, flags=re.M)
        found += rows_of(text, f"program\n{said}", owner_name(os.stat(path).st_uid))
    return found


def collect(sinks):
    """All rows."""
    found = tree_rows() + program_rows()
    for folder in MBOXES:
        for name in sorted(os.listdir(folder)):
            if os.path.isfile(f"{folder}/{name}") and not name.endswith(".lock"):
                found += mbox_rows(f"{folder}/{name}")
    for sink in sinks:
        with sink.lock:
            mails = list(sink.mails)
        for helo, sender, recipient, text in mails:
            found += [dict(row, **{"return-path": sender})
                      for row in rows_of(text, f"{sink.name} helo={helo} to={recipient}", "")]
    return found


def quantity(sinks):
    """A figure that grows with everything that arrives."""
    total = sum(len(sink.mails) for sink in sinks) + len(os.listdir(fixtures.RECORDS))
    for top in TREES + MBOXES:
        for folder, _, names in os.walk(top):
            total += sum(os.path.getsize(os.path.join(folder, name)) for name in names if os.path.exists(os.path.join(folder, name)))
    return total
