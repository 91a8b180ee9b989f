#include "lib/core/trust/dmarc_check.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/trust/dmarc_walk.h"

namespace postern::trust {
namespace {

using dmarc::Discover;
using dmarc::Normal;
using dmarc::OrganizationOf;
using dmarc::UsesList;
using dmarc::Walks;

bool IsUnderOrSame(std::string_view name, std::string_view above) {
  return name == above || (name.size() > above.size() && name.ends_with(above) &&
                           name[name.size() - above.size() - 1] == '.');
}

enum class Fit : uint8_t { kNo, kYes, kUnknown };

// Aligned compares one authenticated domain with the author's (RFC 9989 §4.4).
dns::Inquiry<Fit> Aligned(Walks* walks, std::string identity, const DmarcDiscovery* author,
                          DmarcAlignment mode) {
  if (identity.empty()) co_return Fit::kNo;
  if (identity == author->domain) co_return Fit::kYes;
  if (mode == DmarcAlignment::kStrict) co_return Fit::kNo;
  // An organisational domain is the name itself or one above it: whatever is not below the author's
  // has another one, and costs no question.
  if (!IsUnderOrSame(identity, author->organizational_domain))
    co_return author->temporary ? Fit::kUnknown : Fit::kNo;
  if (author->temporary) co_return Fit::kUnknown;
  dns::Inquiry<std::string> asked = OrganizationOf(walks, std::move(identity));
  const std::string organization = co_await std::move(asked);
  if (organization.empty()) co_return Fit::kUnknown;
  co_return organization == author->organizational_domain ? Fit::kYes : Fit::kNo;
}

std::string_view ModeName(DmarcAlignment mode) {
  return mode == DmarcAlignment::kStrict ? "strict" : "relaxed";
}

// WhyNot tells what was authenticated and does not count.
std::string WhyNot(const DmarcInput& input, const DmarcRecord& record, std::string_view author) {
  std::string spf = "SPF did not pass";
  if (input.spf && !input.spf->temporary_failure)
    spf = StrCat("SPF passed for ", input.spf->domain, ", which is not aligned with ", author, " (",
                 ModeName(record.aspf), ")");
  std::vector<std::string> passed;
  for (const DmarcIdentity& identity : input.dkim)
    if (!identity.temporary_failure && passed.size() < 5) passed.push_back(identity.domain);
  std::string dkim = "no DKIM signature passed";
  if (!passed.empty())
    dkim = StrCat("DKIM passed for ", StrJoin(passed, ", "), ", not aligned with ", author, " (",
                  ModeName(record.adkim), ")");
  return StrCat(spf, "; ", dkim);
}

std::string Wish(const DmarcCheck& check) {
  std::string text = StrCat(check.policy_domain, " asks ");
  switch (check.policy) {
    case DmarcPolicy::kNone: text += "for nothing to be done"; break;
    case DmarcPolicy::kQuarantine: text += "to treat such mail as suspicious"; break;
    case DmarcPolicy::kReject: text += "to reject such mail"; break;
  }
  StrAppend(text, " (", check.policy_tag, "=", DmarcPolicyName(check.policy), ")");
  if (check.testing && check.policy != DmarcPolicy::kNone) text += ", but is only testing (t=y)";
  return text;
}

}  // namespace

std::string_view DmarcResultName(DmarcResult result) {
  switch (result) {
    case DmarcResult::kNone: return "none";
    case DmarcResult::kPass: return "pass";
    case DmarcResult::kFail: return "fail";
    case DmarcResult::kTempError: return "temperror";
    case DmarcResult::kPermError: return "permerror";
  }
  return "none";
}

dns::Inquiry<DmarcCheck> CheckDmarc(DmarcInput input, DmarcOptions options) {
  DmarcCheck check;
  check.method = UsesList(options) ? DmarcMethod::kPublicSuffixList : DmarcMethod::kTreeWalk;
  if (!input.author.ok()) {
    check.result = input.author.broken ? DmarcResult::kPermError : DmarcResult::kNone;
    check.reason = input.author.reason;
    check.explanation =
        StrCat("DMARC ", DmarcResultName(check.result), ": ", input.author.explanation);
    co_return check;
  }
  check.author_domain = input.author.domain;
  Walks walks{options, {}, 0};
  dns::Inquiry<DmarcDiscovery> discovery = Discover(&walks, input.author.domain);
  const DmarcDiscovery author = co_await std::move(discovery);
  check.organizational_domain = author.organizational_domain;
  check.queries = walks.queries;

  const DmarcFound* found = author.policy();
  // Without an answer on the way, another record than the author's own may be the wrong one.
  if (author.temporary && (found == nullptr || found->domain != author.domain)) {
    check.result = DmarcResult::kTempError;
    check.reason = "dns_error";
    check.explanation = StrCat("DMARC temperror: ", author.detail);
    co_return check;
  }
  if (found == nullptr) {
    check.reason = "no_record";
    check.explanation = StrCat("DMARC none: ", check.author_domain,
                               " has no DMARC record, and no domain above it has one that applies");
    for (const DmarcStep& step : author.steps) {
      if (step.outcome != "several") continue;
      check.reason = "several_records";
      check.explanation = StrCat("DMARC none: there are several DMARC records at ", step.name,
                                 ", which count as none");
    }
    co_return check;
  }
  check.policy_domain = found->domain;
  check.record_text = found->text;
  check.record = found->record;
  const DmarcRecord& record = found->record;
  if (!record.usable()) {
    // §4.10.1: no DMARC processing.
    check.reason = "bad_record";
    check.explanation = StrCat("DMARC none: the record of ", check.policy_domain,
                               " has no valid policy and asks for no reports");
    co_return check;
  }
  auto whose = DmarcRecord::Whose::kItself;
  if (found->domain != author.domain) {
    whose = DmarcRecord::Whose::kSubdomain;
    if (record.np) {
      dns::Inquiry<bool> existence = DomainExists(author.domain);
      const bool exists = co_await std::move(existence);
      check.queries += 3;
      if (!exists) whose = DmarcRecord::Whose::kMissingSubdomain;
    }
  }
  std::string_view tag;
  check.policy = record.PolicyFor(whose, &tag);
  check.policy_tag = std::string(tag);
  check.testing = record.testing;

  bool open = false;  // something may pass another time
  if (input.spf) {
    std::string domain = Normal(input.spf->domain);
    dns::Inquiry<Fit> comparison = Aligned(&walks, std::move(domain), &author, record.aspf);
    const Fit fit = co_await std::move(comparison);
    if (fit == Fit::kYes && !input.spf->temporary_failure) {
      check.spf_aligned = true;
      check.spf_domain = Normal(input.spf->domain);
    }
    open = open || fit == Fit::kUnknown || (fit == Fit::kYes && input.spf->temporary_failure);
  }
  std::map<std::string, Fit, std::less<>> compared;
  for (const DmarcIdentity& identity : input.dkim) {
    std::string domain = Normal(identity.domain);
    auto known = compared.find(domain);
    if (known == compared.end()) {
      if (compared.size() >= options.max_identities) continue;
      dns::Inquiry<Fit> comparison = Aligned(&walks, domain, &author, record.adkim);
      const Fit fit = co_await std::move(comparison);
      known = compared.emplace(std::move(domain), fit).first;
    }
    const Fit fit = known->second;
    if (fit == Fit::kYes && !identity.temporary_failure && !check.dkim_aligned) {
      check.dkim_aligned = true;
      check.dkim_domain = known->first;
    }
    open = open || fit == Fit::kUnknown || (fit == Fit::kYes && identity.temporary_failure);
  }
  check.queries = walks.queries + (record.np && found->domain != author.domain ? 3 : 0);

  if (check.dkim_aligned || check.spf_aligned) {
    check.result = DmarcResult::kPass;
    check.reason = check.dkim_aligned ? "aligned_dkim" : "aligned_spf";
    std::string by;
    if (check.dkim_aligned) by = StrCat("DKIM passed for ", check.dkim_domain);
    if (check.spf_aligned)
      StrAppend(by, by.empty() ? "" : " and ", "SPF passed for ", check.spf_domain);
    check.explanation =
        StrCat("DMARC pass: ", by, ", aligned with the author's domain ", check.author_domain);
    co_return check;
  }
  if (open) {
    check.result = DmarcResult::kTempError;
    check.reason = "identity_temperror";
    check.explanation = StrCat("DMARC temperror: nothing aligned with ", check.author_domain,
                               " has passed, but a check of SPF or DKIM could not be finished");
    co_return check;
  }
  check.result = DmarcResult::kFail;
  check.reason = "not_aligned";
  if (!record.testing) check.disposition = check.policy;
  check.explanation =
      StrCat("DMARC fail: ", WhyNot(input, record, check.author_domain), "; ", Wish(check));
  co_return check;
}

}  // namespace postern::trust
