// The public suffix list: which names are registries, below which anybody may register. DMARC of
// RFC 7489 found organisational domains by it; RFC 9989 walks the DNS instead and keeps the list as
// an option.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::trust {

// PublicSuffixLimits bound a list from outside.
struct PublicSuffixLimits {
  size_t max_bytes = 16u << 20;  // the list of 2026 has 330 KB
};

// PublicSuffixList is a list, read once; it does not change, and any thread may ask it. Copies
// share it.
class PublicSuffixList {
 public:
  // Builtin is the list that the system's libpsl was built with; kNotFound when it has none.
  static StatusOr<PublicSuffixList> Builtin();
  // Parse reads a list as publicsuffix.org writes it: one rule a line, "//" comments, "*." and "!"
  // rules, UTF-8. kInvalidArgument when it has no rule, kResourceExhausted past the limits.
  static StatusOr<PublicSuffixList> Parse(std::string_view text,
                                          const PublicSuffixLimits& limits = {});

  // OrganizationalDomain gives the public suffix of `domain` with one label more, lower case, in
  // the form (A-labels or U-labels) in which it was given; "" when `domain` is itself a
  // public suffix, or no domain name. A name under no rule is under the rule "*" (the list's
  // algorithm, step 2): its top-level label is the suffix.
  std::string OrganizationalDomain(std::string_view domain) const;
  // IsPublicSuffix tells whether a name is itself a public suffix, by the same algorithm.
  bool IsPublicSuffix(std::string_view domain) const;
  // rule_count is how many rules there are.
  int rule_count() const;

 private:
  struct Impl;
  explicit PublicSuffixList(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace postern::trust
