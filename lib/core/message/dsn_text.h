// What people read of a delivery status notification: the subject and the text part. It says in one
// sentence what became of which message, then for each recipient the words of whoever decided, and
// what the sender can do about it.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/mail/address.h"
#include "lib/core/message/dsn.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// PrintableLine is `text`, cut to its first 2,000 octets, with only printable ASCII and on one
// line: what comes from outside may stand in a notice like that.
std::string PrintableLine(std::string_view text);

// AddressForPeople is an address in the text and the header of a notice: UTF-8 only where
// `smtputf8` allows it.
std::string AddressForPeople(const mail::Address& address, bool smtputf8);

// DsnSubject is the Subject of the notice: "Undelivered: Lunch on Friday". The subject of
// `original` is repeated as it stands when it is ASCII and not too long.
std::string DsnSubject(const DsnRequest& request, const MessageView& original);

// DsnText is the text part: lines of at most 76 characters where the words allow it, ended by CRLF.
// ASCII, unless request.smtputf8 lets UTF-8 addresses in.
std::string DsnText(const DsnRequest& request, const MessageView& original);

}  // namespace postern::message
