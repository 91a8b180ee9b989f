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
  class Range {
   public:
    struct Place {
      uint64_t prefix;  // of the name
      uint32_t index;   // in fields()
    };
    struct Iterator {
      const Place* at;
      uint32_t operator*() const { return at->index; }
      Iterator& operator++() { return ++at, *this; }
      bool operator!=(const Iterator& other) const { return at != other.at; }
    };
    Range() = default;
    Range(const Place* first, const Place* last) : first_(first), last_(last) {}
    size_t size() const { return static_cast<size_t>(last_ - first_); }
    uint32_t operator[](size_t i) const { return first_[i].index; }
    Iterator begin() const { return {first_}; }
    Iterator end() const { return {last_}; }

   private:
    const Place* first_ = nullptr;
    const Place* last_ = nullptr;
  };
  Range Indexes(std::string_view name) const;
  // FirstOf lends the top-most field of that name, null when there is none.
  const RawField* FirstOf(std::string_view name) const;

 private:
  static uint64_t PrefixOf(std::string_view name);

  std::string text_;
  std::vector<RawField> fields_;
  std::vector<Range::Place> places_;  // by name, then from the top
  bool truncated_ = false;
};

}  // namespace postern::trust
