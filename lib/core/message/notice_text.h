// The strings of notices (DSN, MDN, feedback): what comes from strangers, made fit for its place.
//
// A notice is ASCII unless it goes out with SMTPUTF8. Without it names are written as A-labels,
// addresses in the forms of RFC 6533 §3, and other text with \x{HEX} for what is not ASCII; nothing
// is lost on the way. Text for people is UTF-8 in quoted-printable.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/mail/address.h"

namespace postern::message {

// NoticeText is `text`, cut to its first 2,000 octets, on one line, in valid UTF-8 without control
// characters: CR, LF and TAB become blanks, other controls "?", broken octets U+FFFD.
std::string NoticeText(std::string_view text);

// NoticeField is NoticeText for a field: as it is where `utf8`, otherwise with \x{HEX} for what is
// not ASCII.
std::string NoticeField(std::string_view text, bool utf8);

// NoticeHost is the name of a host in A-labels; what converts to none is written as a NoticeField.
std::string NoticeHost(std::string_view name);

// AsciiAddress is an address whose domain is in A-labels; nullopt when that does not make it ASCII.
std::optional<std::string> AsciiAddress(const mail::Address& address);

// NoticeMailbox is an address for From or To, with its brackets. One that is not ASCII and may not
// be written is named by a group without members (RFC 6857 §3.1.8 does it alike).
std::string NoticeMailbox(const mail::Address& address, bool utf8);

// TypedAddress is an address in the fields for programs (RFC 3464 §2.3.1, RFC 6533 §3):
// "rfc822; a@b.example", "utf-8; ..." with UTF-8 or with \x{HEX}.
std::string TypedAddress(const mail::Address& address, bool utf8);
// The same for an address as text, which may be none.
std::string TypedAddress(std::string_view address, bool utf8);

// TypedOriginal is ORCPT, "type;address", as a field value; "" when it is not of that form.
std::string TypedOriginal(std::string_view orcpt, bool utf8);

}  // namespace postern::message
