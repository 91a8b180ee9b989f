// Tag lists, "v=1; a=rsa-sha256; …" (RFC 6376 §3.2): the form of DKIM and ARC header fields and of
// DKIM key records.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::trust {

// Tag is one name with its value. The views point into the text that was parsed.
struct Tag {
  std::string_view name;
  std::string_view value;  // without the white space around it; that inside stays
  size_t value_begin = 0;  // the value with that white space is text[value_begin, value_end):
  size_t value_end = 0;    // what "deleting the value of b=" deletes (RFC 6376 §3.7)
};

struct TagListLimits {
  size_t max_tags = 64;  // RFC 6376 defines 14 for a signature; unknown ones are passed over
};

class TagList {
 public:
  TagList() = default;

  // Parse reads `text`. kInvalidArgument says what is wrong: a tag without name or "=", a name of
  // other characters than the grammar has, a name that comes twice (§3.2: the whole list is
  // invalid then), an empty tag before the last semicolon, a control character. Names keep their
  // case, which counts. Octets from 0x80 up may stand in values (RFC 8616 §3). Linear time.
  static StatusOr<TagList> Parse(std::string_view text, const TagListLimits& limits = {});

  // Find lends the tag of that name, null when it is absent.
  const Tag* Find(std::string_view name) const;
  const std::vector<Tag>& tags() const { return tags_; }

 private:
  std::vector<Tag> tags_;
};

// IsFws tells what counts as folding white space inside a header value: blank, tab, CR, LF.
constexpr bool IsFws(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
// TrimFws takes it off both ends.
std::string_view TrimFws(std::string_view s);

// DecodeBase64Value reads base64 that may be folded anywhere into `*octets`; padding may be
// missing. false for any other octet.
bool DecodeBase64Value(std::string_view value, std::string* octets);

// SplitColons cuts "a : b:c" into its items, trimmed (RFC 6376 §3.5, h=). "" gives none.
std::vector<std::string_view> SplitColons(std::string_view value);

// DecodeDkimQuotedPrintable undoes dkim-quoted-printable (§2.11): "=" and two hexadecimal digits;
// white space is dropped. What does not decode stays as it is. Encode writes it so that the result
// may stand in a tag's value.
std::string DecodeDkimQuotedPrintable(std::string_view value);
std::string EncodeDkimQuotedPrintable(std::string_view octets);

}  // namespace postern::trust
