// Authentication-Results (RFC 8601): what a host found out about a message, told in its header;
// written, read, and removed where somebody forged ours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::trust {

// AuthProperty is one "ptype.property=value" (RFC 8601 §2.3).
struct AuthProperty {
  std::string ptype;     // "smtp", "header", "body", "policy", …
  std::string property;  // "mailfrom", "d", …
  std::string value;     // without quotes
  friend bool operator==(const AuthProperty&, const AuthProperty&) = default;
};

// AuthMethodResult is the result of one method.
struct AuthMethodResult {
  std::string method;  // "spf", "dkim", …: a Keyword, lower case
  unsigned version = 1;
  std::string result;   // "pass", …
  std::string reason;   // free text; empty: none
  std::string comment;  // in parentheses behind the result; empty: none. Read: the first one there
  std::vector<AuthProperty> properties;

  // Property gives the value of a property, "" when it is not there.
  std::string_view Property(std::string_view ptype, std::string_view property) const;
  friend bool operator==(const AuthMethodResult&, const AuthMethodResult&) = default;
};

// AuthenticationResults is one field.
struct AuthenticationResults {
  std::string authserv_id;  // who says so
  unsigned version = 1;
  std::vector<AuthMethodResult> results;  // empty: "none", nothing was checked
  friend bool operator==(const AuthenticationResults&, const AuthenticationResults&) = default;
};

// AuthResultsLimits bound one field that is read.
struct AuthResultsLimits {
  size_t max_bytes = 1 << 16;   // of the value; further octets are passed over
  size_t max_results = 200;     // further ones are passed over
  size_t max_properties = 100;  // of one result; further ones are passed over
};

// FormatAuthenticationResults writes the value of the field: from behind the colon and its
// blank to before the last line end, folded with CRLF and a tab before each result and wherever a
// line would pass 78 characters. Values are quoted where they must be and cut after 600
// octets, so that no line passes 998. With `utf8` valid UTF-8 stays (RFC 8601 §2.5: only in a
// message that may have it). Otherwise domains are written as A-labels, of an address whose local
// part is not ASCII only "@" and the domain are told (§2.2 has that form), a property that cannot
// be written is left out, and what else is not ASCII becomes "?", as controls always do. Methods,
// results and property names that are no Keyword are left out with what belongs to them.
std::string FormatAuthenticationResults(const AuthenticationResults& results, bool utf8 = false);

// CheckAuthservId is an error for a name of ours that is no token (RFC 8601 §2.2, §2.5): it would
// be read as another.
Status CheckAuthservId(std::string_view id);

// IsInternationalized tells whether a message may have UTF-8 in fields that are added to it: its
// header has some (RFC 6532), or its reverse-path, so that it comes and goes by SMTPUTF8 alone (RFC
// 6531). It reads `message` to the empty line.
bool IsInternationalized(std::string_view message, std::string_view mail_from);

// FormatAuthMethodResult writes one result as it stands in the field, without folding; also for
// other fields that have such results (ARC-Authentication-Results).
std::string FormatAuthMethodResult(const AuthMethodResult& result, bool utf8 = false);

// ParseAuthenticationResults reads the value of a field. It fails when no authserv-id can be read;
// a result that cannot be read is passed over to the next semicolon. Values may be what fields in
// the wild have without quotes ("/", "=", ":"). Linear time.
StatusOr<AuthenticationResults> ParseAuthenticationResults(std::string_view value,
                                                           const AuthResultsLimits& limits = {});

// ForgedOptions say which fields nobody outside may have written (RFC 8601 §5).
struct ForgedOptions {
  // Our authserv-ids. Compared as domain names: without case, U-labels as A-labels, without a final
  // dot.
  std::vector<std::string> authserv_ids;
  // §5: fields of a version that we do not know go as well, for the message does not come from a
  // host of ours.
  bool remove_unknown_versions = true;
  // Fields whose authserv-id cannot be read: another program may read ours there.
  bool remove_unreadable = true;
  // Remove every field ("simplest and most secure", §5).
  bool remove_all = false;
};

// IsForgedAuthenticationResults judges the value of one field.
bool IsForgedAuthenticationResults(std::string_view value, const ForgedOptions& options);

// OctetRange is [begin, end) of a message.
struct OctetRange {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const OctetRange&, const OctetRange&) = default;
};

// FindForgedAuthenticationResults gives the fields to remove from a message, with their line ends,
// in order. It reads the header only, up to the first empty line, however long it is; CRLF and LF
// end lines, a name may have blanks before its colon (RFC 5322 §4.5). Linear time.
std::vector<OctetRange> FindForgedAuthenticationResults(std::string_view message,
                                                        const ForgedOptions& options);

// RemoveForgedAuthenticationResults gives the header of a message without them; the body begins at
// `*body_offset` of `message` and is not copied. `*removed`, when it is wanted, is how many.
std::string RemoveForgedAuthenticationResults(std::string_view message,
                                              const ForgedOptions& options, size_t* body_offset,
                                              size_t* removed = nullptr);

}  // namespace postern::trust
