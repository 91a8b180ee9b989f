// Decoded content: bodies in their octets, and text for search.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/base64.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// DecodeBody undoes the transfer encoding of a leaf and adds the octets to `out`. False when the
// encoded text was not correct.
bool DecodeBody(const MessageView& message, const Part& part, std::string& out);

// BodyReader gives the same octets piece by piece, so that a body of any size is read in little
// memory. It lends the message and keeps nothing else of it.
class BodyReader {
 public:
  // `piece_bytes` is how many octets of the message are decoded at a time, at least 64. A piece is
  // longer where quoted-printable has more blanks in a row than that.
  BodyReader(const MessageView& message, const Part& part, size_t piece_bytes = 16 * 1024);
  // Next lends the next octets, at least one, until the next call; false at the end.
  bool Next(std::string_view* piece);
  // correct tells, at the end, whether the encoded text was.
  bool correct() const { return correct_; }

 private:
  // NextCut tells how much of what is left makes the next piece.
  size_t NextCut() const;

  std::string_view left_;
  TransferEncoding encoding_;
  size_t piece_bytes_;
  mail::Base64Decoder base64_;
  std::string buffer_;
  bool correct_ = true;
};

// DecodeBodyText is DecodeBody and the charset of a text part: UTF-8, NUL as U+FFFD, without a byte
// order mark in front (RFC 3629 §6). Line ends stay as they are. HTML that names no charset in its
// header is read in the one that its own <meta> names. Of the encoded octets at most `max_bytes`
// are read.
std::string DecodeBodyText(const MessageView& message, const Part& part,
                           size_t max_bytes = std::string_view::npos);

// ContentDefects decodes every leaf and lists what is wrong with its encoding and, of text, with
// its charset; at most `max_defects`. Time is linear in the message.
std::vector<DefectAt> ContentDefects(const MessageView& message, size_t max_defects = 100);

// TextOptions bound what is gathered for search.
struct TextOptions {
  size_t max_bytes = 16 << 20;  // of the result; what is past it is not found
  bool headers = true;  // the header fields of the message and of its parts (SEARCH TEXT); without:
                        // SEARCH BODY
  bool bodies = true;   // text parts and the messages inside
  bool fold_case = true;  // by Unicode's default folding
  // HTML as its reader sees it: entities resolved, tags gone (html_text.h). Without, its source.
  bool html_as_text = true;
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
