// One header field as it stands in a message, and the names that we know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::message {

// Field is a header field that some code of ours asks for, so that it is found by number and not by
// comparing names.
enum class Field : uint8_t {
  kOther,
  kBcc,
  kCc,
  kContentDescription,
  kContentDisposition,
  kContentId,
  kContentLanguage,
  kContentLocation,
  kContentMd5,
  kContentTransferEncoding,
  kContentType,
  kDate,
  kDkimSignature,
  kFrom,
  kInReplyTo,
  kListId,
  kMessageId,
  kMimeVersion,
  kReceived,
  kReferences,
  kReplyTo,
  kResentDate,
  kResentFrom,
  kReturnPath,
  kSender,
  kSubject,
  kTo,
};

// FieldOf gives the number of a name (any case), kOther for names that are not listed.
Field FieldOf(std::string_view name);

// Header is one field. The views point into the octets that were parsed and die with them.
struct Header {
  std::string_view name;   // as written, without colon or blanks; empty for a line that is no field
                           // (an mbox "From " line)
  std::string_view value;  // from the colon to the last line end, which is not part of it; with
                           // folding, undecoded
  Field field = Field::kOther;
  // of the line end behind the value: 2, 1, or 0 at the end of the message
  uint8_t line_end_bytes = 0;

  // raw is the whole field with its line end.
  std::string_view raw() const {
    return std::string_view(name.data(), static_cast<size_t>(value.data() + value.size() +
                                                             line_end_bytes - name.data()));
  }
};

// Unfold takes the line ends out of a header value and trims it (RFC 5322 §2.2.3). Blanks that
// begin a continuation stay; NUL and other controls except HTAB become blanks.
std::string Unfold(std::string_view value);

}  // namespace postern::message
