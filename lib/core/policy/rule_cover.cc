#include "lib/core/policy/rule_cover.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// What `from src` and `from rdns` look up for the local socket and for what expansion produced.
constexpr std::string_view kLocalKey = "local";

bool IsGlob(std::string_view key) { return key.find('*') != std::string_view::npos; }

std::optional<IpNetwork> NetworkOf(const std::string& key) { return IpNetwork::Parse(key); }

// Comparison is one question about two rules of a ruleset.
class Comparison {
 public:
  Comparison(const Ruleset& ruleset, size_t max_entries)
      : ruleset_(ruleset), max_entries_(max_entries) {}

  bool FromCovers(const Rule& a, const Rule& b) const;
  bool ForCovers(const Rule& a, const Rule& b) const;
  // IsEveryDomain tells whether `for domain` lists "*", which takes what `for any` does.
  bool IsEveryDomain(const Rule& rule) const;
  bool AuthCovers(const Criterion& a, const Criterion& b) const;
  // CriterionCovers is for conditions that a rule may leave out: then they hold always.
  bool CriterionCovers(const Criterion& a, const Criterion& b, Service service) const;

 private:
  bool IsSame(const Criterion& a, const Criterion& b) const {
    return a.table == b.table && a.regex == b.regex;
  }
  // ListCovers tells whether the table of `a` has all keys that the table of `b` has.
  bool ListCovers(const Criterion& a, const Criterion& b, Service service) const;
  bool EntryIsIn(const std::string& entry, const Criterion& list, Service service) const;
  // Entries gives the lower-cased keys of a list that is written in the file; null for another.
  const TableDeclaration* Written(const Criterion& criterion) const;

  const Ruleset& ruleset_;
  size_t max_entries_;
};

const TableDeclaration* Comparison::Written(const Criterion& criterion) const {
  if (criterion.table == kNoIndex || criterion.regex) return nullptr;
  const TableDeclaration& table = ruleset_.config().tables[static_cast<size_t>(criterion.table)];
  if (table.kind != TableKind::kStatic || table.entries.size() > max_entries_) return nullptr;
  return &table;
}

bool Comparison::EntryIsIn(const std::string& entry, const Criterion& list, Service service) const {
  const TableDeclaration& table = *Written(list);
  const auto has = [&table](std::string_view key) {
    return std::any_of(table.entries.begin(), table.entries.end(),
                       [key](const TableEntry& e) { return EqualsIgnoreCase(e.key, key); });
  };
  if (has(entry)) return true;
  if (service == Service::kNetaddr) {
    const std::optional<IpNetwork> inner = NetworkOf(entry);
    if (!inner) return false;
    return std::any_of(table.entries.begin(), table.entries.end(), [&inner](const TableEntry& e) {
      const std::optional<IpNetwork> outer = NetworkOf(e.key);
      return outer && outer->address.is_v6() == inner->address.is_v6() &&
             outer->prefix_bits <= inner->prefix_bits && outer->Contains(inner->address);
    });
  }
  if (service == Service::kMailaddr) {
    if (has("@")) return true;
    const size_t at = entry.rfind('@');
    // "user" and "@domain" stand for many addresses; only "user@domain" is one that can be asked.
    if (at == std::string::npos || at == 0 || at + 1 == entry.size()) return false;
  } else if (service == Service::kDomain && has("*")) {
    return true;
  }
  if (IsGlob(entry)) return false;
  Table* contents = ruleset_.tables().Get(list.table);
  if (contents == nullptr || contents->Blocks()) return false;
  const StatusOr<bool> found = contents->Match(service, entry);
  return found.ok() && *found;
}

bool Comparison::ListCovers(const Criterion& a, const Criterion& b, Service service) const {
  if (IsSame(a, b)) return true;
  const TableDeclaration* inner = Written(b);
  if (inner == nullptr || Written(a) == nullptr) return false;
  if (Written(a)->entries.size() * inner->entries.size() > max_entries_ * 64) return false;
  return std::all_of(inner->entries.begin(), inner->entries.end(), [&](const TableEntry& entry) {
    return EntryIsIn(AsciiLower(entry.key), a, service);
  });
}

bool Comparison::CriterionCovers(const Criterion& a, const Criterion& b, Service service) const {
  if (!a.present) return true;
  if (!b.present || a.negated != b.negated) return false;
  // All but those of a list are fewer the longer the list is.
  return a.negated ? ListCovers(b, a, service) : ListCovers(a, b, service);
}

bool Comparison::AuthCovers(const Criterion& a, const Criterion& b) const {
  if (!a.present) return true;
  if (!b.present) return false;
  if (a.table == kNoIndex && b.table == kNoIndex) return a.negated == b.negated;
  if (a.table == kNoIndex) return !a.negated && !b.negated;  // a login of a list is a login
  if (b.table == kNoIndex) return a.negated && b.negated;    // who has none is in no list
  // A login with @ is compared as an address, another as a word.
  return a.negated == b.negated && (IsSame(a, b) || (CriterionCovers(a, b, Service::kString) &&
                                                     CriterionCovers(a, b, Service::kMailaddr)));
}

bool Comparison::FromCovers(const Rule& a, const Rule& b) const {
  if (a.from_kind == FromKind::kAny) return !a.from.negated;
  if (b.from_kind == FromKind::kAny) return b.from.negated;
  if (a.from_kind == b.from_kind && a.from.negated == b.from.negated) {
    switch (a.from_kind) {
      case FromKind::kLocal:
      case FromKind::kSocket:
      case FromKind::kAny: return true;
      case FromKind::kSource:
        return a.from.negated ? ListCovers(b.from, a.from, Service::kNetaddr)
                              : ListCovers(a.from, b.from, Service::kNetaddr);
      case FromKind::kRdns: break;
    }
    if (IsSame(a.from, b.from)) return true;
    if (a.from.negated) {
      // Without a table the negation takes clients without a name, and nothing of expansion's.
      return a.from.table != kNoIndex && b.from.table != kNoIndex &&
             ListCovers(b.from, a.from, Service::kDomain);
    }
    if (b.from.table == kNoIndex) return false;
    if (a.from.table != kNoIndex) return ListCovers(a.from, b.from, Service::kDomain);
    // A name of a list is a name, unless the list has "local", which is what expansion asks for.
    const TableDeclaration* names = Written(b.from);
    return names != nullptr &&
           std::all_of(names->entries.begin(), names->entries.end(),
                       [](const TableEntry& e) { return e.key.find('.') != std::string::npos; });
  }
  if (a.from.negated || b.from.negated) return false;
  if (a.from_kind == FromKind::kLocal) {
    if (b.from_kind == FromKind::kSocket) return true;
    const TableDeclaration* sources = b.from_kind == FromKind::kSource ? Written(b.from) : nullptr;
    return sources != nullptr &&
           std::all_of(sources->entries.begin(), sources->entries.end(), [](const TableEntry& e) {
             if (EqualsIgnoreCase(e.key, kLocalKey)) return true;
             const std::optional<IpNetwork> network = NetworkOf(e.key);
             return network && network->address.IsLoopback() &&
                    network->prefix_bits >= (network->address.is_v6() ? 128 : 8);
           });
  }
  if (a.from_kind == FromKind::kSource && b.from_kind == FromKind::kSocket) {
    const TableDeclaration* sources = Written(a.from);
    return sources != nullptr &&
           std::any_of(sources->entries.begin(), sources->entries.end(),
                       [](const TableEntry& e) { return EqualsIgnoreCase(e.key, kLocalKey); });
  }
  return false;
}

bool Comparison::IsEveryDomain(const Rule& rule) const {
  const TableDeclaration* domains = rule.for_kind == ForKind::kDomain ? Written(rule.to) : nullptr;
  return domains != nullptr && std::any_of(domains->entries.begin(), domains->entries.end(),
                                           [](const TableEntry& e) { return e.key == "*"; });
}

bool Comparison::ForCovers(const Rule& a, const Rule& b) const {
  if (a.for_kind == ForKind::kAny || IsEveryDomain(a)) return !a.to.negated;
  if (b.for_kind == ForKind::kAny) return b.to.negated;
  if (a.to.negated != b.to.negated) return false;
  if (a.for_kind == ForKind::kLocal && b.for_kind == ForKind::kLocal) return true;
  if (a.for_kind == ForKind::kDomain && b.for_kind == ForKind::kDomain) {
    return a.to.negated ? ListCovers(b.to, a.to, Service::kDomain)
                        : ListCovers(a.to, b.to, Service::kDomain);
  }
  if (a.to.negated || a.for_kind != ForKind::kLocal) return false;
  const TableDeclaration* domains = Written(b.to);
  return domains != nullptr &&
         std::all_of(domains->entries.begin(), domains->entries.end(), [&](const TableEntry& e) {
           return !IsGlob(e.key) && ruleset_.IsLocalDomain(e.key);
         });
}

}  // namespace

bool Covers(const Ruleset& ruleset, const Rule& a, const Rule& b, size_t max_entries) {
  // The cheap questions first: most rules differ in who or where.
  if (a.tls.present && (!b.tls.present || a.tls.negated != b.tls.negated)) return false;
  if ((a.tag.present && !b.tag.present) || (a.helo.present && !b.helo.present) ||
      (a.mail_from.present && !b.mail_from.present) || (a.rcpt_to.present && !b.rcpt_to.present))
    return false;
  const Comparison comparison(ruleset, max_entries);
  return comparison.FromCovers(a, b) && comparison.AuthCovers(a.auth, b.auth) &&
         comparison.CriterionCovers(a.tag, b.tag, Service::kString) &&
         comparison.CriterionCovers(a.helo, b.helo, Service::kDomain) &&
         comparison.CriterionCovers(a.mail_from, b.mail_from, Service::kMailaddr) &&
         comparison.CriterionCovers(a.rcpt_to, b.rcpt_to, Service::kMailaddr) &&
         comparison.ForCovers(a, b);
}

}  // namespace postern::policy
