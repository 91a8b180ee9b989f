// What is wrong with the fields and the octets of a message, beyond its structure: found only when
// somebody asks, because fields are decoded and bodies read for it.
//
// Each function gives at most `max_defects`, in the order of the parts, of each kind at most one a
// field or a body, at the first place where it shows. Time is linear in the message.
#pragma once

#include <cstddef>
#include <vector>

#include "lib/core/message/parser.h"

namespace postern::message {

// FieldDefects reads every field that is listed: fields that may stand once and stand twice (RFC
// 5322 §3.6, RFC 2045 §3), dates, addresses, encoded words and MIME parameters that cannot be read,
// charsets that nobody knows, blanks before the colon (RFC 5322 §4.5), lines over 998 octets, bare
// LF.
std::vector<DefectAt> FieldDefects(const MessageView& message, size_t max_defects = 100);

// OctetDefects reads the bodies of leaves as they stand: what their Content-Transfer-Encoding does
// not allow (RFC 2045 §2.7, §2.8, §6.2): octets over 127 unless it is 8bit, NUL, CR and LF without
// one another, lines over 998 octets. A "binary" body may have them all. In a message whose first
// line ends in LF alone, LF is how this file ends its lines and no defect.
std::vector<DefectAt> OctetDefects(const MessageView& message, size_t max_defects = 100);

}  // namespace postern::message
