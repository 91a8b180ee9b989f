// The message parser: header fields and MIME tree as views into the caller's octets (RFC 5322,
// 2045, 2046, 6532).
//
// It copies nothing and decodes nothing; it reads each octet of a multipart once, looking only for
// delimiter lines, and does not read the body of a leaf message at all. It takes any octets: a
// message is never refused, its defects are listed. CRLF and LF both end lines; a CR alone does
// not. Time is linear in the input, memory is bounded by ParseOptions; there is no recursion.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/message/header_field.h"

namespace postern::message {

// ParseOptions are the bounds of one parse.
struct ParseOptions {
  // How deep parts may stand in one another; each multipart and each message/rfc822 is a level. A
  // part at the limit is one opaque part whatever its type says (Defect::kDepthLimit); its
  // neighbours are still found.
  size_t max_depth = 100;
  // How many parts, the message itself included. Past it the rest of the message belongs to the
  // last part (kPartLimit).
  size_t max_parts = 10'000;
  // How many header fields in all parts together. Past it the fields are not listed, and the part
  // they belong to is opaque and has the rest of the message (kHeaderCountLimit).
  size_t max_headers = 100'000;
  // How many octets the header of one part may have; past it as above (kHeaderSizeLimit).
  size_t max_header_bytes = 1 << 20;
  // A longer boundary is no boundary (RFC 2046 §5.1.1 allows 70).
  size_t max_boundary_bytes = 1'000;
  // How many defects are listed; the first ones.
  size_t max_defects = 100;
};

// Defect is what is wrong with a message. None of them stops the parser.
enum class Defect : uint8_t {
  kNone,
  kDepthLimit,
  kPartLimit,
  kHeaderCountLimit,
  kHeaderSizeLimit,
  kMboxFromLine,         // the header begins with an mbox "From " or ">From " line
  kMalformedHeaderLine,  // a field without a name, or a name with octets that may not stand in one
  kMissingHeaderEnd,     // the header ends without an empty line: the first line that cannot be a
                         // field begins the body
  kBareCrInHeader,
  kNulInHeader,
  kInvalidUtf8InHeader,    // 8-bit octets that are not UTF-8 (RFC 6532)
  kBadContentType,         // Content-Type cannot be read; text/plain is assumed (RFC 2045 §5.2)
  kMultipartNoBoundary,    // a multipart without a usable boundary: one opaque part
  kMultipartNoParts,       // the boundary of a multipart never comes: one opaque part
  kMissingCloseDelimiter,  // a multipart that is not closed
  kEncodedMultipart,  // base64 or quoted-printable on a multipart, which RFC 2045 §6.4 forbids: the
                      // encoding is ignored
  kEncodedMessage,   // the same on message/rfc822, which may have none either: it is a leaf until
                     // OpenEncodedMessages opens it (message/global may have one, RFC 6532 §3.7)
  kUnknownEncoding,  // a Content-Transfer-Encoding that nobody knows: taken as binary
  // Those of bodies are found by ContentDefects (text.h), because parsing does not decode.
  kBadEncodedBody,  // base64 or quoted-printable with octets that may not stand in it, or cut short
  kUnknownCharset,  // a charset that nobody knows: taken for UTF-8, else for windows-1252
  kBadCharsetOctets,  // octets that have no meaning in the charset: U+FFFD
  // Those of fields and of octets are found by FieldDefects and OctetDefects (defects.h).
  kRepeatedField,     // a second field that may stand once
  kBadDate,           // nobody can read it, or it is of a year before 1900 (RFC 5322 §3.3)
  kMissingComma,      // two addresses without a comma between: taken for two
  kBadAddress,        // an address that the grammar does not have: what could be read of it
  kBadEncodedWord,    // an encoded word that is not closed, or whose text cannot be decoded whole
  kBadParameter,      // a parameter of MIME, or its RFC 2231 form, that cannot be read whole
  kBlankBeforeColon,  // obsolete (RFC 5322 §4.5)
  kLongLine,          // over 998 octets
  kBareLf,            // among lines that end in CRLF
  kBareCrInBody,
  kNulInBody,
  kUndeclaredEightBit,  // octets over 127 in a body that does not say 8bit
  kLeadingEmptyLine,    // an empty line before what looks like the header: there is no header
};

// DefectName is the name for logs and JSON: "missing_close_delimiter".
std::string_view DefectName(Defect defect);

struct DefectAt {
  Defect defect = Defect::kNone;
  uint32_t part = 0;  // index of the part
  size_t offset = 0;  // where in the message
};

// TransferEncoding is Content-Transfer-Encoding (RFC 2045 §6); 7bit, 8bit, binary and unknown ones
// are kIdentity.
enum class TransferEncoding : uint8_t { kIdentity, kBase64, kQuotedPrintable };

// PartKind tells what stands below a part.
enum class PartKind : uint8_t {
  kLeaf,       // nothing
  kMultipart,  // parts, each with its header and body
  kMessage,    // one part: the message inside a message/rfc822 or message/global
};

inline constexpr uint32_t kNoPart = std::numeric_limits<uint32_t>::max();

// Part is one node of the MIME tree. Offsets count octets of the message (of MessageView::Octets)
// from its start:
//
//   header_offset           body_offset                         end_offset
//   | header fields, and     | body: for a multipart with        | the line end before the next
//   delimiter | the empty line         | preamble, parts and epilogue      | is not part of it (RFC
//   2046 §5.1.1)
struct Part {
  size_t header_offset = 0;
  size_t body_offset = 0;
  size_t end_offset = 0;
  // The octets of [header_offset, body_offset) without the empty line that ends the header; equal
  // to body_offset without one.
  size_t header_end_offset = 0;

  uint32_t parent = kNoPart;
  uint32_t first_child = kNoPart;
  uint32_t next_sibling = kNoPart;
  uint32_t child_count = 0;
  uint32_t first_header = 0;  // index into MessageView::all_headers
  uint32_t header_count = 0;
  uint32_t source = 0;  // 0: it stands in raw(); else in what was decoded (Octets)
  uint16_t depth = 0;   // 0 for the message itself

  PartKind kind = PartKind::kLeaf;
  TransferEncoding encoding = TransferEncoding::kIdentity;
  bool opaque = false;  // a limit was reached here: there may be more inside

  // Media type as written, or the default ("text" "plain", in a multipart/digest "message"
  // "rfc822").
  std::string_view type = "text";
  std::string_view subtype = "plain";
  bool type_given = false;  // the header says so itself

  // Is compares with lower-case names; "" as subtype takes any.
  bool Is(std::string_view wanted_type, std::string_view wanted_subtype) const;
};

// MessageView is a parsed message. It keeps views into the octets given to ParseMessage and is
// valid as long as they are. It is a value: copies are independent of one another. Reading it from
// several threads is fine.
class MessageView {
 public:
  std::string_view raw() const { return raw_; }
  // parts lists the tree depth first; parts()[0] is the message itself and is always there.
  const std::vector<Part>& parts() const { return parts_; }
  const Part& part(size_t index) const { return parts_[index]; }
  const Part& root() const { return parts_[0]; }
  const std::vector<DefectAt>& defects() const { return defects_; }
  bool HasDefect(Defect defect) const;
  const std::vector<Header>& all_headers() const { return headers_; }

  // headers lends the fields of `part` in their order.
  std::span<const Header> headers(const Part& part) const {
    return std::span<const Header>(headers_).subspan(part.first_header, part.header_count);
  }
  // Find gives the first field of that kind or name in `part`, or null. Names compare without case.
  const Header* Find(const Part& part, Field field) const;
  const Header* Find(const Part& part, std::string_view name) const;
  // FindLast gives the last one.
  const Header* FindLast(const Part& part, Field field) const;

  // Octets are those that the offsets of `part` count in: raw(), or the decoded message that it
  // stands in (OpenEncodedMessages).
  std::string_view Octets(const Part& part) const {
    return part.source == 0 ? raw_ : std::string_view(*decoded_[part.source - 1]);
  }
  // OffsetInRaw is where `part` begins in raw(), or what it was decoded from.
  size_t OffsetInRaw(const Part& part) const;
  // HeaderBytes are the octets of the header of `part` with the empty line at its end when there is
  // one.
  std::string_view HeaderBytes(const Part& part) const {
    return Octets(part).substr(part.header_offset, part.body_offset - part.header_offset);
  }
  // BodyBytes are the octets of the body, not decoded.
  std::string_view BodyBytes(const Part& part) const {
    return Octets(part).substr(part.body_offset, part.end_offset - part.body_offset);
  }
  // Bytes are header and body.
  std::string_view Bytes(const Part& part) const {
    return Octets(part).substr(part.header_offset, part.end_offset - part.header_offset);
  }
  // Child gives the number'th part below `part`, counted from 0; kNoPart when there is none. Cost:
  // `number` steps.
  uint32_t Child(const Part& part, uint32_t number) const;

 private:
  friend class EncodedOpener;
  friend class Parser;
  std::string_view raw_;
  std::vector<Part> parts_;
  std::vector<Header> headers_;
  std::vector<DefectAt> defects_;
  std::vector<std::shared_ptr<const std::string>> decoded_;  // by Part::source, from 1
};

// ParseMessage reads `raw`, which must outlive the result.
MessageView ParseMessage(std::string_view raw, const ParseOptions& options = {});

// ParseHeader reads `raw` as a header alone, up to the empty line; the result has one part, a leaf
// with the rest as its body. It is what SMTP needs to look at the fields of a message whose body it
// does not care about.
MessageView ParseHeader(std::string_view raw, const ParseOptions& options = {});

}  // namespace postern::message
