// Content-Type, Content-Disposition and their parameters (RFC 2045 §5.1, RFC 2183, RFC 2231).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::message {

// SkipCfws gives the first place at or after `at` that is neither a blank nor in a comment (CFWS of
// RFC 5322 §3.2.2). A comment that does not end goes to the end.
size_t SkipCfws(std::string_view text, size_t at);

// Past this many parameters of one field the rest is passed over.
inline constexpr size_t kMaxParameters = 1'000;

// RawParameter is one "name=value" as written. The views point into the header value.
struct RawParameter {
  std::string_view name;  // as written, with the "*0*" of RFC 2231
  // without quotes; inside a quoted string "\" escapes and folding are still there
  std::string_view value;
  bool quoted = false;

  // Unquoted is the value without escapes and folding.
  std::string Unquoted() const;
};

// ParameterScanner walks over the parameters of a header value without allocating. It bears with
// missing semicolons, unquoted blanks, missing quotes, comments anywhere and empty parameters, in
// linear time.
class ParameterScanner {
 public:
  // `text` is the value behind the media type or disposition.
  explicit ParameterScanner(std::string_view text) : text_(text) {}
  // Next fills `*parameter` with the next one; false at the end, or after kMaxParameters.
  bool Next(RawParameter* parameter);

 private:
  std::string_view text_;
  size_t at_ = 0;
  size_t count_ = 0;
  bool no_more_quotes_ = false;
};

// ScanMediaType reads "type/subtype" from the front of a Content-Type value and leaves in `*rest`
// what follows. The views point into `value`. False when there is no such thing; `*subtype` may be
// empty when only a word stands there.
bool ScanMediaType(std::string_view value, std::string_view* type, std::string_view* subtype,
                   std::string_view* rest);

// Parameter is one parameter with continuations joined, percent octets and charset decoded to
// UTF-8.
struct Parameter {
  std::string name;      // lower case, without "*"
  std::string value;     // UTF-8
  std::string language;  // RFC 2231 §4; usually empty
};

// ParameterList is the parameters of a field by first appearance; each name stands once. Where a
// plain and an RFC 2231 form of a name are both given, the RFC 2231 form counts (RFC 6266 §4.3 says
// so for the web).
struct ParameterList {
  std::vector<Parameter> list;
  // Find gives the value, or null. `name` is lower case.
  const std::string* Find(std::string_view name) const;
};

// ParameterDefects tells what ParseParameters could not read.
struct ParameterDefects {
  bool malformed = false;  // "%" without two digits, a missing piece or charset mark (RFC 2231),
                           // text where a ";" should be
  bool unknown_charset = false;
};

// ParseParameters reads what follows the media type or disposition. `defects` may be null.
ParameterList ParseParameters(std::string_view text, ParameterDefects* defects = nullptr);

// ContentType is a Content-Type field. type and subtype are lower case; both empty when the value
// could not be read.
struct ContentType {
  std::string type;
  std::string subtype;
  ParameterList parameters;
};
ContentType ParseContentType(std::string_view value);

// ContentDisposition is RFC 2183: `kind` is lower case ("inline", "attachment").
struct ContentDisposition {
  std::string kind;
  ParameterList parameters;
};
ContentDisposition ParseContentDisposition(std::string_view value);

// EncodeParameter writes `; name=value` as RFC 2045 and, where the value is not printable ASCII or
// is long, RFC 2231 want it, each piece on a folded line of its own ("\r\n\t" before it) when it is
// split. The value is UTF-8; octets that are not become U+FFFD.
std::string EncodeParameter(std::string_view name, std::string_view value);

}  // namespace postern::message
