// What people read of a delivery status notification: the subject and the text part. It says in one
// sentence what became of which message, then for each recipient the words of whoever decided, and
// what the sender can do about it.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/mail/reply.h"
#include "lib/core/message/dsn.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// ReplyText is a reply on one line, as Reply::ToString has it, with its UTF-8 kept.
std::string ReplyText(const mail::Reply& reply);

// DsnSubject is the Subject of the notice: "Undelivered: Lunch on Friday". The subject of
// `original` is repeated as it stands when it is ASCII and not too long.
std::string DsnSubject(const DsnRequest& request, const MessageView& original);

// DsnText is the text part: lines of at most 76 characters where the words allow it, ended by CRLF.
// UTF-8 where an address, a subject or a reply is.
std::string DsnText(const DsnRequest& request, const MessageView& original);

}  // namespace postern::message
