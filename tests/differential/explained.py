"""The differences that are right as they are: each with its reason, where that is written, and a test that knows it again.

A test looks at what was said and replied, at the configuration or at what arrived, never at a case's number. The reference is the
checklist of OpenSMTPD's language (shared/spec/opensmtpd.md, here "checklist"), an RFC, or the reliability rows. "6.8" marks where
Debian's version is older than the one that the checklist describes.
"""

import collections
import json
import re

import fixtures
import grammar
import landings
import rules


class Explanation:
    def __init__(self, name, reference, holds):
        self.name = name
        self.reference = reference
        self.holds = holds


EXPLANATIONS = []


def explanation(name, reference):
    """Makes an explanation of a function that takes the Difference."""
    def make(holds):
        EXPLANATIONS.append(Explanation(name, reference, holds))
        return holds
    return make


class Canonical:
    """A form of arrivals in which the two sides agree on what one explanation is about. `change` takes a row's copy, its case,
    and whether the row is ours."""

    def __init__(self, name, reference, change):
        self.name = name
        self.reference = reference
        self.change = change


CANONICAL = []


def canonical(name, reference):
    def make(change):
        CANONICAL.append(Canonical(name, reference, change))
        return change
    return make


def explain(difference):
    """The explanations that it takes, or (). What arrived differently is brought into one form after the other: those that changed
    something until both sides are the same are the explanation."""
    reasons = those_that_hold(difference)
    if reasons or difference.kind != "arrival":
        return reasons
    sides = [[dict(row) for row in rows] for rows in difference.case.rows]
    used = []
    for form in CANONICAL:
        before = [[dict(row) for row in rows] for rows in sides]
        for side, rows in enumerate(sides):
            for row in rows:
                form.change(row, difference.case, side == 0)
        if before != sides:
            used.append(form)
        if same_rows(*sides):
            return tuple(used)
    if only_repeated(*sides):
        return tuple(used) + (REPEATED,)
    difference.ours, difference.theirs = without_common(*sides)  # what is left over is what is shown, or has a reason of its own
    reasons = those_that_hold(difference)
    return tuple(used) + reasons if reasons else ()


def those_that_hold(difference):
    """The first explanation that holds, in a tuple."""
    return next(((each,) for each in EXPLANATIONS if each.holds(difference)), ())


def without_common(ours, theirs):
    left, others = [], [sorted(row.items()) for row in theirs]
    for row in ours:
        if sorted(row.items()) in others:
            others.remove(sorted(row.items()))
        else:
            left.append(row)
    return left, [dict(row) for row in others]


def same_rows(ours, theirs):
    return without_common(ours, theirs) == ([], [])


def only_repeated(ours, theirs):
    """Whether both are the same but for arrivals that theirs has several times and ours less often."""
    ours, theirs = (collections.Counter(json.dumps(row, sort_keys=True) for row in rows) for rows in (ours, theirs))
    return set(ours) == set(theirs) and all(ours[row] <= theirs[row] for row in ours)


REPEATED = Canonical("the same address reached by several ways is one recipient",
                     "checklist §5: duplicates within one recipient collapse", None)


# --- Replies: codes and syntax ---

NAMELESS = [name for name, (_, address, _) in fixtures.CLIENTS.items() if fixtures.reverse_name(address) is None]
REPLIES = ("greeting", "mail", "rcpt", "data", "end")


def code(reply):
    return 0 if reply is None else reply[0]


def status(reply):
    return "" if reply is None else reply[1]


def command(kind):
    """A test for differences of one command's reply, or of several."""
    kinds = (kind,) if isinstance(kind, str) else kind

    def wrap(test):
        return lambda d: d.kind in kinds and d.ours is not None and d.theirs is not None and test(d)
    return wrap


@explanation("a reply of theirs has no enhanced status", "RFC 2034 §4: all but the greeting's have one")
@command(REPLIES)
def _(d):
    return code(d.ours) == code(d.theirs) and status(d.theirs) == "" and status(d.ours)[:1] == str(code(d.ours))[0]


@explanation("an unknown parameter is 555, not 503", "RFC 5321 §4.1.1.11")
@command(("mail", "rcpt"))
def _(d):
    return code(d.ours) == 555 and code(d.theirs) == 503


@explanation("a wrong path is refused, which they take or refuse later", "RFC 5321 §4.1.2, §4.5.3.1")
@command(("mail", "rcpt"))
def _(d):
    return status(d.ours) in ("5.1.3", "5.1.0", "5.1.7", "5.5.4", "5.5.2") and code(d.ours) in (500, 501, 553) and not (
        grammar.path_is_right(d.said, d.kind == "mail"))


@explanation("a right path is taken, which they refuse", "RFC 5321 §4.1.2: quoted strings and literals")
@command(("mail", "rcpt"))
def _(d):
    return code(d.theirs) in (501, 553) and status(d.theirs) in ("5.1.3", "5.1.0") and grammar.path_is_right(d.said, d.kind == "mail")


@explanation("a recipient without brackets is taken", "RFC 5321 §4.1.2 wants them; nothing else can be meant")
@command("rcpt")
def _(d):
    return not d.said.startswith("<") and grammar.path_is_right(f"<{d.said}>", False) and code(d.theirs) == 501


@explanation("an address of RFC 6531 in a plain transaction is told so", "RFC 6531 §3.5: 5.6.7")
@command(("mail", "rcpt"))
def _(d):
    return status(d.ours) == "5.6.7" and code(d.theirs) in (501, 553) and not d.said.isascii()


@explanation("SMTPUTF8 is offered and obeyed", "RFC 6531 §3.1")
@command("mail")
def _(d):
    return "SMTPUTF8" in grammar.parameters(d.said) and code(d.ours) == 250 and code(d.theirs) in (503, 555)


@explanation("a parameter without its extension, twice, or with a value that means nothing is refused",
             "RFC 5321 §4.1.1.11; RFC 3461 §4; RFC 4954 §5; RFC 1870 §3")
@command(("mail", "rcpt"))
def _(d):
    port = d.case.envelope["port"]
    no_dsn = re.search(rf"port {port} .*no-dsn", d.case.configuration["text"]) is not None
    return (code(d.ours), status(d.ours)) in ((555, "5.5.4"), (501, "5.5.4")) and (
        not grammar.parameters_are_right(d.said, d.kind == "mail", d.case.envelope["greeting"].startswith("EHLO"), no_dsn))


@explanation("too large a message is 552, not 554", "RFC 1870 §6.2 (3)")
@command(("mail", "end"))
def _(d):
    small = re.search(r"^smtp max-message-size 6K$", d.case.configuration["text"], re.M)
    said = re.search(r" SIZE=(\d+)", d.said, re.I)
    declared = int(said[1]) if said and d.kind == "mail" else 0
    return code(d.ours) == 552 and status(d.ours) == "5.3.4" and (
        declared > (6 << 10 if small else 35 << 20) if d.kind == "mail" else code(d.theirs) in (554, 500))


@explanation("a message with too many Received is 554, not 500", "RFC 5321 §6.3; 500 is for commands (§4.2.2)")
@command("end")
def _(d):
    return (code(d.ours), code(d.theirs)) == (554, 500) and status(d.ours) == "5.4.6" == status(d.theirs)


@explanation("too many recipients are 452, not 451", "RFC 5321 §4.5.3.1.10")
@command("rcpt")
def _(d):
    return code(d.ours) == 452 and code(d.theirs) == 451 and status(d.theirs) == "4.5.3"


@explanation("BINARYMIME is offered and obeyed", "RFC 3030 §3")
@command("mail")
def _(d):
    return "BODY=BINARYMIME" in grammar.parameters(d.said) and code(d.ours) == 250 and code(d.theirs) in (503, 555)


@explanation("after recipients that only one side took, the bound on their number is reached elsewhere", "the recipients' own reasons")
@command("rcpt")
def _(d):
    taken = [[reply[0] == 250 for reply in side["rcpt"]] for side in d.case.replies]
    too_many = (code(d.ours), status(d.ours)) == (452, "4.5.3") or (code(d.theirs), status(d.theirs)) == (451, "4.5.3")
    return taken[0] != taken[1] and too_many


# --- Rules ---


def another_rule(d, thing):
    """Whether another rule may be chosen as one sees this thing; for what arrives, for a recipient that was taken or a notice."""
    if d.kind not in ("rcpt", "arrival"):
        return False
    envelope = d.case.envelope
    said = [d.said] if d.kind == "rcpt" else [
        each for each, reply in zip(envelope["rcpt"], d.case.replies[0]["rcpt"]) if code(reply) == 250]
    if rules.matters(d.case, thing, [found for found in map(rules.named, said) if found]):
        return True
    # A notice that goes another way tells the same.
    sender = rules.named(envelope["mail"])
    told = [{row["report"] for row in rows} for rows in (d.ours, d.theirs)] if d.kind == "arrival" else [{""}]
    return bool(sender and "" not in told[0] | told[-1] and (told[0] == told[1] or not all(told))) and rules.matters(
        d.case, thing, [sender], notice=True)


@explanation("127.0.0.2 is loopback, and so local", "checklist §4: from local is the socket, loopback and every address of the machine")
def _(d):
    return d.case.envelope["client"] == "loopback2" and another_rule(d, rules.LOOPBACK)


@explanation("127.0.0.2 is loopback, and so has the name localhost",
             "RFC 6761 §6.3: localhost is loopback, without a question; 6.8 asks the DNS")
def _(d):
    return d.case.envelope["client"] == "loopback2" and another_rule(d, rules.LOOPBACK_NAME)


@explanation("mail is not relayed to ourselves", "RFC 5321 §5.1: what leads back here is an error; theirs takes it in once more")
def _(d):
    taken = re.match(r"250 2\.0\.0 ([0-9a-f]{8}) ", d.case.replies[0]["end"][2]) if d.kind == "arrival" else None
    known = [rules.named(each) for each in d.case.envelope["rcpt"]] + list(rules.names(d.case.configuration))
    return bool(taken and f"loops {taken[1]}" in d.case.reasons) and all(
        re.fullmatch(r"failed 5(?: (.*))?", row["report"]) and (row["report"] == "failed 5" or is_one_of(row["report"][9:], known))
        for row in d.ours)


def in_a_file(row):
    return row["where"].startswith((f"mbox {fixtures.APPENDED}/", "mbox /var/home/"))


@explanation("deliveries to one file at a time do not run into each other",
             "RFC 4155, appendix A: theirs says Delivered and leaves no empty line")
def _(d):
    return d.kind == "arrival" and d.ours and all(in_a_file(row) for row in d.ours + d.theirs) and len(d.theirs) < len(d.ours)


@explanation("NOTIFY is the recipient's that it stands behind, not of those that follow", "RFC 3461 §4.1")
def _(d):
    return d.kind == "arrival" and d.ours and not d.theirs and all(row["report"] for row in d.ours) and len(
        d.case.envelope["rcpt"]) > 1 and any(
            "NOTIFY=NEVER" in each for each in d.case.envelope["rcpt"][:-1])


@explanation("what an alias runs, runs as the daemon, whatever userbase the action has",
             "checklist §5: programs and files from aliases run as the daemon; 6.8 looks the daemon up in the userbase and bounces")
def _(d):
    return d.kind == "arrival" and " userbase " in d.case.configuration["text"] and d.ours and all(
        row["owner"] == "daemon" for row in d.ours) and all(row["report"] for row in d.theirs)


@explanation("a range of characters and a modifier go together", "checklist §5, formats: always fails upstream; support it")
def _(d):
    return d.kind == "arrival" and re.search(r"%\{[a-z.]+\[[-0-9:]+\]:", d.case.configuration["text"]) is not None and d.ours and all(
        row["where"].startswith("maildir") for row in d.ours) and all(row["report"] for row in d.theirs)


@explanation("LMTP to root is allowed: no program runs for it", "checklist §3, mda: root's rule is for programs")
def _(d):
    return d.kind == "arrival" and d.ours and all(row["report"] for row in d.theirs) and all(
        re.match(r"lmtp.* to=root$", row["where"]) for row in d.ours)


@explanation("!from rdns holds for a client without a name, as the words say", "checklist §3, match: ! negates; theirs never holds then")
def _(d):
    return d.case.envelope["client"] in NAMELESS and another_rule(d, rules.NAMELESS)


@explanation("the null sender is the empty string to mail-from regex", "checklist §4: compares ''; 6.8 compares '@'")
def _(d):
    return another_rule(d, rules.NULL_SENDER)


@explanation("a name without a domain gets the server's, not the listener's", "checklist §9: RCPT without domain gets the server name")
def _(d):
    said = [d.said] if d.kind == "rcpt" else d.case.envelope["rcpt"] if d.kind == "arrival" else []
    named = re.search(r"port 2500 .*hostname", d.case.configuration["text"]) is not None
    return named and d.case.envelope["port"] == 2500 and any(re.fullmatch(r"<[^@>]+>", each) for each in said)


@explanation("a literal of IPv6 is local, too",
             "checklist §4: for local holds for the interfaces' addresses as literals; RFC 5321 §4.1.3")
def _(d):
    return another_rule(d, rules.LITERAL6)


@explanation("an expansion with several faults is refused for good for another of them", "checklist §5: 550 and 524 both refuse")
@command("rcpt")
def _(d):
    return {code(d.ours), code(d.theirs)} == {550, 524}


@explanation("a circle of names that has members reaches them", "checklist §5: each name is expanded once; theirs gives up at its depth")
@command("rcpt")
def _(d):
    names = [rules.named(d.said, own) for own in (fixtures.MAILNAME,) + fixtures.LISTENER_NAMES]
    notes = [note for name in names if name for note in d.case.reasons.get(f"<{'@'.join(name)}> 250".lower(), [])]
    return (code(d.ours), code(d.theirs)) == (250, 524) and any("names in a circle" in note for note in notes)


@explanation("an expression for addresses of IPv6 may leave out the brackets", "'^2001:' is what one writes; theirs compares '[2001:'")
def _(d):
    return another_rule(d, rules.BRACKETS)


@explanation("forward-only refuses files, programs and errors by 424", "checklist §5: 424; 6.8: 451")
@command("rcpt")
def _(d):
    return (code(d.ours), status(d.ours)) == (424, "4.2.4") and code(d.theirs) == 451 and (
        " forward-only" in d.case.configuration["text"])


@explanation("forward-only refuses a user whom the .forward names, before it looks at the rest of it", "checklist §5: 424")
@command("rcpt")
def _(d):
    return (code(d.ours), status(d.ours)) == (424, "4.2.4") and code(d.theirs) in (550, 524) and any(
        "forward-only, and " in reason for reason in d.our_reasons())


@explanation("forward-only, and somebody unknown: the latter is told", "checklist §5: 424 and 550 both refuse")
@command("rcpt")
def _(d):
    return (code(d.ours), code(d.theirs)) == (550, 424) and " forward-only" in d.case.configuration["text"] and any(
        "no such account" in reason for reason in d.our_reasons())


# --- Arrivals ---

def is_one_of(text, mailboxes):
    """Whether an address in a header or report is one of (local part, domain)."""
    local, _, domain = text.strip("<>").rpartition("@")
    local = re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local
    return any(each and (each[0].lower(), each[1]) == (local.lower(), domain.lower()) for each in mailboxes)


OUR_NAMES = "@(" + "|".join(map(re.escape, (fixtures.MAILNAME,) + fixtures.LISTENER_NAMES)) + ")"


@canonical("domains are in lower case", "RFC 5321 §2.4: a domain's case means nothing")
def _(row, case, _ours):
    for argument in [case.envelope["mail"]] + case.envelope["rcpt"]:
        domain = re.search(r"@([^@>]*[A-Z][^@>]*)>", argument)
        if domain:
            for key in ("where", "return-path", "delivered-to", "report"):
                row[key] = row[key].replace(domain.group(1), domain.group(1).lower())
    for key in ("where", "return-path", "delivered-to"):
        row[key] = re.sub(r"\[IPv6:[^]]*\]", lambda literal: literal.group(0).lower(), row[key])


@canonical("an mbox holds the envelope's identity",
           "shared/spec/reliability.md: a delivery repeated after a crash finds what the first did")
def _(row, _case, _ours):
    row["fields"] = "\n".join(line for line in row["fields"].split("\n") if not line.startswith("x-postern-queue-id: "))


@canonical("Date and Message-ID stand above what the client wrote", "RFC 5322 §3.6: the order of these fields means nothing")
def _(row, _case, _ours):
    lines = row["fields"].split("\n")
    row["fields"] = "\n".join([line for line in lines if not line.endswith(": added")] + sorted(
        line for line in lines if line.endswith(": added")))


@canonical("a program has ORIGINAL_RECIPIENT, and /usr/local/bin in its PATH", "checklist §3, mda; 6.8 has no ORIGINAL_RECIPIENT")
def _(row, _case, _ours):
    if row["where"].startswith("program"):
        row["where"] = re.sub(r"\n(PATH|ORIGINAL_RECIPIENT)=[^\n]*", "", row["where"])


@canonical("with `user`, programs and LMTP are told the recipient's account",
           "checklist §5: user is the final account; 6.8: that of `user`")
def _(row, case, _ours):
    if " user vmail" in case.configuration["text"]:
        if row["where"].startswith("program"):
            row["where"] = re.sub(r"\n(USER|LOGNAME)=[^\n]*", "", row["where"])
        if row["where"].startswith("lmtp socket"):
            row["where"] = row["where"].split(" to=")[0]


@canonical("a sub-address outlasts one's own .forward", "checklist §5 (5), (6): the tag is kept as sub-address")
def _(row, case, _ours):
    if any("+" in (grammar.mailbox(each) or (each, ""))[0] for each in case.envelope["rcpt"]):
        row["where"] = re.sub(r"\nEXTENSION=[^\n]*", "", row["where"])


@canonical("a blank behind X-Spam's value means nothing", "RFC 5322 §3.2.2: white space at a field's end; theirs compares the line")
def _(row, case, _ours):
    if re.search(r"(?mi)^X-Spam(-Flag)?:.*[ \t]\r$", case.envelope["message"]):
        row["where"] = row["where"].removesuffix("/.Junk")


@canonical("LMTP: the name in LHLO is the server's, and Delivered-To is the LMTP server's to write",
           "RFC 2033 §4.1, §5; RFC 5321 §4.4: final delivery is made behind LMTP")
def _(row, _case, _ours):
    if row["where"].startswith("lmtp"):
        row["where"] = re.sub(r"helo=[^ ]*", "helo=", row["where"])
        row["delivered-to"] = ""


@canonical("a bare name in the header of mail that is only passed on stays", "RFC 5321 §6.4: a relay must not complete addresses")
def _(row, case, _ours):
    if case.envelope["port"] == 587 or case.envelope["client"].startswith("loopback"):
        return  # what begins its way here
    row["fields"] = re.sub(r"(?m)^(from|to|cc): .*$", lambda line: re.sub(OUR_NAMES, "", line.group(0)), row["fields"])


@canonical("a bare name gets the name that the client was greeted with", "checklist §3, listen: hostnames; theirs takes the server's name")
def _(row, case, _ours):
    if case.envelope["port"] == 2500:
        row["fields"] = re.sub(r"(?m)^(from|to|cc): .*$", lambda line: re.sub(OUR_NAMES, "@us", line.group(0)), row["fields"])


@canonical("Date and Message-ID are added on port 587", "checklist §3, listen: 6.8 compares the port in the wrong order of octets")
def _(row, case, _ours):
    if case.envelope["port"] == 587:
        row["fields"] = "\n".join(line for line in row["fields"].split("\n") if not line.endswith(": added"))


@canonical("a loop found by Delivered-To is told as a failure", "checklist §5: permfail; theirs tells of a delay")
def _(row, case, ours):
    if "Delivered-To:" in case.envelope["message"] and row["report"] and not ours:
        row["report"] = row["report"].replace("delayed 4", "failed 5")


@canonical("a report names the recipient as the client did", "RFC 3464 §2.3.2: as it was when the message was accepted")
def _(row, case, ours):
    words = row["report"].split(" ", 2)
    if len(words) == 3 and (not ours or is_one_of(words[2], [rules.named(each) for each in case.envelope["rcpt"]])):
        row["report"] = " ".join(words[:2])


@canonical("Delivered-To is where the message was delivered to",
           "checklist §5: the loop check looks for Delivered-To: <dest>; 6.8 writes <rcpt>")
def _(row, case, ours):
    said = [rules.named(each) for each in case.envelope["rcpt"] + ([case.envelope["mail"]] if row["report"] else [])]
    said += [("alice", "example.test")] if "Delivered-To: alice@example.test" in case.envelope["message"] else []
    if is_one_of(row["delivered-to"], said + (list(rules.names(case.configuration)) if ours else [])):
        row["delivered-to"] = "there"


@canonical("where messages of one file run together, their texts differ", "RFC 4155, appendix A")
def _(row, case, ours):
    if in_a_file(row) and len([each for rows in case.rows for each in rows if in_a_file(each)]) >= 2:
        row["body"] = "" if row["body"] == landings.body_of(case.envelope["message"]) or not ours else row["body"]
