"""A second opinion on rules: which of a configuration's may take an envelope, with and without one thing that the two servers see
differently. An explanation about such a thing holds where it changes the choice, and nowhere else.

Conditions that this file does not judge are taken as possible either way: the answer is the set of the rules that may be the one.
"""

import ipaddress
import re

import fixtures
import grammar

TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|(<[^>]+>)|([{},])|([^\s{},"]+)')

# What the servers see differently. `decide` takes one of them, and whether it is seen as we do.
LOOPBACK = "127.0.0.2 is local"
LOOPBACK_NAME = "127.0.0.2 is called localhost"
NAMELESS = "!from rdns holds without a name"
NULL_SENDER = "the null sender is the empty string"
LITERAL6 = "literals of IPv6 are local"
BRACKETS = "addresses of IPv6 have no brackets"


def tokens(line):
    found = []
    for quoted, table, mark, word in TOKEN.findall(line):
        found.append(("table", table[1:-1]) if table else ("mark", mark) if mark else ("word", word) if word else ("text", re.sub(
            r'\\(")', r"\1", quoted)))
    return found


def tables(configuration):
    """{name: [words]} of the lists; files without comments."""
    found = {}
    for name, rest in re.findall(r"^table (\S+) (.*)$", configuration["text"], re.M):
        if rest.startswith("file:"):
            lines = configuration["files"].get(rest.rsplit("/", 1)[1], "").split("\n")
            found[name] = [line for line in lines if line and not line.startswith("#")]
        else:
            found[name] = [text for kind, text in tokens(rest) if kind in ("text", "word") and text != "="]
    return found


def parse(line, lists):
    """A rule: [(negated, condition, regex?, words or None)], and its action's name or ""."""
    words, conditions, negated, at, action = tokens(line)[1:], [], False, 0, ""
    while at < len(words):
        kind, text = words[at]
        at += 1
        if text.startswith("!") and kind == "word":
            negated, text = True, text[1:]
            if not text:
                continue
        if text in ("action", "reject"):
            action = words[at][1] if text == "action" else ""
            break
        if text in ("from", "for"):
            text += " " + words[at][1]
            at += 1
        regex = at < len(words) and words[at] == ("word", "regex")
        at += regex
        values = None
        takes = text not in ("from any", "from local", "from socket", "for any", "for local")
        if takes and at < len(words) and words[at] == ("mark", "{"):
            end = words.index(("mark", "}"), at)
            values = [word for kind, word in words[at:end] if kind != "mark"]
            at = end + 1
        elif takes and at < len(words) and words[at][0] in ("text", "table"):
            values = lists.get(words[at][1]) if words[at][0] == "table" else [words[at][1]]
            at += 1
        elif takes and at < len(words) and re.match(r"\d", words[at][1]):
            values = [words[at][1]]
            at += 1
        conditions.append((negated, text, regex, values))
        negated = False
    for what in ("from", "for"):
        if not any(name.split(" ")[0] == what for _, name, _, _ in conditions):
            conditions.append((False, f"{what} local", False, None))
    return conditions, action


RULES = {}


def rules_of(configuration):
    if configuration["text"] not in RULES:
        lists = tables(configuration)
        RULES[configuration["text"]] = [parse(line, lists) for line in configuration["text"].split("\n") if line.startswith("match ")]
    return RULES[configuration["text"]]


def some(words, test):
    """Whether one of the words fits; None when that is not known."""
    return None if words is None else any(test(word) for word in words)


def searches(pattern, text):
    insensitive = pattern.startswith("(?i)")
    return re.search(pattern[4 if insensitive else 0:], text, re.I if insensitive else 0) is not None


def fits(pattern, name):
    """Whether a name fits "*.example.test"; None where there are several ways to take a mark."""
    if "?" in pattern or "*" in pattern[1:]:
        return None
    pattern, name = pattern.lower(), name.lower()
    if not pattern.startswith("*"):
        return pattern == name
    # 6.8 goes on at the first place where the pattern's next character stands.
    rest = pattern[1:]
    return name.endswith(rest) and (name.find(rest[:1]) == len(name) - len(rest) or None)


def any_of(values):
    """True, False or None of several, one of which must hold."""
    return True if True in values else None if None in values else False


class Asked:
    """What conditions are about: one recipient of a case. `thing` is seen as we do if `as_we_do`, else as they do."""

    def __init__(self, case, local, domain, internal, thing, as_we_do, notice=False):
        self.case = case
        self.client = case.envelope["client"]
        self.here, self.address, _ = fixtures.CLIENTS[self.client]
        self.local, self.domain, self.internal = local, domain, internal
        self.thing, self.as_we_do = thing, as_we_do
        self.null = notice or case.envelope["mail"].startswith("<>")

    def seen(self, thing):
        """Whether this is seen as we do; None when it is not what is asked about: then both are right."""
        return self.as_we_do if self.thing == thing else None

    def value(self, name, regex, words):
        """Whether the condition holds, before its negation; None: not judged here."""
        if name in ("from any", "for any"):
            return True
        if name == "from local":
            if self.internal or (self.here and self.client != "loopback2"):
                return True
            return self.seen(LOOPBACK) if self.client == "loopback2" else False
        if name == "from socket":
            return None if self.internal else False
        if name == "from src" and self.client == "loopback2" and words and "local" in words:
            return self.seen(LOOPBACK)
        if name in ("from src", "from rdns", "from mail-from") and self.internal:
            return None
        if name == "from src" and regex:
            bare, other = self.address, f"[{self.address}]"
            if ":" not in bare:
                return some(words, lambda word: searches(word, bare))
            one, two = some(words, lambda word: searches(word, bare)), some(words, lambda word: searches(word, other))
            seen = self.seen(BRACKETS)
            return one if one == two else None if seen is None else one if seen else two
        if name == "from src":
            return some(words, self.in_network)
        if name == "from rdns" and self.client == "loopback2":
            return self.seen(LOOPBACK_NAME) if words is None else None if any_of([searches(word, "localhost") for word in words]) else False
        if name == "from rdns" and not regex:
            return fixtures.reverse_name(self.address) is not None
        if name in ("from mail-from", "mail-from") and self.null and regex:
            one, two = some(words, lambda word: searches(word, "")), some(words, lambda word: searches(word, "@"))
            seen = self.seen(NULL_SENDER)
            return one if one == two else None if seen is None else one if seen else two
        if name in ("from auth", "auth"):
            return False
        if name == "for local":
            if self.domain.startswith("[ipv6:") and self.domain in [each.lower() for each in fixtures.LOCAL_DOMAINS]:
                return self.seen(LITERAL6)
            return self.domain in [each.lower() for each in fixtures.LOCAL_DOMAINS] or (None if self.domain.startswith("[") else False)
        if name == "for domain":
            return any_of([searches(word, self.domain) if regex else fits(word, self.domain) for word in words])
        if name in ("for rcpt-to", "rcpt-to") and regex:
            return some(words, lambda word: searches(word, f"{self.local}@{self.domain}"))
        if name == "helo" and not regex:
            return any_of([fits(word, self.case.envelope["greeting"].split(" ")[1]) for word in words])
        return None

    def in_network(self, word):
        try:
            return word != "local" and ipaddress.ip_address(self.address) in ipaddress.ip_network(word.strip("[]"), False)
        except ValueError:
            return False

    def holds(self, condition):
        negated, name, regex, words = condition
        value = self.value(name, regex, words)
        if name == "from rdns" and negated and value is False and not self.internal and self.client != "loopback2":
            return self.seen(NAMELESS)
        return None if value is None else value != negated


def decide(asked):
    """The numbers of the rules that may be the one that takes it; None is among them if none may."""
    possible = set()
    for number, (rule, _) in enumerate(rules_of(asked.case.configuration)):
        held = [asked.holds(condition) for condition in rule]
        if False in held:
            continue
        possible.add(number)
        if None not in held:
            return possible
    return possible | {None}


def names(configuration, action=None):
    """The addresses that expansion may come to; or that of one action."""
    if action is None:
        texts = [configuration["text"], *configuration["files"].values(), *fixtures.FORWARDS.values()]
    else:
        line = re.search(rf'^action "{re.escape(action)}" (.*)$', configuration["text"], re.M)
        if not line or line[1].startswith("relay"):
            return set()
        texts = [*fixtures.FORWARDS.values(), configuration["files"]["list"]]
        for table in re.findall(r"<([^>]+)>", line[1]):
            texts += [configuration["files"].get(table, ""), *re.findall(rf"^table {re.escape(table)} (.*)$", configuration["text"], re.M)]
    return {(local, domain.lower()) for text in texts for local, domain in re.findall(r"([\w.+-]+)@([\w.-]+\w)", text)}


def matters(case, thing, addresses, notice=False):
    """Whether `thing` changes the choice of a rule for one of the addresses (local part, domain), or for what they may be expanded
    to. `notice`: for a notice of ours that goes to them."""
    left, known = [(each, notice) for each in addresses], set()
    while left:
        each, internal = left.pop()
        chosen = decide(Asked(case, *each, internal, thing, True, notice))
        if chosen != decide(Asked(case, *each, internal, thing, False, notice)):
            return True
        for number in chosen - known - {None}:
            known.add(number)
            action = rules_of(case.configuration)[number][1]
            left += [(name, True) for name in names(case.configuration, action)] if action else []
    return False


def named(argument, own=fixtures.MAILNAME):
    """(local part, domain) of a command's argument; a bare name's domain is `own`. None when it is no address."""
    argument = argument.strip()
    bare = re.match(r"<([^@<>]+)>", argument)
    return (bare[1], own) if bare else grammar.mailbox(argument if argument.startswith("<") else f"<{argument}>")
