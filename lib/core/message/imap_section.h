// Sections of a message as IMAP FETCH names them (RFC 3501 §6.4.5, RFC 9051 §6.4.5): BODY[],
// BODY[1.2.HEADER], BODY[TEXT], ...
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// SectionSpec is what stands between the brackets.
struct SectionSpec {
  enum class Text : uint8_t { kNone, kHeader, kHeaderFields, kHeaderFieldsNot, kText, kMime };

  std::vector<uint32_t> part;  // 1.2.3; empty for the message itself
  Text text = Text::kNone;
  std::vector<std::string>
      fields;  // of HEADER.FIELDS and HEADER.FIELDS.NOT, as the client wrote them

  // ToString gives the section as it stands in a FETCH response: `1.2.HEADER.FIELDS (From "X Y")`.
  std::string ToString() const;
};

// ParseSection reads what stands between the brackets ("", "1.2.MIME", "HEADER.FIELDS (FROM TO)";
// keywords in any case, field names as atoms or quoted). At most 100 numbers and 1,000 field names.
StatusOr<SectionSpec> ParseSection(std::string_view text);

// SectionRange is the octets of a section: pieces of the message in their order. The views die with
// the octets of the message.
struct SectionRange {
  std::vector<std::string_view> pieces;

  size_t size() const;
  // Append adds at most `max_bytes` octets beginning with the `offset`th (IMAP's
  // <offset.max_bytes>) to `out`. Past the end it adds nothing.
  void Append(std::string& out, size_t offset = 0, size_t max_bytes = SIZE_MAX) const;
  std::string ToString() const;
};

// FindSection cuts a section out of a message; nothing is copied or decoded. kNotFound when the
// message has no such part (IMAP answers NIL), kInvalidArgument for MIME without a part number. A
// part that is not a multipart has part 1, itself, when it is a message or the message of a
// message/rfc822 (RFC 3501 §6.4.5). Header sections end with the empty line when the message has
// it.
StatusOr<SectionRange> FindSection(const MessageView& message, const SectionSpec& section);

// FindPart gives the index of the part that the numbers name, for BINARY (RFC 3516); kNotFound as
// above.
StatusOr<uint32_t> FindPart(const MessageView& message, const std::vector<uint32_t>& numbers);

}  // namespace postern::message
