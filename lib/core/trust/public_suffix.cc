#include "lib/core/trust/public_suffix.h"

#include <libpsl.h>
#include <stdio.h>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"

namespace postern::trust {
namespace {

// Prepared is `domain` as libpsl wants it: lower case, without the final dot; "" for what is no
// name. U-labels are mapped to A-labels, which both kinds of list have.
std::string Prepared(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (domain.empty() || domain.size() > 1000 || domain.front() == '.' || domain.back() == '.' ||
      domain.find("..") != std::string_view::npos || domain.find('\0') != std::string_view::npos)
    return "";
  if (IsAscii(domain)) return AsciiLower(domain);
  StatusOr<std::string> ascii = mail::DomainToAscii(domain);
  return ascii.ok() ? *std::move(ascii) : "";
}

size_t LabelCount(std::string_view name) {
  size_t count = name.empty() ? 0 : 1;
  for (char c : name) count += c == '.';
  return count;
}

}  // namespace

struct PublicSuffixList::Impl {
  const psl_ctx_t* list = nullptr;
  psl_ctx_t* owned = nullptr;
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { psl_free(owned); }
};

StatusOr<PublicSuffixList> PublicSuffixList::Builtin() {
  auto impl = std::make_shared<Impl>();
  impl->list = psl_builtin();
  if (impl->list == nullptr) return NotFound("libpsl was built without a public suffix list");
  return PublicSuffixList(std::move(impl));
}

StatusOr<PublicSuffixList> PublicSuffixList::Parse(std::string_view text,
                                                   const PublicSuffixLimits& limits) {
  if (text.size() > limits.max_bytes)
    return ResourceExhausted(
        StrCat("the public suffix list is longer than ", limits.max_bytes, " octets"));
  if (text.empty()) return InvalidArgument("the public suffix list is empty");
  // A stream over the text: no file is touched, and libpsl only reads.
  FILE* stream = fmemopen(const_cast<char*>(text.data()), text.size(), "r");
  if (stream == nullptr) return ResourceExhausted("no memory for the public suffix list");
  auto impl = std::make_shared<Impl>();
  impl->owned = psl_load_fp(stream);
  fclose(stream);
  impl->list = impl->owned;
  if (impl->list == nullptr || psl_suffix_count(impl->list) <= 0)
    return InvalidArgument("the text has no rule of a public suffix list");
  return PublicSuffixList(std::move(impl));
}

std::string PublicSuffixList::OrganizationalDomain(std::string_view domain) const {
  const std::string name = Prepared(domain);
  if (name.empty()) return "";
  const char* found = psl_registrable_domain(impl_->list, name.c_str());
  if (found == nullptr) return "";
  if (IsAscii(domain)) return found;
  // As it was given: as many of its last labels.
  std::string_view given = domain;
  if (given.ends_with('.')) given.remove_suffix(1);
  const size_t drop = LabelCount(name) - LabelCount(found);
  for (size_t i = 0; i < drop; ++i) given.remove_prefix(given.find('.') + 1);
  return AsciiLower(given);
}

bool PublicSuffixList::IsPublicSuffix(std::string_view domain) const {
  const std::string name = Prepared(domain);
  return !name.empty() && psl_is_public_suffix(impl_->list, name.c_str()) != 0;
}

int PublicSuffixList::rule_count() const { return psl_suffix_count(impl_->list); }

}  // namespace postern::trust
