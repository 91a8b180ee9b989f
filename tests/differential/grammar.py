"""RFC 5321's Path (§4.1.2, with RFC 6531's characters), as an opinion of its own on the arguments of MAIL and RCPT."""

import ipaddress
import re

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
QUOTED = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"'
LABEL = r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\u0080-\U0010ffff-]*[A-Za-z0-9\u0080-\U0010ffff])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})*"
LITERAL = r"\[[!-Z^-~]*\]"
ROUTE = rf"@(?:{DOMAIN}|{LITERAL})(?:,@(?:{DOMAIN}|{LITERAL}))*:"
MAILBOX = rf"(?P<local>{ATOM}(?:\.{ATOM})*|{QUOTED})@(?P<domain>{DOMAIN}|{LITERAL})"
PATH = re.compile(rf"<(?:{ROUTE})?{MAILBOX}>(?P<rest>.*)", re.S)


def literal_is_right(text):
    inside = text[1:-1]
    try:
        if inside.lower().startswith("ipv6:"):
            ipaddress.IPv6Address(inside[5:])
        else:
            ipaddress.IPv4Address(inside)
    except ValueError:
        return False
    return True


def path_is_right(argument, reverse):
    """Whether a command's argument begins with a right path and goes on with a blank or nothing. A reverse-path may be empty, a
    forward-path "<Postmaster>"."""
    if reverse and re.match(r"<>( |$)", argument):
        return True
    if not reverse and re.match(r"<postmaster>( |$)", argument, re.I):
        return True
    found = PATH.match(argument)
    if not found or not re.match(r"( |$)", found["rest"]):
        return False
    local, domain = found["local"], found["domain"]
    # §4.5.3.1.1, .2, .3; RFC 1035 §2.3.4
    if len(local.encode()) > 64 or len(domain.encode()) > 255 or len(local.encode()) + len(domain.encode()) + 3 > 256:
        return False
    if domain.startswith("["):
        return literal_is_right(domain)
    return all(len(label.encode()) <= 63 for label in domain.split("."))


def mailbox(argument):
    """(local part without quotes, domain in lower case) of the path, or None."""
    found = PATH.match(argument.lstrip())
    if not found:
        return None
    local = found["local"]
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return local, found["domain"].lower()


def parameters(argument):
    """What follows the path."""
    found = PATH.match(argument) or re.match(r"<[^>]*>(?P<rest>.*)", argument, re.S)
    return found["rest"].split() if found else []


XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+"
OF_MAIL = {"SIZE": r"\d{1,20}", "BODY": "(?i:7BIT|8BITMIME|BINARYMIME)", "RET": "(?i:FULL|HDRS)", "ENVID": XTEXT, "SMTPUTF8": None}
OF_RCPT = {"NOTIFY": "(?i:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)", "ORCPT": rf"[A-Za-z0-9-]+;{XTEXT}"}


def parameters_are_right(argument, mail, extended, no_dsn):
    """Whether all that follows the path may stand there (RFC 5321 §4.1.2, RFC 1870, 3030, 3461, 6152, 6531): known, offered (AUTH is
    not), once, with a value that means something."""
    found = PATH.match(argument) or re.match(r"<[^>]*>(?P<rest>.*)", argument, re.S)
    rest = found["rest"] if found else ""
    if rest and not rest.startswith(" "):
        return False
    seen = set()
    for each in rest.split():
        name, equals, value = each.partition("=")
        name = name.upper()
        form = (OF_MAIL if mail else OF_RCPT).get(name, "nothing")
        if not extended or name in seen or form == "nothing" or (no_dsn and name in ("RET", "ENVID", "NOTIFY", "ORCPT")):
            return False
        if (form is None) != (not equals) or (form is not None and not re.fullmatch(form, value)):
            return False
        seen.add(name)
    return True
