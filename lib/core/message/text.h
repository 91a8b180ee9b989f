// Decoded content: bodies in their octets, and text for search.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/core/message/parser.h"

namespace postern::message {

// DecodeBody undoes the transfer encoding of a leaf and adds the octets to `out`. False when the
// encoded text was not correct.
bool DecodeBody(const MessageView& message, const Part& part, std::string& out);

// DecodeBodyText is DecodeBody and the charset of a text part: UTF-8, NUL as U+FFFD. Line ends stay
// as they are.
std::string DecodeBodyText(const MessageView& message, const Part& part);

// TextOptions bound what is gathered for search.
struct TextOptions {
  size_t max_bytes = 16 << 20;  // of the result; what is past it is not found
  bool headers = true;  // the header fields of the message and of its parts (SEARCH TEXT); without:
                        // SEARCH BODY
  bool bodies = true;   // text parts and the messages inside
  bool fold_case = true;  // by Unicode's default folding
};

// DecodedText gathers the text of a message for SEARCH TEXT and SEARCH BODY (RFC 3501 §6.4.4):
// header values with encoded words decoded, text parts with transfer encoding and charset decoded,
// nested messages alike; pieces are separated by a line end. Line ends are LF. Compare it with
// FoldCase of the client's string.
std::string DecodedText(const MessageView& message, const TextOptions& options = {});

// DecodedHeader gives each field `name` of the message's own header, decoded and, with `fold_case`,
// folded, one a line: for SEARCH SUBJECT, FROM, TO, CC, BCC and HEADER. `found` says whether there
// was such a field at all. Addresses are searched as written and decoded: name and address both
// stand there.
std::string DecodedHeader(const MessageView& message, std::string_view name, bool fold_case,
                          bool* found);

}  // namespace postern::message
