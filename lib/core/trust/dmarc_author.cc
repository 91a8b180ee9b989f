// The author's domain: that of RFC5322.From (RFC 9989 §5.3.1).
#include <string>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/message/address_list.h"
#include "lib/core/trust/dmarc_check.h"
#include "lib/core/trust/dmarc_walk.h"

namespace postern::trust {
namespace {

using dmarc::Normal;

// IsDnsName takes more than RFC 5321 does: a name that the DNS can have is a name that its owner
// can have a policy for, and nobody escapes it by an underscore.
bool IsDnsName(std::string_view name) {
  if (name.empty() || name.size() > dns::kMaxNameBytes - 2) return false;
  size_t label = 0;
  for (char c : name) {
    if (c == '.' ? label == 0 : !IsAsciiAlnum(c) && c != '-' && c != '_') return false;
    label = c == '.' ? 0 : label + 1;
    if (label > dns::kMaxLabelBytes) return false;
  }
  return label > 0;
}

}  // namespace

DmarcAuthor DmarcAuthorOf(const std::vector<std::string_view>& from_values) {
  const auto without = [](std::string reason, std::string explanation, bool broken) {
    DmarcAuthor author;
    author.reason = std::move(reason);
    author.explanation = std::move(explanation);
    author.broken = broken;
    return author;
  };
  if (from_values.empty()) return without("from_missing", "the message has no From field", true);
  // A header full of From fields is no mail; their number is bounded here and not their text.
  constexpr size_t kMaxFromFields = 10;
  if (from_values.size() > kMaxFromFields)
    return without("from_repeated", StrCat("the message has ", from_values.size(), " From fields"),
                   true);
  DmarcAuthor author;
  bool any = false;
  for (std::string_view value : from_values) {
    for (const message::Mailbox& mailbox : message::ParseAddressList(value)) {
      if (mailbox.kind != message::Mailbox::Kind::kAddress || mailbox.domain.empty()) continue;
      any = true;
      if (mailbox.domain.starts_with('['))
        return without("from_literal",
                       "the From field has an address literal, which no domain speaks for", false);
      const std::string domain = Normal(mailbox.domain);
      if (!IsDnsName(domain))
        return without(
            "from_bad_domain",
            StrCat("\"", Escape(mailbox.domain, 80), "\" in the From field is not a domain name"),
            true);
      if (author.domain.empty()) {
        author.domain = domain;
      } else if (author.domain != domain) {
        if (from_values.size() > 1)
          return without(
              "from_repeated",
              StrCat("the message has ", from_values.size(), " From fields with different domains"),
              true);
        return without("from_several_domains",
                       StrCat("the From field has addresses of several domains (", author.domain,
                              " and ", domain, "), to which DMARC does not apply"),
                       false);
      }
    }
  }
  if (!any)
    return without("from_without_domain", "the From field has no address with a domain", false);
  return author;
}

DmarcAuthor FindDmarcAuthor(const message::MessageView& message) {
  std::vector<std::string_view> values;
  for (const message::Header& header : message.headers(message.root()))
    if (header.field == message::Field::kFrom) values.push_back(header.value);
  return DmarcAuthorOf(values);
}

}  // namespace postern::trust
