"""Envelopes from a seed: who connects from where, what is said after MAIL and RCPT, and the message.

An envelope is {"client", "port", "greeting", "mail", "rcpt": [...], "message"}; "mail" and "rcpt" are the commands' arguments as
they go out, so that what no client would send is there too.
"""

import fixtures

ALIASED = ("postmaster", "list1", "list2", "loop1", "gone", "busy", "program", "file", "included", "deep1", "broken", "self", "mixed",
           "sales", "info", "abuse", "root", "fails")
TAGS = ("work", "x", "a+b", "", "Work", "long-tag.with_dots")
DOMAINS = (fixtures.HOSTED_DOMAINS * 3 + fixtures.LOCAL_DOMAINS + (fixtures.MAILNAME,) * 3 + fixtures.FOREIGN_DOMAINS * 2 +
           fixtures.UNKNOWN_DOMAINS)

# Whole addresses that are odd, right and wrong.
ODD = (
    '"alice"@example.test', '"al ice"@example.test', '"al\\ice"@v1.test', '"alice@home"@example.test', '"a\\"b"@v2.test',
    '""@example.test', '"alice"@host.example.test', '"bob+work"@v1.test', '"o.dot"@host.example.test', '"<alice>"@v1.test',
    '"a,b"@v1.test', '"..."@v1.test', '"alice\\@home"@example.test', '"very unusual()<>[]:,;"@example.test',
    "a..b@example.test", ".alice@example.test", "alice.@example.test", "alice@", "@example.test", "@", "alice@@example.test",
    "alice@example..test", "alice@.example.test", "alice@example.test.", "alice@-example.test", "alice@example-.test",
    "alice@exa_mple.test", "alice@example", "alice@123", "alice@1.2.3.4", "alice@[1.2.3]", "alice@[300.1.1.1]", "alice@[]",
    "alice@[IPv6:fe80::1]", "alice@[IPv6:zz]", "alice@[tag:data]", "alice@[127.0.0.1", "bob@[IPv6:2001:DB8:1::1]",
    "o'brien@example.test", "!#$%&'*/=?^_`{|}~-@example.test", "alice%example.test@v1.test", "alice!bob@example.test",
    "a/b@v1.test", "../../etc/passwd@v1.test", "/etc/passwd@v1.test", "|touch@v1.test", "$(id)@v1.test", "`id`@v2.test",
    "al ice@example.test", "alice @example.test", "alice@ example.test", "alice(comment)@example.test", "al\tice@v1.test",
    "älice@v1.test", "用户@example.test", "alice@bücher.test", "alice@xn--bcher-kva.test", "alice\x80@v1.test", "al\x01ice@v1.test",
    "alice@exa\u00admple.test", "+alice@v1.test", "+@v1.test", "alice+@v1.test", "alice++x@v1.test", "bob-work@v1.test",
    "*@example.test", "?@v1.test", "alice@*.test", "alice@%{dest}", "%{user.directory}@v1.test", "alice;bob@v1.test",
    "<alice@example.test>", "alice,bob@example.test", "alice@example.test,bob@example.test", "MAILER-DAEMON@example.test",
    "SRS0=aaaa=bb=friend.test=bob@example.test", "root@host.example.test", "daemon@localhost", "ROOT@HOST.EXAMPLE.TEST",
)
# Arguments without the brackets or with something before them.
ODD_ARGUMENTS = (
    "alice@example.test", " <alice@example.test>", "<alice@example.test", "alice@example.test>", "<>", "<postmaster>", "<PostMaster>",
    "<alice>", "<nosuchuser>", "<@a.test,@b.test:alice@example.test>", "<@a.test:bob@v1.test>", "<@a.test:>", "<@a.test,:bob@v1.test>",
    "<@[192.0.2.9]:alice@v2.test>", "<a.test:alice@example.test>", "Alice <alice@example.test>", "<alice@example.test> trailing",
    "<alice@example.test> FOO=BAR", "<alice@example.test> NOTIFY=NEVER", "<alice@v1.test> NOTIFY=SUCCESS,FAILURE,DELAY",
    "<alice@v1.test> NOTIFY=NEVER,FAILURE", "<alice@v1.test> NOTIFY=MAYBE", "<alice@v1.test> ORCPT=rfc822;al+2Bice@v1.test",
    "<alice@v1.test> ORCPT=nonsense", "<alice@v1.test> NOTIFY=NEVER NOTIFY=NEVER", "<alice@v1.test>NOTIFY=NEVER", "", " ",
    "<alice@v1.test> SIZE=100", "<bob@example.test>  NOTIFY=NEVER", "<<alice@v1.test>>", "<alice@v1.test>>", "\t<alice@v1.test>",
)
MAIL_PARAMETERS = (
    " SIZE=100", " SIZE=0", " SIZE=100000000000", " SIZE=abc", " SIZE=", " BODY=8BITMIME", " BODY=7BIT", " body=8bitmime",
    " BODY=BINARYMIME",
    " RET=HDRS", " RET=FULL", " RET=SOME", " ENVID=abc+2Bd", " ENVID=", " RET=FULL RET=HDRS", " SMTPUTF8", " AUTH=<>", " FOO", " FOO=BAR",
    " SIZE=100 BODY=8BITMIME RET=HDRS ENVID=q", "  SIZE=1", " AUTH=alice@v1.test",
)
SENDER_ADDRESSES = (
    "alice@friend.test", "sender@client.example", "sender@client.example", "news@list.example", "someone@elsewhere.test",
    "someone@elsewhere.test", "bob@v1.test", "ken+tag@friend.test", "O.Dot@Elsewhere.Test", "alice@example.test",
    "carol@host.example.test", "bob@localhost", "nosuchuser@example.test", "user@sub.friend.test",
)


def randomly_cased(random, text):
    return "".join(c.upper() if random.random() < 0.5 else c for c in text)


def address(random):
    """An address as clients send it."""
    kind = random.random()
    if kind < 0.5:
        local = random.choice(fixtures.ACCOUNTS[:14] + fixtures.VIRTUAL_USERS)
    elif kind < 0.75:
        local = random.choice(ALIASED)
    elif kind < 0.8:
        local = random.choice(("nosuchuser", "x", "no-body", "unknown.user"))
    else:
        local = random.choice(("alice", "bob", "carol", "ken"))
    if random.random() < 0.2:
        local += random.choice("++++-") + random.choice(TAGS)
    if random.random() < 0.06:
        local = randomly_cased(random, local)
    domain = random.choice(DOMAINS)
    if random.random() < 0.06:
        domain = randomly_cased(random, domain)
    return f"{local}@{domain}"


def at_bounds(random):
    """An address whose parts are as long as RFC 5321 §4.5.3.1 allows, or one more."""
    choice = random.randrange(8)
    if choice == 0:
        return "a" * 64 + "@v1.test"
    if choice == 1:
        return "a" * 65 + "@v1.test"
    if choice == 2:
        return "alice@" + "d" * 63 + ".test"
    if choice == 3:
        return "alice@" + "d" * 64 + ".test"
    if choice in (4, 5):
        labels = ".".join(["d" * 49] * 5) + ".test"  # 254 octets
        return f"alice@{labels}" if choice == 4 else f"alice@dd{labels}"
    if choice == 6:
        return "alice+" + "t" * 58 + "@v1.test"
    return "alice+" + "t" * random.choice((200, 500, 900)) + "@v1.test"


def recipient(random):
    kind = random.random()
    if kind < 0.80:
        return f"<{address(random)}>"
    if kind < 0.90:
        return f"<{random.choice(ODD)}>"
    if kind < 0.96:
        return random.choice(ODD_ARGUMENTS)
    if kind < 0.98:
        return f"<{at_bounds(random)}>"
    # What the sinks refuse: for now, for good
    return f"<{random.choice(('no5', 'no4', 'no5.else'))}@{random.choice(fixtures.FOREIGN_DOMAINS)}>"


def sender(random):
    kind = random.random()
    if kind < 0.74:
        text = f"<{random.choice(SENDER_ADDRESSES)}>"
    elif kind < 0.86:
        text = "<>"
    elif kind < 0.90:
        text = f"<{address(random)}>"
    elif kind < 0.95:
        text = f"<{random.choice(ODD)}>"
    elif kind < 0.98:
        text = random.choice(ODD_ARGUMENTS)
    else:
        text = f"<{at_bounds(random)}>"
    if random.random() < 0.08:
        text += random.choice(MAIL_PARAMETERS)
    return text


def message(random, identity):
    """The message's text, without the final dot and with dots doubled."""
    kind = random.random()
    lines = [f"X-Case: {identity}"]
    if kind < 0.75:
        lines += ["From: <sender@client.example>", "To: <alice@example.test>", "Subject: a letter",
                  "Date: Mon, 02 Nov 2026 10:00:00 +0000", f"Message-ID: <{identity}@client.example>"]
    elif kind < 0.80:
        lines += ["From: alice", "To: bob, Carol <carol>", "Cc: someone@elsewhere.test (with a comment)", "Subject: bare names"]
    elif kind < 0.85:
        lines += ["From: <sender@client.example>", "To: undisclosed-recipients:;", "Bcc: secret@elsewhere.test,", "  other@v1.test",
                  "Subject: folded"]
    elif kind < 0.90:
        lines += ["From: <sender@client.example>", random.choice(("X-Spam: yes", "X-Spam-Flag: YES", "X-Spam: no", "X-Spam: Yes "))]
    elif kind < 0.93:
        lines += ["Delivered-To: alice@example.test", "From: <sender@client.example>"]
    elif kind < 0.95:
        lines += ["Received: from x by y; Mon, 02 Nov 2026 10:00:00 +0000"] * random.choice((99, 100, 101, 102))
    else:
        lines += ["Subject: with a long line", "X-Long: " + "x" * random.choice((900, 989, 1500))]
    body = random.choice((["Hello."], ["..", "..dot at the start", "From the start of a line", ""], ["ä ö ü and 8 bits"],
                          ["line"] * random.choice((1, 50)), ["x" * 70] * random.choice((70, 80, 90)), []))
    return "\r\n".join(lines + [""] + body) + "\r\n"


def generate(random, index):
    count = random.choices((1, 2, 3, 7, 30), (70, 14, 8, 6, 2))[0]
    many = [recipient(random) for _ in range(count)]
    if count > 1 and random.random() < 0.2:
        many.append(many[0])  # named twice
    return {
        "client": random.choices(tuple(fixtures.CLIENTS), (26, 2, 14, 6, 21, 11, 8, 7, 5))[0],
        "port": random.choice(fixtures.PORTS),
        "greeting": f"{random.choice(('EHLO', 'EHLO', 'EHLO', 'HELO'))} {random.choice(fixtures.HELO_NAMES)}",
        "mail": sender(random),
        "rcpt": many,
        "message": message(random, f"e{index:05d}"),
    }
