"""Two sides' results against each other: differences, those that explained.py explains and those that it does not, in tables."""

import collections
import json
import re

import explained
import fixtures

NAMES = {"postern": "ours", "opensmtpd": "theirs"}


class Difference:
    """One thing that the two servers did differently."""

    def __init__(self, kind, case, ours, theirs, said=""):
        self.kind = kind        # configuration, greeting, mail, rcpt, data, end, arrival
        self.case = case        # Case: the configuration and the envelope
        self.ours = ours        # replies: [code, enhanced, text]; arrivals: the rows that are only ours
        self.theirs = theirs
        self.said = said        # the argument of the command that it is the reply to

    def our_reasons(self):
        """Why we refused this recipient, as the log says; of all sessions of the configuration that named it."""
        if self.kind != "rcpt" or self.ours is None:
            return []
        said = self.said.strip().lower()
        found = [self.case.reasons.get(f"{each} {self.ours[0]}", []) for each in (said, said.replace(">", f"@{fixtures.MAILNAME}>"))]
        return found[0] + found[1]

    def brief(self):
        """What kind of difference it is, without what is special to the case: the groups of the table."""
        if self.kind in ("configuration",):
            return f"{self.kind}: {self.ours[0]} / {self.theirs[0]}"
        if self.kind == "arrival":
            return "arrival: " + self.only(self.ours) + " / " + self.only(self.theirs)
        return f"{self.kind}: {reply_text(self.ours)} / {reply_text(self.theirs)}"

    @staticmethod
    def only(rows):
        words = collections.Counter(re.split(r"[ \n]", row["where"])[0] + (" report" if row["report"] else "") for row in rows)
        return ", ".join(f"{count} {word}" if count > 1 else word for word, count in sorted(words.items())) or "nothing"


class Case:
    """An envelope under a configuration, and what both did with it."""

    def __init__(self, number, configuration, index, envelope, replies, rows, reasons=None):
        self.number = number
        self.configuration = configuration
        self.index = index
        self.envelope = envelope
        self.replies = replies  # (ours, theirs)
        self.rows = rows        # (ours, theirs)
        self.reasons = reasons or {}  # ours, for recipients: {"argument code": [texts]}, as `lowered` gives them

    def place(self):
        return f"configuration {self.number}, envelope {self.index}"


def lowered(reasons):
    """The reasons that a side gives, with keys in lower case."""
    found = {}
    for key, texts in (reasons or {}).items():
        found.setdefault(key.lower(), []).extend(texts)
    return found


def reply_text(reply):
    return "no reply" if reply is None else f"{reply[0]} {reply[1] or '-'}"


def same_reply(ours, theirs):
    """Same code, and enhanced status where both give one."""
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return ours[0] == theirs[0] and (ours[1] == theirs[1])


def accepted(replies):
    return [reply[0] == 250 for reply in replies["rcpt"]]


def row_key(row):
    return json.dumps(row, sort_keys=True)


def compare_case(case):
    ours, theirs = case.replies
    found = []
    for kind in ("greeting", "mail"):
        if not same_reply(ours[kind], theirs[kind]):
            found.append(Difference(kind, case, ours[kind], theirs[kind], case.envelope["mail"]))
    for said, one, other in zip(case.envelope["rcpt"], ours["rcpt"], theirs["rcpt"]):
        if not same_reply(one, other):
            found.append(Difference("rcpt", case, one, other, said))
    if accepted(ours) != accepted(theirs):
        return found, False  # different recipients: what follows cannot be the same
    for kind in ("data", "end"):
        if not same_reply(ours[kind], theirs[kind]):
            found.append(Difference(kind, case, ours[kind], theirs[kind]))
    if ours["end"] is None or theirs["end"] is None or ours["end"][0] != theirs["end"][0]:
        return found, False
    one, other = (collections.Counter(row_key(row) for row in rows) for rows in case.rows)
    if one != other:
        found.append(Difference("arrival", case, [json.loads(key) for key in (one - other).elements()],
                                [json.loads(key) for key in (other - one).elements()]))
    return found, True


def read(work):
    with open(f"{work}/configurations.json", encoding="utf-8") as file:
        configurations = json.load(file)
    with open(f"{work}/envelopes.json", encoding="utf-8") as file:
        envelopes = json.load(file)
    sides = []
    for name in NAMES:
        with open(f"{work}/{name}.json", encoding="utf-8") as file:
            sides.append([json.loads(line) for line in file])
    return configurations, envelopes, sides


def by_case(rows):
    found = collections.defaultdict(list)
    for row in rows:
        found[row["case"]].append(row)
    return found


def show(difference, out):
    case = difference.case
    out(f"      {case.place()}: client {case.envelope['client']}:{case.envelope['port']}, {case.envelope['greeting']}, "
        f"MAIL FROM:{case.envelope['mail']!r}")
    if difference.kind == "arrival":
        out(f"        RCPT TO {case.envelope['rcpt']!r}")
        for label, rows in (("ours", difference.ours), ("theirs", difference.theirs)):
            for row in rows[:4]:
                out(f"        only {label}: " + ", ".join(f"{key}={value!r}" for key, value in row.items() if value and key != "case"))
    else:
        out(f"        said {difference.said[:120]!r}: ours {(difference.ours or ['', '', 'none'])[2:]}, "
            f"theirs {(difference.theirs or ['', '', 'none'])[2:]}")
        for reason in difference.our_reasons():
            out(f"        ours because: {reason}")


def main(work, show_all=False, out=print):
    configurations, envelopes, (ours, theirs) = read(work)
    groups = collections.defaultdict(list)
    counts = collections.Counter()
    for number, (configuration, one, other) in enumerate(zip(configurations, ours, theirs)):
        if one["check"] != other["check"] or one.get("alive") != other.get("alive"):
            case = Case(number, configuration, 0, {"client": "", "port": 0, "greeting": "", "mail": "", "rcpt": []}, None, None)
            difference = Difference("configuration", case, [one["check"], "", one["said"]], [other["check"], "", other["said"]],
                                    f"{one.get('alive')} {other.get('alive')}")
            groups[(explained.explain(difference), difference.brief())].append(difference)
        if not one["replies"] or not other["replies"]:
            counts["configurations not run"] += 1
            continue
        counts["configurations"] += 1
        rows, reasons = (by_case(one["rows"]), by_case(other["rows"])), lowered(one.get("reasons"))
        for index, envelope in enumerate(envelopes):
            identity = f"e{index:05d}"
            case = Case(number, configuration, index, envelope, (one["replies"][index], other["replies"][index]),
                        tuple(each.get(identity, []) for each in rows), reasons)
            counts["envelopes"] += 1
            counts["recipients"] += len(case.replies[0]["rcpt"])
            differences, arrivals_compared = compare_case(case)
            counts["messages whose arrivals are compared"] += arrivals_compared
            counts["arrivals compared"] += len(case.rows[1]) if arrivals_compared else 0
            counts["envelopes with a difference"] += bool(differences)
            for difference in differences:
                groups[(explained.explain(difference), difference.brief())].append(difference)
        unknown = [each.get("?", []) for each in rows]
        counts["arrivals of no known case, ours"] += len(unknown[0])
        counts["arrivals of no known case, theirs"] += len(unknown[1])
    features = collections.Counter(feature for configuration in configurations for feature in configuration["features"])
    out("")
    for name, count in counts.items():
        out(f"{count:8} {name}")
    out(f"{len(features):8} words of the language drawn")
    by_reason = collections.Counter()
    for (reasons, _), found in groups.items():
        for reason in reasons or (None,):
            by_reason[reason] += len(found)
    out("\nexplained differences (a difference may have several reasons)")
    for reason, count in sorted(by_reason.items(), key=lambda item: -item[1]):
        if reason is not None:
            out(f"{count:8} {reason.name}: {reason.reference}")
            if show_all:
                for (other, brief), found in sorted(groups.items(), key=lambda item: -len(item[1])):
                    if reason in other:
                        out(f"{len(found):12} {brief}")
                        show(found[0], out)
    out("\nunexplained differences (ours / theirs)")
    for (reason, brief), found in sorted(groups.items(), key=lambda item: -len(item[1])):
        if not reason:
            out(f"{len(found):8} {brief}")
            for difference in found[:3]:
                show(difference, out)
    out(f"{by_reason[None]:8} in all")
    return 1 if by_reason[None] else 0
