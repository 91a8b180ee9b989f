// What options of notices may say (notice_capi.cc): each gives what is written, or an error that
// tells what is wrong with it.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/reply.h"

namespace postern::capi {

// NoticeAddress reads an address that is written into a header field. Without `utf8` its domain is
// in A-labels, and one with other than ASCII before the "@" is an error.
StatusOr<mail::Address> NoticeAddress(std::string_view what, const char* text, bool utf8);

// AsciiHost reads the name of a host; the result is in A-labels.
StatusOr<std::string> AsciiHost(std::string_view what, const char* text);

// LooseAddress is an address that strangers gave, its domain in A-labels where that works.
std::string LooseAddress(std::string_view text);

// ReplyOf reads a reply of one line or, as it came over the wire, of several: "550-5.7.1 no" and
// "550 5.7.1 never" (RFC 5321 §4.2.1).
StatusOr<mail::Reply> ReplyOf(std::string_view text);

// CheckFeedback checks the strings of a report that have a grammar: a type (RFC 5965 §3.1: a
// token), an IP address or none.
Status CheckFeedback(std::string_view feedback_type, std::string_view source_ip);

// CheckDeliveryResult: empty, or a word of RFC 6591 §3.2.2.
Status CheckDeliveryResult(std::string_view word);

}  // namespace postern::capi
