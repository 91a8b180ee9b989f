// What FETCH asks for (RFC 3501 §6.4.5): the items, sections and partials, read and written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::imap {

class Scanner;

// BodySection is what stands between the brackets of BODY[...] (RFC 3501 §6.4.5, section).
struct BodySection {
  enum class Text : uint8_t {
    kAll,              // BODY[] or BODY[1.2]
    kHeader,           // HEADER
    kHeaderFields,     // HEADER.FIELDS (names)
    kHeaderFieldsNot,  // HEADER.FIELDS.NOT (names)
    kText,             // TEXT
    kMime,             // MIME, of a part only
  };
  std::vector<uint32_t> part;  // "1.2.3"; empty: the message itself
  Text text = Text::kAll;
  std::vector<std::string> fields;  // names, as the client wrote them

  // ToString writes it without the brackets, as FETCH answers echo it.
  std::string ToString() const;
  friend bool operator==(const BodySection&, const BodySection&) = default;
};

// FetchItem is one thing that FETCH asks for.
struct FetchItem {
  enum class Kind : uint8_t {
    kFlags,
    kUid,
    kInternalDate,
    kRfc822Size,
    kEnvelope,
    kBody,  // BODY without brackets: the structure without extension data
    kBodyStructure,
    kRfc822,        // RFC822: as BODY[], named otherwise in the answer
    kRfc822Header,  // as BODY.PEEK[HEADER]
    kRfc822Text,    // as BODY[TEXT]
    kSection,       // BODY[section]<partial>
    kModSeq,        // MODSEQ (RFC 7162 §3.1.5)
  };
  // Partial is <first.length>; RFC 3501 §6.4.5: length is not zero.
  struct Partial {
    uint32_t first = 0;
    uint32_t length = 0;
    friend bool operator==(const Partial&, const Partial&) = default;
  };

  Kind kind = Kind::kFlags;
  bool peek = false;               // kSection: BODY.PEEK, which leaves \Seen alone
  BodySection section;             // kSection only
  std::optional<Partial> partial;  // kSection only

  // SetsSeen tells whether fetching it marks the message as read (RFC 3501 §6.4.5).
  bool SetsSeen() const;
  // NeedsContent tells whether the octets of the message are needed to answer.
  bool NeedsContent() const;
  // ResponseName writes the name under which the answer gives it: "BODY[TEXT]<0>", "RFC822.SIZE".
  std::string ResponseName() const;
  friend bool operator==(const FetchItem&, const FetchItem&) = default;
};

// ParseFetchItems reads one item, a macro (ALL, FAST, FULL) or a list in parentheses of at most
// `max_items`; false, with the reason in the scanner, when it is something else. Double items stay
// double.
bool ParseFetchItems(Scanner& scanner, size_t max_items, std::vector<FetchItem>* items);

}  // namespace postern::imap
