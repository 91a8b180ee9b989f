// Whether another domain wants the reports about a domain (RFC 9990 §4, RFC 9991 §5).
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/trust/dmarc_walk.h"

namespace postern::trust {

using dmarc::NameOf;
using dmarc::Normal;
using dmarc::OrganizationOf;
using dmarc::Walks;

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
  const dns::Answer answer = co_await std::move(ask);
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
