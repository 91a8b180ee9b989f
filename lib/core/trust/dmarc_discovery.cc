// What the DNS says about a domain: the tree walk of RFC 9989 §4.10, or the list of public
// suffixes.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/trust/dmarc_walk.h"

namespace postern::trust {

namespace dmarc {

using dns::Answer;

std::string Normal(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (domain.empty() || domain.size() > dns::kMaxNameBytes * 4) return "";
  if (IsAscii(domain)) return AsciiLower(domain);
  StatusOr<std::string> ascii = mail::DomainToAscii(domain);
  return ascii.ok() ? *std::move(ascii) : "";
}

std::optional<dns::Name> NameOf(std::string_view text) {
  if (text.find('\\') != std::string_view::npos) return std::nullopt;
  StatusOr<dns::Name> name = dns::Name::Parse(text);
  if (!name.ok()) return std::nullopt;
  return *std::move(name);
}

namespace {

size_t LabelCount(std::string_view name) {
  return name.empty() ? 0 : static_cast<size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

std::string_view ParentOf(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
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

}  // namespace

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

dns::Inquiry<std::string> OrganizationOf(Walks* walks, std::string domain) {
  if (UsesList(walks->options)) {
    std::string organization = walks->options.suffixes->OrganizationalDomain(domain);
    co_return organization.empty() ? domain : organization;
  }
  dns::Inquiry<DmarcDiscovery> asked = Walk(walks, std::move(domain));
  DmarcDiscovery walk = co_await std::move(asked);
  co_return walk.temporary ? std::string() : std::move(walk.organizational_domain);
}

}  // namespace dmarc

const DmarcFound* DmarcDiscovery::policy() const {
  const DmarcFound* organization = nullptr;
  const DmarcFound* suffix = nullptr;
  for (const DmarcFound& one : found) {
    if (one.domain == domain) return &one;
    if (one.domain == organizational_domain) organization = &one;
    // The public suffix is directly above the organisational domain (§4.10.1).
    if (one.record.psd == DmarcPsd::kYes && one.domain == dmarc::ParentOf(organizational_domain))
      suffix = &one;
  }
  return organization != nullptr ? organization : suffix;
}

dns::Inquiry<DmarcDiscovery> DiscoverDmarc(std::string domain, DmarcOptions options) {
  dmarc::Walks walks{std::move(options), {}, 0};
  std::string normal = dmarc::Normal(domain);
  dns::Inquiry<DmarcDiscovery> asked = dmarc::Discover(&walks, std::move(normal));
  DmarcDiscovery out = co_await std::move(asked);
  co_return out;
}

dns::Inquiry<bool> DomainExists(std::string domain) {
  const std::optional<dns::Name> name = dmarc::NameOf(domain);
  if (!name) co_return false;
  std::vector<dns::Question> questions;
  for (dns::Type type : {dns::Type::kA, dns::Type::kAaaa, dns::Type::kMx})
    questions.push_back({*name, type});
  dns::AskAll ask{std::move(questions)};
  const std::vector<dns::Answer> answers = co_await std::move(ask);
  for (const dns::Answer& answer : answers)
    if (!answer.missing()) co_return true;
  co_return false;
}

}  // namespace postern::trust
