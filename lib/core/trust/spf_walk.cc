#include "lib/core/trust/spf_walk.h"

#include <deque>
#include <set>
#include <utility>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/trust/spf_domain.h"
#include "lib/core/trust/spf_record.h"

namespace postern::trust {
namespace {

using Kind = SpfMechanism::Kind;

// Walking is what a walk has found and has still to do.
struct Walking {
  SpfWalkLimits limits;
  SpfWalk found;
  std::set<std::string> seen;       // networks
  std::set<std::string> asked;      // domains whose records were read
  std::deque<std::string> domains;  // whose records are to be read
  size_t lookups = 0;

  void Add(std::string network) {
    if (found.networks.size() >= limits.max_networks) return;
    if (seen.insert(network).second) found.networks.push_back(std::move(network));
  }
  void Remark(std::string text) {
    if (found.remarks.size() < 100) found.remarks.push_back(std::move(text));
  }
  void Visit(const std::string& domain) {
    if (asked.insert(AsciiLower(domain)).second) domains.push_back(domain);
  }
  bool MayAsk() { return lookups++ < limits.max_lookups; }
};

std::string WithBits(std::string address, int bits, int whole) {
  if (bits != whole) StrAppend(address, "/", bits);
  return address;
}

std::string NetworkOf(const SpfMechanism& mechanism) {
  const auto* const octets = reinterpret_cast<const unsigned char*>(mechanism.network.data());
  if (mechanism.kind == Kind::kIp4)
    return WithBits(IpAddress::V4(octets[0], octets[1], octets[2], octets[3]).ToString(),
                    mechanism.ip4_bits, 32);
  // As the record has it: a mapped address is not made an IPv4 one.
  std::string_view text = mechanism.text;
  const size_t colon = text.find(':');
  return AsciiLower(colon == std::string_view::npos ? text : text.substr(colon + 1));
}

// Named gives the domain of a term; "" for one with macros, which nobody can list.
std::string Named(const SpfMechanism& mechanism, const std::string& own) {
  if (!mechanism.domain.has_value()) return own;
  std::string text;
  for (const SpfMacroString::Item& item : mechanism.domain->items) {
    if (item.letter != '\0') return "";
    text += item.literal;
  }
  return text;
}

dns::Inquiry<bool> AddAddresses(Walking* walk, std::string domain, int ip4_bits, int ip6_bits,
                                bool only_v4) {
  const std::optional<dns::Name> name = SpfName(domain);
  if (!name.has_value() || !walk->MayAsk()) co_return false;
  std::vector<dns::Question> questions;
  questions.push_back(dns::Question{*name, dns::Type::kA});
  if (!only_v4) questions.push_back(dns::Question{*name, dns::Type::kAaaa});
  const std::vector<dns::Answer> answers = co_await dns::AskAll(std::move(questions));
  for (const dns::Answer& answer : answers) {
    for (const dns::Record& record : answer.records) {
      const auto* const data = std::get_if<dns::AddressData>(&record.data);
      if (data == nullptr) continue;
      const bool v6 = record.type == dns::Type::kAaaa;
      walk->Add(WithBits(data->address.ToString(), v6 ? ip6_bits : ip4_bits, v6 ? 128 : 32));
    }
  }
  co_return true;
}

dns::Inquiry<bool> AddExchanges(Walking* walk, std::string domain, int ip4_bits, int ip6_bits) {
  std::optional<dns::Name> name = SpfName(domain);
  if (!name.has_value() || !walk->MayAsk()) co_return false;
  const dns::Answer answer = co_await dns::Ask{*std::move(name), dns::Type::kMx};
  for (const dns::Record& record : answer.records) {
    const auto* const data = std::get_if<dns::MxData>(&record.data);
    if (data == nullptr || data->exchange.is_root()) continue;
    std::string host = data->exchange.ToString();
    if (host.ends_with('.')) host.pop_back();
    dns::Inquiry<bool> adding = AddAddresses(walk, std::move(host), ip4_bits, ip6_bits, false);
    co_await std::move(adding);
  }
  co_return true;
}

dns::Inquiry<bool> ReadRecord(Walking* walk, std::string domain) {
  std::optional<dns::Name> name = SpfName(domain);
  if (!name.has_value() || !walk->MayAsk()) co_return false;
  const dns::Answer answer = co_await dns::Ask{*std::move(name), dns::Type::kTxt};
  std::string text;
  for (const dns::Record& record : answer.records) {
    const auto* const data = std::get_if<dns::TxtData>(&record.data);
    if (data != nullptr && IsSpfRecord(data->Joined())) text = data->Joined();
  }
  if (text.empty()) co_return false;
  const StatusOr<SpfRecord> record = ParseSpfRecord(text);
  if (!record.ok()) {
    walk->Remark(StrCat(Escape(domain), ": ", Message(record.status())));
    co_return false;
  }
  for (const SpfMechanism& mechanism : record->mechanisms) {
    if (mechanism.qualifier == SpfQualifier::kFail ||
        mechanism.qualifier == SpfQualifier::kSoftFail)
      continue;
    const std::string target = Named(mechanism, domain);
    if (target.empty()) {
      walk->Remark(StrCat(Escape(domain), ": ", Escape(mechanism.text),
                          ": what a macro stands for is known at a check only"));
      continue;
    }
    switch (mechanism.kind) {
      case Kind::kIp4:
      case Kind::kIp6: walk->Add(NetworkOf(mechanism)); break;
      case Kind::kInclude: walk->Visit(target); break;
      case Kind::kA:
      case Kind::kExists: {
        dns::Inquiry<bool> adding = AddAddresses(
            walk, target, mechanism.ip4_bits, mechanism.ip6_bits, mechanism.kind == Kind::kExists);
        co_await std::move(adding);
        break;
      }
      case Kind::kMx: {
        dns::Inquiry<bool> adding =
            AddExchanges(walk, target, mechanism.ip4_bits, mechanism.ip6_bits);
        co_await std::move(adding);
        break;
      }
      case Kind::kAll:
      case Kind::kPtr: break;
    }
  }
  if (record->redirect.has_value()) {
    SpfMechanism redirect;
    redirect.domain = record->redirect;
    const std::string target = Named(redirect, domain);
    if (!target.empty()) walk->Visit(target);
  }
  co_return true;
}

}  // namespace

dns::Inquiry<SpfWalk> WalkSpf(std::string domain, SpfWalkLimits limits) {
  Walking walk;
  walk.limits = limits;
  walk.Visit(domain);
  while (!walk.domains.empty()) {
    std::string next = std::move(walk.domains.front());
    walk.domains.pop_front();
    dns::Inquiry<bool> reading = ReadRecord(&walk, std::move(next));
    co_await std::move(reading);
  }
  co_return std::move(walk.found);
}

}  // namespace postern::trust
