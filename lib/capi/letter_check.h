// What may stand in a letter made through the C API: the fields that a caller gives by name, the
// types and ids of attachments.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::capi {

// FieldRule tells what becomes of a field that is given as text.
enum class FieldRule : unsigned char {
  kAdd,      // it may stand often
  kReplace,  // it may stand once (RFC 5322 §3.6): the last one counts
};

// CheckField judges a field of text. It refuses names that are none, fields that the letter writes
// itself, address fields (postern_letter_address writes those), a Date that nobody can read, a
// Message-ID that is none. `*text` may be put into its right form.
StatusOr<FieldRule> CheckField(std::string_view name, std::string* text);

// CheckAddressField judges the name of a field of mailboxes. `*single`: only one may stand there.
Status CheckAddressField(std::string_view name, bool* single);

// CheckAttachmentType takes "type/subtype; name=value" of RFC 2045 §5.1 in ASCII on one line, and
// no multipart, which a file cannot be.
Status CheckAttachmentType(std::string_view type);

// ContentId is `id` in its brackets when it is a msg-id of RFC 5322 §3.6.4 with or without them.
StatusOr<std::string> ContentId(std::string_view id);

}  // namespace postern::capi
