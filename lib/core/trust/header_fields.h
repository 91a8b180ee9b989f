// HeaderFields: the header of a message as signatures see it: octets exactly as they came, found by
// name from the bottom up (RFC 6376 §5.4.2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::trust {

// RawField is one field. The views die with the HeaderFields.
struct RawField {
  std::string_view name;   // without blanks before the colon; empty for a line that is no field
  std::string_view value;  // behind the colon, folding kept, without the last line end
  std::string_view raw;    // all of it, without the last line end
};

class HeaderFields {
 public:
  HeaderFields() = default;
  // Fields end at a CRLF that no blank or tab follows; a bare CR or LF is an octet like others.
  // `text` is the header without the empty line. Past `max_fields` the rest is not looked at, and
  // truncated() says so.
  HeaderFields(std::string text, size_t max_fields);
  HeaderFields(const HeaderFields&) = delete;
  HeaderFields& operator=(const HeaderFields&) = delete;
  HeaderFields(HeaderFields&&) = delete;
  HeaderFields& operator=(HeaderFields&&) = delete;

  const std::vector<RawField>& fields() const { return fields_; }
  bool truncated() const { return truncated_; }

  // Indexes lends the places in fields() that have `name` (any case), from the top down. Cost:
  // logarithmic.
  struct Range {
    const uint32_t* first = nullptr;
    const uint32_t* last = nullptr;
    size_t size() const { return static_cast<size_t>(last - first); }
    uint32_t operator[](size_t i) const { return first[i]; }
    const uint32_t* begin() const { return first; }
    const uint32_t* end() const { return last; }
  };
  Range Indexes(std::string_view name) const;
  // FirstOf lends the top-most field of that name, null when there is none.
  const RawField* FirstOf(std::string_view name) const;

 private:
  static uint64_t PrefixOf(std::string_view name);

  std::string text_;
  std::vector<RawField> fields_;
  std::vector<uint32_t> order_;     // places in fields_, by name, then from the top
  std::vector<uint64_t> prefixes_;  // PrefixOf of the names, in that order
  bool truncated_ = false;
};

}  // namespace postern::trust
