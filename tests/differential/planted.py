"""Defects planted in our answers, to see that each is found: an explanation that takes them would take a real one, too.

`main(work, count)` takes the results of a run and makes one thing wrong in our side's of one envelope, `count` times for each kind of
defect; the table says how many were found, and by which explanation the others were swallowed.
"""

import collections
import copy
import random

import compare
import explained

WANTED = 0.7  # of each kind so much is found, or the run fails


def refuse(case, draw):
    """A recipient refused that should be taken."""
    return change_reply(case, draw, "rcpt", 250, [550, "5.1.1", "Invalid recipient"])


def take(case, draw):
    """A recipient taken that should be refused."""
    return change_reply(case, draw, "rcpt", 550, [250, "2.1.5", "Destination address valid: Recipient ok"])


def put_off(case, draw):
    """A refusal for now that should be one for good."""
    return change_reply(case, draw, "rcpt", 550, [451, "4.3.0", "Temporary failure"])


def put_off_good(case, draw):
    """A recipient refused for now that should be taken."""
    return change_reply(case, draw, "rcpt", 250, [451, "4.3.0", "Temporary failure"])


def wrong_syntax(case, draw):
    """A right recipient called wrong."""
    return change_reply(case, draw, "rcpt", 250, [501, "5.1.3", "Recipient address syntax error"])


def wrong_parameter(case, draw):
    """A right parameter of MAIL, or none, called wrong."""
    return change_reply(case, draw, "mail", 250, [555, "5.5.4", "Unsupported option"])


def sender_refused(case, draw):
    """A sender refused that should be taken."""
    return change_reply(case, draw, "mail", 250, [550, "5.7.1", "Sender rejected"])


def too_large(case, draw):
    """A size called too large that is not."""
    return change_reply(case, draw, "mail", 250, [552, "5.3.4", "Message too large"])


def sender_taken(case, draw):
    """A sender taken that should be refused."""
    return change_reply(case, draw, "mail", None, [250, "2.0.0", "Ok"])


def text_refused(case, draw):
    """A message refused that should be taken."""
    return change_reply(case, draw, "end", 250, [451, "4.3.0", "Temporary failure"])


def change_reply(case, draw, kind, code, reply):
    """Puts `reply` in place of one with this code on both sides; `code` None: one above 500."""
    ours, theirs = case.replies
    places = range(min(len(ours["rcpt"]), len(theirs["rcpt"]))) if kind == "rcpt" else (None,)

    def at(side, place):
        return side[kind] if place is None else side[kind][place]
    fit = [place for place in places if all(at(side, place) is not None and (at(side, place)[0] == code or (
        code is None and at(side, place)[0] >= 500)) for side in (ours, theirs))]
    if not fit:
        return False
    place = draw.choice(fit)
    if place is None:
        ours[kind] = reply
    else:
        ours[kind][place] = reply
    return True


def lost(case, draw):
    """An arrival that is not there."""
    case.rows[0].remove(draw.choice(case.rows[0]))
    return True


def twice(case, draw):
    """An arrival that is there twice."""
    case.rows[0].append(dict(draw.choice(case.rows[0])))
    return True


def changed(key, value):
    def change(case, draw):
        fit = [row for row in case.rows[0] if row[key] and not row["report"]]
        if fit:
            draw.choice(fit)[key] = value
        return bool(fit)
    return change


elsewhere = changed("where", "maildir /var/home/somebody/Maildir")
not_his = changed("owner", "root")
other_body = changed("body", "000000000000")
other_sender = changed("return-path", "somebody@wrong.test")
other_mark = changed("delivered-to", "somebody@wrong.test")


def field_gone(case, draw):
    """A field of the header that the client wrote is not there."""
    fit = [row for row in case.rows[0] if "x-case: " in row["fields"] and len(row["fields"].split("\n")) > 1]
    if not fit:
        return False
    row = draw.choice(fit)
    lines = [line for line in row["fields"].split("\n") if not line.startswith("x-postern") and not line.endswith(": added")]
    row["fields"] = row["fields"].replace(draw.choice(lines), "x: y")
    return True


def returned(case, draw):
    """A report to the sender in place of a delivery."""
    fit = [row for row in case.rows[0] if not row["report"]]
    if not fit or not case.envelope["mail"].startswith("<"):
        return False
    sender = case.envelope["mail"][1:].partition(">")[0]
    row = draw.choice(fit)
    row.update(where=f"smarthost helo=host.example.test to={sender}", owner="", fields="", body="",
               report="failed 5 " + case.envelope["rcpt"][0].strip("<>"), **{"return-path": "", "delivered-to": ""})
    return True


def other_report(case, draw):
    """A report that tells of another recipient."""
    fit = [row for row in case.rows[0] if row["report"]]
    if fit:
        row = draw.choice(fit)
        row["report"] = " ".join(row["report"].split(" ")[:2] + ["somebody@wrong.test"])
    return bool(fit)


def softened(case, draw):
    """A report of a delay in place of one of a failure."""
    fit = [row for row in case.rows[0] if row["report"].startswith("failed 5")]
    if fit:
        row = draw.choice(fit)
        row["report"] = row["report"].replace("failed 5", "delayed 4")
    return bool(fit)


REPLIES = (refuse, take, put_off, put_off_good, wrong_syntax, wrong_parameter, sender_refused, too_large, sender_taken, text_refused)
ARRIVALS = {"lost": lost, "twice": twice, "elsewhere": elsewhere, "not his": not_his, "another text": other_body,
            "another sender": other_sender, "another Delivered-To": other_mark, "a field gone": field_gone,
            "a report instead": returned, "a report of another": other_report, "a delay for a failure": softened}


def judge(case):
    """(all explanations, whether something is left unexplained) of a case."""
    names, open_end = collections.Counter(), False
    for difference in compare.compare_case(case)[0]:
        reasons = explained.explain(difference)
        open_end = open_end or not reasons
        names.update(reason.name for reason in reasons)
    return names, open_end


def cases(work):
    configurations, envelopes, (ours, theirs) = compare.read(work)
    for number, (configuration, one, other) in enumerate(zip(configurations, ours, theirs)):
        if one["replies"] and other["replies"]:
            rows, reasons = (compare.by_case(one["rows"]), compare.by_case(other["rows"])), compare.lowered(one.get("reasons"))
            for index, envelope in enumerate(envelopes):
                yield compare.Case(number, configuration, index, envelope, (one["replies"][index], other["replies"][index]),
                                   tuple(each.get(f"e{index:05d}", []) for each in rows), reasons)


def main(work, count, out=print):
    draw = random.Random("planted")
    everything = list(cases(work))
    with_arrivals = [case for case in everything if case.rows[0] and case.rows[1]]
    draw.shuffle(everything)
    draw.shuffle(with_arrivals)
    kinds = {each.__name__.replace("_", " "): (each, everything) for each in REPLIES}
    kinds.update((name, (each, with_arrivals)) for name, each in ARRIVALS.items())
    failed = False
    swallowed_by, tried = collections.Counter(), 0
    out("\ndefects planted in our side's answers, one at a time")
    for name, (plant, pool) in kinds.items():
        planted = found = 0
        for case in pool:
            if planted == count:
                break
            spoilt = copy.copy(case)
            spoilt.replies, spoilt.rows = copy.deepcopy(case.replies), copy.deepcopy(case.rows)
            if not plant(spoilt, draw) or (name in ARRIVALS and not compare.compare_case(case)[1]):
                continue
            after, seen = judge(spoilt)
            planted += 1
            found += seen
            if not seen:
                swallowed_by.update(after - judge(case)[0] or {"(those of the case as it was)": 1})
        tried += planted
        out(f"{planted:8} {name}: {found} found")
        failed = failed or found < WANTED * planted
    out("\nwhat took those that were not found")
    for name, times in swallowed_by.most_common():
        out(f"{times:8} {name}")
    return 1 if failed or not tried else 0
