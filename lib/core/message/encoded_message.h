// Messages inside messages that were written in base64 or quoted-printable: RFC 6532 §3.7 allows it
// for message/global, and some programs do it to message/rfc822 although RFC 2046 §5.2.1 forbids
// it. ParseMessage, which decodes nothing, leaves them closed; this opens them for who wants to
// know what is inside. What IMAP tells, and what is rewritten on the way, is of the octets that
// came.
#pragma once

#include <cstddef>

#include "lib/core/message/parser.h"

namespace postern::message {

// EncodedLimits bound what is opened. What is past them stays closed.
struct EncodedLimits {
  size_t max_levels = 3;                // one in another
  size_t max_decoded_bytes = 64 << 20;  // of all of them together
};

// OpenEncodedMessages decodes them and puts their parts below theirs, which become
// PartKind::kMessage; their octets belong to the view and its copies (Part::source). `options` are
// those of the parse: its bounds hold for all parts together. Defects inside have the offset of the
// part that was opened. Linear time.
void OpenEncodedMessages(MessageView* message, const ParseOptions& options = {},
                         const EncodedLimits& limits = {});

}  // namespace postern::message
