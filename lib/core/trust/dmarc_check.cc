#include "lib/core/trust/dmarc_check.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/message/address_list.h"

namespace postern::trust {
namespace {

using dns::Answer;

// Lookup is what is known of one _dmarc name.
struct Lookup {
  std::string outcome;
  std::optional<DmarcFound> found;
  bool temporary = false;
};

// Walks is the memory of one check: names asked stay known, so that identities that share their
// parents cost no further question.
struct Walks {
  DmarcOptions options;
  std::map<std::string, Lookup, std::less<>> known;
  size_t queries = 0;
};

size_t LabelCount(std::string_view name) {
  return name.empty() ? 0 : static_cast<size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

std::string_view ParentOf(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}

bool IsUnderOrSame(std::string_view name, std::string_view above) {
  return name == above || (name.size() > above.size() && name.ends_with(above) &&
                           name[name.size() - above.size() - 1] == '.');
}

// Normal is a domain in lower-case A-labels without the final dot; "" when it is no name.
std::string Normal(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (domain.empty() || domain.size() > dns::kMaxNameBytes * 4) return "";
  if (IsAscii(domain)) return AsciiLower(domain);
  StatusOr<std::string> ascii = mail::DomainToAscii(domain);
  return ascii.ok() ? *std::move(ascii) : "";
}

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

// NameOf makes a DNS name of text whose labels have no escapes.
std::optional<dns::Name> NameOf(std::string_view text) {
  if (text.find('\\') != std::string_view::npos) return std::nullopt;
  StatusOr<dns::Name> name = dns::Name::Parse(text);
  if (!name.ok()) return std::nullopt;
  return *std::move(name);
}

// ReadAnswer takes the one DMARC record out of an answer (RFC 9989 §4.10 steps 2 and 7).
Lookup ReadAnswer(const std::string& domain, const Answer& answer,
                  const DmarcRecordLimits& limits) {
  Lookup lookup;
  if (answer.temporary()) {
    lookup.temporary = true;
    lookup.outcome = dns::KindName(answer.kind);
    return lookup;
  }
  lookup.outcome = "none";
  for (const dns::Record& record : answer.records) {
    const auto* txt = std::get_if<dns::TxtData>(&record.data);
    if (txt == nullptr) continue;
    std::string text = txt->Joined();
    if (!IsDmarcRecord(text)) continue;
    if (lookup.found) {
      // Several records are as good as none.
      lookup.found.reset();
      lookup.outcome = "several";
      return lookup;
    }
    std::optional<DmarcRecord> parsed = ParseDmarcRecord(text, limits);
    if (!parsed) continue;
    lookup.outcome = "record";
    lookup.found = DmarcFound{domain, std::move(text), *std::move(parsed)};
  }
  return lookup;
}

// LookUp asks for the record at one domain, once in a check.
dns::Inquiry<const Lookup*> LookUp(Walks* walks, std::string domain) {
  if (const auto known = walks->known.find(domain); known != walks->known.end())
    co_return &known->second;
  Lookup lookup;
  const std::optional<dns::Name> name = NameOf(StrCat("_dmarc.", domain));
  if (!name) {
    lookup.outcome = "no name";
  } else if (walks->queries >= walks->options.max_queries) {
    lookup.outcome = "too many questions";
    lookup.temporary = true;
  } else {
    ++walks->queries;
    dns::Ask ask{*name, dns::Type::kTxt};
    const Answer answer = co_await std::move(ask);
    lookup = ReadAnswer(domain, answer, walks->options.record);
  }
  const auto placed = walks->known.emplace(std::move(domain), std::move(lookup)).first;
  co_return &placed->second;
}

void Note(const Lookup& lookup, std::string_view domain, DmarcDiscovery* out) {
  out->steps.push_back({StrCat("_dmarc.", domain), lookup.outcome});
  if (lookup.found) out->found.push_back(*lookup.found);
  if (lookup.temporary && !out->temporary) {
    out->temporary = true;
    out->detail = StrCat("the DNS gave no answer for _dmarc.", domain, " (", lookup.outcome, ")");
  }
}

// ChooseOrganization is RFC 9989 §4.10.2, for the records of one walk.
std::string ChooseOrganization(const DmarcDiscovery& walk) {
  for (const DmarcFound& found : walk.found) {
    if (found.record.psd == DmarcPsd::kNo) return found.domain;
    if (found.record.psd == DmarcPsd::kYes && found.domain != walk.domain) {
      // The name one label longer, on the way down to where the walk began.
      const std::string& from = walk.domain;
      const size_t dot = from.rfind('.', from.size() - found.domain.size() - 2);
      return dot == std::string::npos ? from : from.substr(dot + 1);
    }
  }
  return walk.found.empty() ? walk.domain : walk.found.back().domain;
}

// Walk is RFC 9989 §4.10.
dns::Inquiry<DmarcDiscovery> Walk(Walks* walks, std::string domain) {
  DmarcDiscovery out;
  out.domain = domain;
  const size_t bound = std::max<size_t>(walks->options.max_walk_queries, 2);
  std::string_view target = out.domain;
  bool first = true;
  while (!target.empty()) {
    std::string name(target);
    dns::Inquiry<const Lookup*> asked = LookUp(walks, std::move(name));
    const Lookup* lookup = co_await std::move(asked);
    Note(*lookup, target, &out);
    if (lookup->found) {
      const DmarcPsd psd = lookup->found->record.psd;
      if (psd == DmarcPsd::kNo || (psd == DmarcPsd::kYes && !first)) break;
    }
    if (first) {
      // Step 5: a longer name goes on with its last labels, so that the whole walk keeps its bound.
      const size_t labels = LabelCount(target);
      for (size_t drop = labels >= bound ? labels - (bound - 1) : 1; drop > 0; --drop)
        target = ParentOf(target);
      first = false;
    } else {
      target = ParentOf(target);
    }
  }
  out.organizational_domain = ChooseOrganization(out);
  co_return out;
}

// ByList is RFC 7489 §6.6.3: the domain itself, then its organisational domain.
dns::Inquiry<DmarcDiscovery> ByList(Walks* walks, std::string domain) {
  DmarcDiscovery out;
  out.domain = domain;
  out.organizational_domain = walks->options.suffixes->OrganizationalDomain(domain);
  if (out.organizational_domain.empty()) out.organizational_domain = domain;
  dns::Inquiry<const Lookup*> asked = LookUp(walks, domain);
  const Lookup* own = co_await std::move(asked);
  Note(*own, domain, &out);
  if (!own->found && out.organizational_domain != domain) {
    const std::string organization = out.organizational_domain;
    dns::Inquiry<const Lookup*> ask_above = LookUp(walks, organization);
    const Lookup* above = co_await std::move(ask_above);
    Note(*above, organization, &out);
  }
  co_return out;
}

bool UsesList(const DmarcOptions& options) {
  return options.method == DmarcMethod::kPublicSuffixList && options.suffixes != nullptr;
}

dns::Inquiry<DmarcDiscovery> Discover(Walks* walks, std::string domain) {
  const size_t before = walks->queries;
  const bool by_list = UsesList(walks->options);
  dns::Inquiry<DmarcDiscovery> asked =
      by_list ? ByList(walks, std::move(domain)) : Walk(walks, std::move(domain));
  DmarcDiscovery out = co_await std::move(asked);
  out.queries = walks->queries - before;
  co_return out;
}

// OrganizationOf finds the organisational domain of an authenticated domain; "" when the DNS did
// not answer.
dns::Inquiry<std::string> OrganizationOf(Walks* walks, std::string domain) {
  if (UsesList(walks->options)) {
    std::string organization = walks->options.suffixes->OrganizationalDomain(domain);
    co_return organization.empty() ? domain : organization;
  }
  dns::Inquiry<DmarcDiscovery> asked = Walk(walks, std::move(domain));
  DmarcDiscovery walk = co_await std::move(asked);
  co_return walk.temporary ? std::string() : std::move(walk.organizational_domain);
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

const DmarcFound* DmarcDiscovery::policy() const {
  const DmarcFound* organization = nullptr;
  const DmarcFound* suffix = nullptr;
  for (const DmarcFound& one : found) {
    if (one.domain == domain) return &one;
    if (one.domain == organizational_domain) organization = &one;
    // The public suffix is directly above the organisational domain (§4.10.1).
    if (one.record.psd == DmarcPsd::kYes && one.domain == ParentOf(organizational_domain))
      suffix = &one;
  }
  return organization != nullptr ? organization : suffix;
}

dns::Inquiry<DmarcDiscovery> DiscoverDmarc(std::string domain, DmarcOptions options) {
  Walks walks{std::move(options), {}, 0};
  std::string normal = Normal(domain);
  dns::Inquiry<DmarcDiscovery> asked = Discover(&walks, std::move(normal));
  DmarcDiscovery out = co_await std::move(asked);
  co_return out;
}

dns::Inquiry<bool> DomainExists(std::string domain) {
  const std::optional<dns::Name> name = NameOf(domain);
  if (!name) co_return false;
  std::vector<dns::Question> questions;
  for (dns::Type type : {dns::Type::kA, dns::Type::kAaaa, dns::Type::kMx})
    questions.push_back({*name, type});
  dns::AskAll ask{std::move(questions)};
  const std::vector<Answer> answers = co_await std::move(ask);
  for (const Answer& answer : answers)
    if (!answer.missing()) co_return true;
  co_return false;
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

dns::Inquiry<DmarcDestination> VerifyDmarcDestination(std::string policy_domain, DmarcUri uri,
                                                      bool failure_reports, DmarcOptions options) {
  DmarcDestination out;
  Walks walks{std::move(options), {}, 0};
  const std::string domain = Normal(policy_domain);
  const std::string host = Normal(uri.Host());
  if (domain.empty() || host.empty()) {
    out.reason = "no_host";
    out.explanation = StrCat("\"", Escape(uri.uri, 80), "\" names no host to ask");
    co_return out;
  }
  std::string ours = domain;
  std::string theirs = host;
  if (domain != host) {
    dns::Inquiry<std::string> ask_ours = OrganizationOf(&walks, domain);
    ours = co_await std::move(ask_ours);
    dns::Inquiry<std::string> ask_theirs = OrganizationOf(&walks, host);
    theirs = co_await std::move(ask_theirs);
  }
  if (ours.empty() || theirs.empty()) {
    out.temporary = true;
    out.reason = "dns_error";
    out.explanation = StrCat("the DNS gave no answer on the way to the organisational domains of ",
                             domain, " and ", host);
    co_return out;
  }
  if (ours == theirs) {
    out.allowed = true;
    out.reason = "same_organization";
    out.explanation = StrCat(host, " belongs to ", ours, ", as ", domain, " does");
    co_return out;
  }
  out.external = true;
  const std::string asked = StrCat(domain, "._report._dmarc.", host);
  const std::optional<dns::Name> name = NameOf(asked);
  if (!name) {
    out.reason = "name_too_long";
    out.explanation = StrCat(asked, " cannot be a DNS name, so ", host, " cannot have agreed");
    co_return out;
  }
  dns::Ask ask{*name, dns::Type::kTxt};
  const Answer answer = co_await std::move(ask);
  if (answer.temporary()) {
    out.temporary = true;
    out.reason = "dns_error";
    out.explanation =
        StrCat("the DNS gave no answer for ", asked, " (", dns::KindName(answer.kind), ")");
    co_return out;
  }
  for (const dns::Record& record : answer.records) {
    const auto* txt = std::get_if<dns::TxtData>(&record.data);
    if (txt == nullptr) continue;
    const std::optional<DmarcRecord> parsed = ParseDmarcRecord(txt->Joined(), walks.options.record);
    if (!parsed) continue;
    out.allowed = true;
    // Another destination must be on the same host, or reports could be sent on and on.
    for (const DmarcUri& other : failure_reports ? parsed->ruf : parsed->rua)
      if (Normal(other.Host()) == host) out.instead.push_back(other);
  }
  out.reason = out.allowed ? "authorized" : "not_authorized";
  out.explanation =
      out.allowed
          ? StrCat(host, " agrees to get reports about ", domain, " (", asked, ")")
          : StrCat(host, " does not say at ", asked, " that it wants reports about ", domain);
  co_return out;
}

}  // namespace postern::trust
