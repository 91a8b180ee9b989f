// Writing messages: header fields that fold, and a MIME tree whose encodings are chosen by content
// (RFC 5322, 2045, 2046).
//
// No string given here can break out of its field: CR, LF and NUL become blanks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::message {

// AppendHeader writes "name: value" folded at blanks to lines of at most 78 characters, 76 with
// encoded words (RFC 2047 §2), where the value allows it and never over 998 (RFC 5322 §2.1.1),
// ended by CRLF. `value` is ready for the header (ASCII, or UTF-8 in a message that may have it).
void AppendHeader(std::string_view name, std::string_view value, std::string& out);

// AppendTextHeader writes an unstructured field (Subject, Comments) of UTF-8 text, as encoded words
// where it must: also a word too long for a line. Of List-Id the brackets stay as they are.
void AppendTextHeader(std::string_view name, std::string_view text, std::string& out);

// AppendAddressHeader writes mailboxes of (name, address); nothing when the list is empty.
void AppendAddressHeader(std::string_view name,
                         const std::vector<std::pair<std::string, std::string>>& mailboxes,
                         std::string& out);

// ContentEncoding is how a body is written.
enum class ContentEncoding : unsigned char { k7Bit, k8Bit, kQuotedPrintable, kBase64 };

// ChooseEncoding gives the smallest encoding that every path carries: 7bit for short ASCII lines
// with CRLF ends, quoted-printable for text that is mostly ASCII, else base64 (RFC 2045 §6).
// `is_text`: line ends may be written as CRLF.
ContentEncoding ChooseEncoding(std::string_view content, bool is_text);
std::string_view ContentEncodingName(ContentEncoding encoding);

// ContentSource gives the octets of a content that is not held in memory: it writes up to `size`
// octets to `to` and tells how many, 0 at the end. An error ends the whole message.
using ContentSource = std::function<StatusOr<size_t>(char* to, size_t size)>;

// OutgoingPart is one node of the tree that AppendPart writes: a leaf with `content` or `source`,
// or a multipart with `parts`.
struct OutgoingPart {
  std::string content_type =
      "text/plain; charset=utf-8";  // of a multipart without boundary: "multipart/mixed"
  std::string file_name;            // UTF-8; makes it an attachment
  std::string content_id;           // with the angle brackets, for multipart/related
  // Octets; of text: UTF-8. Lines of text/* and message/* may end in LF, they are written with
  // CRLF; text of a UTF-16 or UTF-32 charset, or with NUL, is left as it is.
  std::string content;
  std::vector<std::pair<std::string, std::string>> headers;  // more fields
  std::vector<OutgoingPart> parts;
  bool is_inline = false;  // shown where it stands (RFC 2183 §2.1), also with a file name
  ContentSource
      source;  // instead of `content`; written in base64, of message/*: as 8bit (RFC 2046 §5.2.1)
};

// AppendPart writes the fields of `part`, an empty line, and its body. A multipart with an 8bit
// part says so itself (RFC 2045 §6.4). `boundary_seed` is random (rt::Random, in letters and
// digits, at least 16): boundaries are made of it and a number, so that none can stand in a content
// that was there before. Parts with a source are written empty: they want WritePart.
void AppendPart(const OutgoingPart& part, std::string_view boundary_seed, std::string& out);

// WritePart does the same into `sink`, which gets the octets in pieces of some 64 KiB and may fail;
// sources are read as it goes, so a large attachment costs no more memory than a piece. A message/*
// with a line over 998 octets is InvalidArgument (RFC 5322 §2.1.1), message/global goes in base64.
using OctetSink = std::function<Status(std::string_view octets)>;
Status WritePart(const OutgoingPart& part, std::string_view boundary_seed, const OctetSink& sink);

// Letter is what a person or a program wants to say; ComposeLetter makes the MIME tree of it.
struct Letter {
  std::string text;  // UTF-8; lines end in LF or CRLF
  std::string html;  // the same said in HTML; either may be empty
  // Pictures and the like that the HTML names by "cid:" and their content_id (RFC 2392).
  std::vector<OutgoingPart> related;
  std::vector<OutgoingPart> attachments;
};

// ComposeLetter gives multipart/mixed of the body and the attachments, multipart/alternative of
// text and HTML, multipart/related of HTML and what it shows (RFC 2046 §5.1.3, §5.1.4, RFC 2387);
// each level only where there are two things to put into it.
OutgoingPart ComposeLetter(Letter letter);

}  // namespace postern::message
