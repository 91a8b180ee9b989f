"""Configurations from a seed: tables, listeners, actions and rules that both servers read, word for word the same.

`generate(random, index)` gives one: {"text": smtpd.conf, "files": {name: text}, "features": [...]}. What must be had by each run
(every condition, its negation, every action) is dealt out in turn by the index; the rest is drawn.
"""

import fixtures
import world
from fixtures import APPENDED, FOLDER, RECORD

ALL_DOMAINS = fixtures.HOSTED_DOMAINS + fixtures.FOREIGN_DOMAINS

# Conditions of each family, with a table in one of the forms of `Writer.table` where they have one.
ORIGINS = ["", "from any", "from local", "from src", "from src-regex", "from socket", "from rdns", "from rdns-regex",
           "from mail-from", "from mail-from-regex", "!from local", "!from src", "!from rdns", "!from socket", "!from mail-from",
           "from auth", "!from auth"]
DESTINATIONS = ["", "for any", "for local", "for domain", "for domain-regex", "for rcpt-to", "for rcpt-to-regex", "!for local",
                "!for domain", "!for rcpt-to", "!for domain-regex"]
TRANSACTIONS = ["tag", "helo", "helo-regex", "mail-from", "mail-from-regex", "rcpt-to", "rcpt-to-regex", "auth", "!tag", "!helo",
                "!mail-from", "!rcpt-to", "!auth", "tag-regex", "!helo-regex", "!mail-from-regex", "!rcpt-to-regex", "!tag-regex",
                "auth-list", "!auth-list", "auth-regex"]
# A configuration takes six that stand together.
ACTIONS = ["maildir-alias", "mbox", "forward-only", "relay-host", "mda", "maildir-path",
           "maildir-virtual", "mbox-alias", "expand-only", "relay", "lmtp", "mda-user",
           "maildir-virtual-user", "mda-virtual", "forward-only-virtual", "relay-domain", "lmtp-rcpt-to", "maildir",
           "maildir-userbase", "lmtp-socket", "expand-only-virtual", "relay-host-options", "maildir-junk", "relay-src"]

SOURCES = ["127.0.0.1", "127.0.0.0/8", "192.0.2.0/24", "192.0.2.9", "198.51.100.0/24", "198.51.100.10", "203.0.113.0/28",
           "2001:db8:1::/64", "[2001:db8:1::9]", "::1", "0.0.0.0/0", "local", "192.0.2.1"]
SOURCE_REGEX = ["^198\\.51\\.", "^127\\.", "\\.9$", "^2001:", "0\\.2\\.", "^(192|203)\\."]
RDNS_REGEX = ["\\.isp\\.test$", "^dyn-[0-9]+", "(?i)FRIEND", "^mx\\."]
HELOS = ["client.example", "*.friend.test", "localhost", "upper.example", "[192.0.2.9]", "*.example"]
HELO_REGEX = ["\\.example$", "^dyn", "^\\[", "friend|local"]
SENDERS = ["alice@friend.test", "@friend.test", "bob", "@*.test", "news@list.example", "@v1.test", "@", "O.dot@elsewhere.test",
           "Sender@client.example", "ken+tag@friend.test"]
SENDER_REGEX = ["@friend\\.test$", "^news", "\\+", "^$", "^[a-m]", "(?i)^SENDER@"]
RECIPIENTS = ["alice@example.test", "@v1.test", "bob", "@*.v1.test", "postmaster", "ken+work@example.test", "@elsewhere.test",
              "carol@*", "o.dot@host.example.test", "@localhost", "Alice@V2.Test"]
RECIPIENT_REGEX = ["^alice", "@v[12]\\.test$", "\\+", "[0-9]", "^(bob|carol|dave)@", "@.*relay1", "^post", "(?i)^LIST"]
DOMAIN_GLOBS = ["*.v1.test", "*.test", "v?.test", "*.sub.v1.test", "*", "[127.0.0.1]", "[192.0.2.1]", "*.relay1.test", "EXAMPLE.test"]
DOMAIN_REGEX = ["^v[0-9]\\.test$", "\\.v1\\.test$", "relay", "(?i)^EXAMPLE", "^[a-m]", "test$"]
TAGS = ["inside", "OUTER", "nothing"]

ALIAS_KEYS = ["postmaster", "list1", "list2", "loop1", "loop2", "gone", "busy", "program", "file", "included", "alice", "bob+work",
              "bob", "o.dot", "deep1", "deep2", "deep3", "root", "abuse", "broken", "self", "mixed", "fails", "u_score"]

ODD_IN_DATABASES = ("!", ":error:", "\\")


def alias_value(random, key):
    """What an alias of this name says; the names that promise something keep it."""
    fixed = {
        "loop1": "loop2", "loop2": "loop1", "gone": "error:550 5.1.6 Moved away", "busy": ":error:450 4.2.1 Come back",
        "program": f'"|{RECORD} alias two"', "file": f"{APPENDED}/archive", "included": f":include:{FOLDER}/list",
        "deep1": "deep2", "deep2": "deep3", "deep3": "alice", "broken": "al ice!, bob", "self": "self, alice",
        "mixed": f"alice, someone@elsewhere.test, {APPENDED}/mixed", "fails": f"|{RECORD} fail69",
    }
    if key in fixed and random.random() < 0.85:
        return fixed[key]
    pool = list(fixtures.ACCOUNTS) + ["alice+tagged", "ken+a+b", "unknownuser", "Carol", "\\bob", "o.dot", "root", "daemon"]
    pool += [f"{user}@{domain}" for user in ("alice", "bob", "nosuch", "ken+x") for domain in ALL_DOMAINS[:6] + ("localhost",)]
    return ", ".join(random.choice(pool) for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))))


class Writer:
    """One configuration while it is written."""

    def __init__(self, random, index):
        self.random = random
        self.index = index
        self.files = {}
        self.tables = []
        self.features = set()

    def entry(self, word):
        return '"' + word.replace('"', '\\"') + '"'

    def table(self, words, how_many=(1, 3)):
        """Some of `words` as a table: written in place, static, or a file."""
        random = self.random
        chosen = random.sample(words, min(len(words), random.randint(*how_many)))
        form = random.choice(("word", "inline", "inline", "static", "file"))
        self.features.add(f"table {form}")
        if form == "word":
            return self.entry(chosen[0])
        if form == "inline":
            return "{ " + ", ".join(self.entry(word) for word in chosen) + " }"
        name = f"t{len(self.tables)}"
        if form == "static":
            self.tables.append(f"table {name} {{ " + ", ".join(self.entry(word) for word in chosen) + " }")
        else:
            # An address of IPv6 first in the file would make it a mapping (checklist §2).
            chosen.sort(key=lambda word: (":" in word, word))
            self.files[name] = "# drawn\n\n" + "".join(f"{word}\n" for word in chosen)
            if ":" in chosen[0]:
                self.files[name] = "192.0.2.77\n" + self.files[name]
            self.tables.append(f"table {name} file:{FOLDER}/{name}")
        return f"<{name}>"

    def mapping(self, prefix, pairs, backend=None):
        name = f"{prefix}{len(self.tables)}"
        backend = backend or self.random.choice(("file", "file", "db", "static"))
        self.features.add(f"mapping {backend}")
        if backend == "static":
            inside = ", ".join(f"{self.entry(key)} = {self.entry(value)}" for key, value in pairs)
            self.tables.append(f"table {name} {{ {inside} }}")
        else:
            between = ": " if all(":" not in key and not key.startswith("[") for key, _ in pairs) else " "
            self.files[name] = "".join(f"{key}{between}{value}\n" for key, value in pairs)
            self.tables.append(f"table {name} file:{FOLDER}/{name}" if backend == "file" else f"table {name} db:{FOLDER}/{name}.db")
        return f"<{name}>"

    def aliases(self):
        keys = self.random.sample(ALIAS_KEYS, self.random.randint(10, len(ALIAS_KEYS)))
        pairs = [(key, alias_value(self.random, key)) for key in keys]
        backend = self.random.choice(("file", "file", "db", "static"))
        if backend == "static":
            pairs = [(key, value) for key, value in pairs if '"' not in value]
        if backend == "db":  # makemap refuses what means nothing
            pairs = [(key, value) for key, value in pairs if not any(odd in value for odd in ODD_IN_DATABASES)]
        return self.mapping("aliases", pairs, backend)

    def virtuals(self, user=None):
        random = self.random
        pairs = {}
        targets = [user] if user else list(fixtures.ACCOUNTS) + ["vera", "victor"]

        def value():
            if user and random.random() < 0.8:
                return user
            if random.random() < 0.6:
                return random.choice(targets)
            return alias_value(random, random.choice(ALIAS_KEYS))
        domains = list(fixtures.HOSTED_DOMAINS) + [fixtures.MAILNAME]
        for name in random.sample(("alice", "bob", "carol", "ken", "postmaster", "sales", "info", "o.dot", "list1"), 6):
            pairs[f"{name}@{random.choice(domains)}"] = value()
        for domain in random.sample(domains, 2):
            pairs[f"ken+work@{domain}"] = value()
        if random.random() < 0.5:
            pairs[random.choice(("abuse", "postmaster", "root", "bob"))] = value()
        if random.random() < 0.4:
            pairs["bob+work"] = value()
        if random.random() < 0.5:
            pairs[f"@{random.choice(domains)}"] = value()
        if random.random() < 0.15:
            pairs["@"] = value()
        pairs = [(key, value) for key, value in pairs.items() if not any(odd in value for odd in ODD_IN_DATABASES + ('"',))]
        return self.mapping("virtuals", pairs)

    def userbase(self):
        """Users of a table. Their homes are not those of the accounts: 6.8 reads a .forward in spite of `user`, the checklist (§5)
        and we do not."""
        pairs = []
        for number, name in enumerate(list(fixtures.VIRTUAL_USERS) + self.random.sample(fixtures.ACCOUNTS[:6], 3)):
            uid = fixtures.FIRST_UID + 100 + number % 3
            pairs.append((name, f"{uid}:{uid}:/var/home/{fixtures.VIRTUAL_USERS[number % 3]}"))
        return self.mapping("users", pairs, self.random.choice(("file", "static")))

    # --- listeners ---

    def listeners(self):
        random = self.random
        lines = []
        for port in fixtures.PORTS:
            options = ""
            if port == 587 or random.random() < 0.2:
                options += f" tag {random.choice(('INSIDE', 'Outer', 'inside'))}"
            if port == 2500 and random.random() < 0.7:
                options += " hostname other.example.test" if random.random() < 0.5 else " hostnames " + self.mapping(
                    "names", [(world.OUR_ADDRESS, "named.example.test"), ("127.0.0.1", "loop.example.test")], "static")
            if random.random() < 0.3:
                options += " mask-src"
            if random.random() < 0.2:
                options += " no-dsn"
            for address in ("127.0.0.1", world.OUR_ADDRESS, world.OUR_ADDRESS6):
                family = random.choice(("", "", " inet6" if ":" in address else " inet4"))
                lines.append(f'listen on "{address}"{family} port {port}{options}')
        if random.random() < 0.3:
            lines.append("listen on socket tag SOCKET")
        return lines

    # --- actions ---

    def action(self, kind):
        random, name = self.random, f"do-{kind}"
        self.features.add(f"action {kind}")
        tail = random.choice(("", "", " ttl 2h", " ttl 1d"))
        body = {
            "maildir": lambda: "maildir",
            "maildir-alias": lambda: f"maildir alias {self.aliases()}",
            "maildir-path": lambda: "maildir " + self.entry(random.choice((
                "~/mail/%{rcpt.domain}", "~/%{dest.user:lowercase|strip}", "~/box/%{sender.domain:lowercase}/%{dest.user[0]}",
                "~/%{user.username}-%{rcpt.user[-3:]:uppercase}"))),
            "maildir-virtual": lambda: f"maildir virtual {self.virtuals()}",
            "maildir-virtual-user": lambda: 'maildir "/var/vmail/%{dest.domain:lowercase}/%{dest.user'
                                            + random.choice(("", ":lowercase", ":lowercase|strip"))
                                            + f'}}" virtual {self.virtuals("vmail")} user vmail',
            "maildir-userbase": lambda: f"maildir virtual {self.virtuals()} userbase {self.userbase()}",
            "maildir-junk": lambda: "maildir junk" + random.choice(("", f" alias {self.aliases()}")),
            "mbox": lambda: "mbox",
            "mbox-alias": lambda: f"mbox alias {self.aliases()}",
            "mda": lambda: "mda " + self.entry(f"{RECORD} '%{{user.username}}' '%{{rcpt}}' '%{{dest}}' '%{{sender}}'"),
            "mda-user": lambda: "mda " + self.entry(f"{RECORD} '%{{dest.user:lowercase}}' '%{{dest.domain}}' '%{{mbox.from}}' "
                                                     "'%{user.username}' '%{user.directory}'")
                                + f" alias {self.aliases()} user vmail2 userbase {self.userbase()}",
            "mda-virtual": lambda: "mda " + self.entry(f"{RECORD} '%{{dest.user[0:2]}}' '%{{user.directory}}'")
                                   + f" virtual {self.virtuals()}",
            "lmtp": lambda: f'lmtp "{fixtures.LMTP_SINK[0]}:{fixtures.LMTP_SINK[1]}"' + random.choice(
                ("", f" alias {self.aliases()}")),
            "lmtp-rcpt-to": lambda: f'lmtp "{fixtures.LMTP_SINK[0]}:{fixtures.LMTP_SINK[1]}" rcpt-to virtual {self.virtuals()}',
            "lmtp-socket": lambda: f'lmtp "{fixtures.LMTP_SOCKET}" user vmail userbase {self.userbase()}',
            "forward-only": lambda: "forward-only" + random.choice(("", f" alias {self.aliases()}")),
            "forward-only-virtual": lambda: f"forward-only virtual {self.virtuals()}",
            "expand-only": lambda: f"expand-only alias {self.aliases()}",
            "expand-only-virtual": lambda: f"expand-only virtual {self.virtuals()}",
            "relay": lambda: "relay" + random.choice(("", " helo relay.example.test")),
            "relay-host": lambda: f'relay host "smtp+notls://{world.PEER_ADDRESS}:{fixtures.SMTP_SINK[1]}"',
            "relay-host-options": lambda: f'relay host "smtp+notls://{world.PEER_ADDRESS}:{fixtures.SMTP_SINK[1]}" '
                                          + random.choice(('mail-from "@masked.test"', 'mail-from "us@masked.test"')) + random.choice(
                                              ("", " helo smart.example.test")),
            "relay-domain": lambda: "relay domain " + self.mapping("routes", [
                (domain, f"smtp+notls://{world.PEER_ADDRESS}:{fixtures.SMTP_SINK[1]}") for domain in ALL_DOMAINS], "static"),
            "relay-src": lambda: f"relay src {world.OUR_ADDRESS}",
        }[kind]()
        return name, f'action "{name}" {body}{tail}'

    # --- rules ---

    def condition(self, word):
        """A condition by its name above, as text."""
        self.features.add(f"condition {word}")
        negation, plain = ("!", word[1:]) if word.startswith("!") else ("", word)
        tables = {
            "from src": (SOURCES, "from src"), "from src-regex": (SOURCE_REGEX, "from src regex"),
            "from rdns-regex": (RDNS_REGEX, "from rdns regex"),
            "from mail-from": (SENDERS, "from mail-from"), "from mail-from-regex": (SENDER_REGEX, "from mail-from regex"),
            "for domain": (list(ALL_DOMAINS) * 2 + DOMAIN_GLOBS, "for domain"),
            "for domain-regex": (DOMAIN_REGEX, "for domain regex"),
            "for rcpt-to": (RECIPIENTS, "for rcpt-to"), "for rcpt-to-regex": (RECIPIENT_REGEX, "for rcpt-to regex"),
            "tag": (TAGS, "tag"), "tag-regex": (["^in", "ER$", "(?i)^OUT"], "tag regex"),
            "helo": (HELOS, "helo"), "helo-regex": (HELO_REGEX, "helo regex"),
            "mail-from": (SENDERS, "mail-from"), "mail-from-regex": (SENDER_REGEX, "mail-from regex"),
            "rcpt-to": (RECIPIENTS, "rcpt-to"), "rcpt-to-regex": (RECIPIENT_REGEX, "rcpt-to regex"),
            "auth-list": (["alice", "bob@example.test"], "auth"), "auth-regex": (["^a", "b"], "auth regex"),
        }
        if plain not in tables:
            return f"{negation}{plain}".strip()
        words, text = tables[plain]
        return f"{negation}{text} {self.table(list(dict.fromkeys(words)))}"

    def rule(self, actions, number):
        random = self.random
        # In turn for some, drawn for the others: in twenty configurations every word has come several times.
        turn = self.index * 9 + number
        origin = ORIGINS[turn % len(ORIGINS)] if number % 3 == 0 else random.choice(("from any", "from any", "", "from local"))
        destination = DESTINATIONS[turn % len(DESTINATIONS)] if number % 3 == 1 else random.choice(
            ("for domain", "for domain", "for rcpt-to", "for any", "for local", ""))
        words = [origin, destination]
        if number % 3 == 2:
            words.append(TRANSACTIONS[turn // 3 % len(TRANSACTIONS)])
        elif random.random() < 0.3:
            words.append(random.choice(TRANSACTIONS))
        words = self.compatible(words)
        # A rule that takes everything would leave nothing to those behind it.
        if words[1] in ("for any", "!for domain", "!for rcpt-to", "!for domain-regex", "!for local") and len(words) < 3:
            words.append(random.choice(("tag", "helo", "mail-from", "rcpt-to-regex", "helo-regex", "mail-from-regex")))
            words = self.compatible(words)
        random.shuffle(words)
        text = " ".join(filter(None, (self.condition(word) for word in words if word)))
        verdict = "reject" if random.random() < 0.12 else f'action "{random.choice(actions)}"'
        return f"match {text} {verdict}".replace("  ", " ")

    @staticmethod
    def compatible(words):
        """`from mail-from` and a criterion `mail-from` are the same option (checklist §3, match): not both."""
        seen, out = set(), []
        for word in words:
            base = word.lstrip("!").split(" ")[-1].split("-regex")[0]
            base = {"auth-list": "auth", "auth-regex": "auth"}.get(base, base)
            if base in ("mail-from", "rcpt-to", "auth") and base in seen:
                continue
            seen.add(base)
            out.append(word)
        return out

    def write(self):
        random = self.random
        per_file = 6
        kinds = [ACTIONS[(self.index * per_file + i) % len(ACTIONS)] for i in range(per_file)]
        kinds += [random.choice(ACTIONS)] if random.random() < 0.5 else []
        actions, lines = [], []
        for kind in dict.fromkeys(kinds):
            name, text = self.action(kind)
            actions.append(name)
            lines.append(text)
        listeners = self.listeners()
        rules = [self.rule(actions, number) for number in range(random.randint(5, 12))]
        # Something takes most of what is left, so that deliveries are many.
        local = [name for name in actions if "relay" not in name]
        local = [name for name in local if "-only" not in name] * 3 + local
        outbound = [name for name in actions if "relay" in name]
        rules.append(f'match from any for domain {self.table(list(fixtures.HOSTED_DOMAINS), (2, 4))} action "{random.choice(local)}"')
        rules.append(f'match from any for local action "{random.choice(local)}"')
        if outbound:
            rules.append(f'match {random.choice(("from local", "from any", "from src 192.0.2.0/24"))} for any '
                         f'action "{random.choice(outbound)}"')
        settings = [] if random.random() < 0.8 else ['smtp sub-addr-delim "-"' if random.random() < 0.5 else "smtp limit max-rcpt 5"]
        if random.random() < 0.15:
            settings.append("smtp max-message-size 6K")
        # 6.8 rests for seconds between connections; so long nobody wants to wait.
        settings += [f"mta limit conn-delay-{what} 0" for what in ("route", "relay")] + ["mta limit max-conn-per-route 20"]
        self.files["list"] = "# members\nalice, carol\nsomeone@elsewhere.test\n"
        text = "\n".join(self.tables + settings + listeners + lines + rules) + "\n"
        self.features.update(f"setting {line.split(' ')[1]}" for line in settings if line.startswith("smtp"))
        return {"text": text, "files": self.files, "features": sorted(self.features)}


def generate(random, index):
    return Writer(random, index).write()
