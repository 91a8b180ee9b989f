// Open relays, found as a spammer finds them: by trying.

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"

namespace postern::policy {
namespace {

// Addresses far from each other. An operator's own networks may hold one of them, hardly two of a
// family: a rule that takes two is meant for everybody, or as good as that.
constexpr const char* kStrangers[] = {"5.101.40.17",   "41.77.12.90",      "77.88.55.242",
                                      "103.41.167.9",  "151.101.13.7",     "186.33.4.21",
                                      "62.210.9.33",   "189.90.201.2",     "2600:1f18::7",
                                      "2400:cb00::99", "2a02:2e0:3fe::13", "2804:14c::8"};
constexpr size_t kAddressesOfEverybody = 2;
// Domains that no table names; a wildcard, an expression or a negation takes them all the same.
constexpr const char* kForeignDomains[] = {"not-yours-q7x.com", "not-yours-q7x.org",
                                           "mail.not-yours-q7x.net", "not-yours-q7x.de"};
constexpr char kStrangerName[] = "host.stranger-q7x.net";

// Door is a way in for strangers: what a listener makes of a session.
struct Door {
  const Listener* listener;
  bool tls;
  bool v4;  // what clients can have for an address
  bool v6;
};

// IsReachedFrom tells whether clients of a family come to the listener. Behind a proxy they may be
// of both.
bool IsReachedFrom(const Listener& listener, bool v6) {
  if (listener.proxy_v2) return true;
  if (listener.family != AddressFamily::kAny)
    return (listener.family == AddressFamily::kInet6) == v6;
  const std::optional<IpAddress> address = IpAddress::Parse(listener.target);
  return !address || address->is_v6() == v6;
}

// TurnsStrangersAway tells whether the listener's filter lets only listed addresses in.
bool TurnsStrangersAway(const Config& config, const Listener& listener) {
  if (listener.filter == kNoIndex) return false;
  const auto guards = [](const Filter& filter) {
    return filter.kind == FilterKind::kBuiltin && filter.test == FilterTest::kSource &&
           filter.criterion.negated &&
           (filter.decision == FilterDecision::kDisconnect ||
            filter.decision == FilterDecision::kReject);
  };
  const Filter& filter = config.filters[static_cast<size_t>(listener.filter)];
  return guards(filter) || std::any_of(filter.chain.begin(), filter.chain.end(), [&](int each) {
           return guards(config.filters[static_cast<size_t>(each)]);
         });
}

std::vector<Door> DoorsOf(const Config& config) {
  std::vector<Door> doors;
  std::set<std::tuple<std::string, bool, bool, bool>> seen;
  for (const Listener& listener : config.listeners) {
    if (listener.protocol != ListenerProtocol::kSmtp || IsLoopbackListener(listener) ||
        listener.auth == ListenerAuth::kRequired || listener.verify_client ||
        TurnsStrangersAway(config, listener))
      continue;
    for (const bool tls : {false, true}) {
      if (tls ? listener.tls == ListenerTls::kNone
              : listener.tls == ListenerTls::kRequired || listener.tls == ListenerTls::kSmtps)
        continue;
      const bool v4 = IsReachedFrom(listener, false);
      const bool v6 = IsReachedFrom(listener, true);
      if (seen.emplace(listener.tag, tls, v4, v6).second) doors.push_back({&listener, tls, v4, v6});
    }
  }
  return doors;
}

// Claims gives what a stranger would say to pass `criterion`: the entries of its list made into
// names, and `otherwise`.
std::vector<std::string> Claims(const Config& config, const Criterion& criterion,
                                std::string otherwise) {
  constexpr size_t kMaxClaims = 8;
  std::vector<std::string> claims{std::move(otherwise)};
  if (!criterion.present || criterion.table == kNoIndex) return claims;
  const TableDeclaration& table = config.tables[static_cast<size_t>(criterion.table)];
  if (table.kind != TableKind::kStatic) return claims;
  for (const TableEntry& entry : table.entries) {
    if (claims.size() > kMaxClaims) break;
    std::string claim;
    for (const char c : entry.key) {
      if (c == '*') {
        claim += 'x';
      } else {
        claim += c;
      }
    }
    claims.push_back(std::move(claim));
  }
  return claims;
}

mail::Address SenderOf(const std::string& claim) {
  if (claim.empty()) return {};
  const size_t at = claim.rfind('@');
  if (at == std::string::npos) return {claim, kStrangerName};
  mail::Address address{claim.substr(0, at), claim.substr(at + 1)};
  if (address.local_part.empty()) address.local_part = "anybody";
  if (address.domain.empty()) address.domain = kStrangerName;
  return address;
}

// Allocated privately or to one machine: who writes such a network means no stranger.
constexpr const char* kPrivateNetworks[] = {
    "10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
    "169.254.0.0/16", "224.0.0.0/3",   "fc00::/7",       "fe80::/10",     "::/8"};

bool IsPrivate(const IpAddress& address) {
  return std::any_of(std::begin(kPrivateNetworks), std::end(kPrivateNetworks),
                     [&](const char* text) { return IpNetwork::Parse(text)->Contains(address); });
}

// IsTooWide tells whether `network` is more than anybody's own: more than one of the largest that
// were ever given to one operator, or a private network and its neighbours.
bool IsTooWide(const IpNetwork& network) {
  constexpr int kWidestOwnV4 = 8;
  constexpr int kWidestOwnV6 = 19;
  if (network.prefix_bits < (network.address.is_v6() ? kWidestOwnV6 : kWidestOwnV4)) return true;
  return std::any_of(
      std::begin(kPrivateNetworks), std::end(kPrivateNetworks), [&](const char* text) {
        const IpNetwork own = *IpNetwork::Parse(text);
        return own.prefix_bits > network.prefix_bits && network.Contains(own.address);
      });
}

// StrangersIn adds public addresses from both ends of a network that is too wide.
void StrangersIn(const IpNetwork& network, std::vector<IpAddress>* out) {
  const bool v6 = network.address.is_v6();
  std::string base(network.address.bytes());
  const int size = static_cast<int>(base.size()) * 8;
  for (int bit = network.prefix_bits; bit < size; ++bit) {
    char& octet = base[static_cast<size_t>(bit / 8)];
    octet = static_cast<char>(static_cast<unsigned char>(octet) & ~(0x80u >> (bit % 8)));
  }
  constexpr unsigned kParts = 16;  // the four bits behind the prefix
  for (unsigned part = 0; part < kParts; ++part) {
    std::string bytes = base;
    for (int i = 0; i < 4; ++i) {
      const int bit = network.prefix_bits + i;
      if (bit >= size) return;
      if ((part >> (3 - i)) & 1u) {
        bytes[static_cast<size_t>(bit / 8)] = static_cast<char>(
            static_cast<unsigned char>(bytes[static_cast<size_t>(bit / 8)]) | (0x80u >> (bit % 8)));
      }
    }
    bytes.back() = static_cast<char>(static_cast<unsigned char>(bytes.back()) | 9u);
    const std::optional<IpAddress> address = IpAddress::FromBytes(bytes);
    if (address && address->is_v6() == v6 && network.Contains(*address) && !IsPrivate(*address))
      out->push_back(*address);
  }
}

// StaticEntries are those of a criterion's list, when the file has it and it is of this kind.
const std::vector<TableEntry>& StaticEntries(const Config& config, const Criterion& criterion,
                                             bool regex) {
  static const std::vector<TableEntry> kNone;
  if (criterion.table == kNoIndex || criterion.negated || criterion.regex != regex) return kNone;
  const TableDeclaration& table = config.tables[static_cast<size_t>(criterion.table)];
  return table.kind == TableKind::kStatic ? table.entries : kNone;
}

// NamesAround gives names that a stranger can register, or have below a domain of his own, and that
// an expression without both its anchors takes: "example" and "example.org" are parts of them.
std::vector<std::string> NamesAround(const Config& config, const Criterion& criterion) {
  constexpr size_t kMaxNames = 16;
  std::vector<std::string> names;
  for (const TableEntry& entry : StaticEntries(config, criterion, /*regex=*/true)) {
    for (const std::string_view part : Split(entry.key, '|')) {
      std::string literal;
      for (size_t i = 0; i < part.size(); ++i) {
        const char c = part[i];
        if (c == '[') {  // the first of its characters stands for the rest
          const size_t close = part.find(']', i + 2);
          if (close == std::string_view::npos) break;
          literal += part[i + 1] == '^' ? 'q' : part[i + 1];
          i = close;
        } else if (c == '.' || c == '-' || IsAsciiAlpha(c) || IsAsciiDigit(c)) {
          literal += c;
        }
      }
      const size_t begin = literal.find_first_not_of('.');
      const size_t end = literal.find_last_not_of('.');
      if (begin == std::string::npos) continue;
      literal = AsciiLower(literal.substr(begin, end - begin + 1));
      if (names.size() >= kMaxNames) return names;
      names.push_back(StrCat(literal, ".stranger-q7x.net"));
      names.push_back(StrCat("mail.q7x-", literal,
                             literal.find('.') == std::string::npos ? ".stranger-q7x.net" : ""));
    }
  }
  return names;
}

class OpenRelaySearch {
 public:
  OpenRelaySearch(const Ruleset& ruleset, const AdviceLimits& limits)
      : ruleset_(ruleset),
        config_(ruleset.config()),
        doors_(DoorsOf(config_)),
        budget_(ruleset.tables().Blocks() ? limits.max_slow_questions : limits.max_questions) {}

  Diagnostics Run() {
    for (const Rule& rule : config_.rules) {
      if (rule.IsReject() || config_.actions[static_cast<size_t>(rule.action)].IsLocal() ||
          (rule.for_kind == ForKind::kLocal && !rule.to.negated) ||
          ((rule.from_kind == FromKind::kLocal || rule.from_kind == FromKind::kSocket) &&
           !rule.from.negated))
        continue;
      for (const Door& door : doors_) Try(rule, door);
    }
    return std::move(found_);
  }

 private:
  void Try(const Rule& rule, const Door& door) {
    strangers_.clear();
    for (const char* text : kStrangers) strangers_.push_back(*IpAddress::Parse(text));
    if (rule.from_kind == FromKind::kSource) {
      for (const TableEntry& entry : StaticEntries(config_, rule.from, /*regex=*/false)) {
        const std::optional<IpNetwork> network = IpNetwork::Parse(entry.key);
        if (strangers_.size() < kMaxStrangers && network && IsTooWide(*network))
          StrangersIn(*network, &strangers_);
      }
    }
    std::vector<std::string> names{kStrangerName, ""};
    if (rule.from_kind == FromKind::kRdns) Append(NamesAround(config_, rule.from), &names);
    std::vector<std::string> domains(std::begin(kForeignDomains), std::end(kForeignDomains));
    if (rule.for_kind == ForKind::kDomain) Append(NamesAround(config_, rule.to), &domains);
    for (const std::string& sender : Claims(config_, rule.mail_from, "spam@stranger-q7x.net")) {
      for (const std::string& helo : Claims(config_, rule.helo, kStrangerName)) {
        for (const std::string& name : names) {
          for (const std::string& domain : domains) {
            if (told_.count(&rule) != 0 || budget_ == 0) return;
            EnvelopeContext context;
            context.tag = door.listener->tag;
            context.tls = door.tls;
            context.helo = helo;
            context.reverse_name = name;
            context.sender = SenderOf(sender);
            context.recipient = {"victim", domain};
            if (IsForEverybody(rule, door, &context)) Tell(rule, door, context);
          }
        }
      }
    }
  }

  static void Append(std::vector<std::string> more, std::vector<std::string>* names) {
    names->insert(names->end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
  }

  // IsForEverybody tells whether clients from far apart get their mail relayed by `rule`.
  bool IsForEverybody(const Rule& rule, const Door& door, EnvelopeContext* context) {
    size_t taken[2] = {0, 0};
    for (const IpAddress& stranger : strangers_) {
      context->remote = stranger;
      if (!(context->remote.is_v6() ? door.v6 : door.v4)) continue;
      if (budget_ == 0 || ruleset_.IsLocalClient(*context)) continue;
      --budget_;
      const StatusOr<std::string_view> failure = ruleset_.FirstFailure(rule, *context);
      if (!failure.ok() || !failure->empty()) continue;
      const RuleMatch match = ruleset_.Match(*context);
      const size_t asked = static_cast<size_t>(&rule - config_.rules.data()) + 1;
      budget_ -= std::min(budget_, asked);
      if (match.rule != &rule || match.outcome != RuleMatch::Outcome::kAccept) continue;
      if (++taken[context->remote.is_v6() ? 1 : 0] >= kAddressesOfEverybody) return true;
    }
    return false;
  }

  void Tell(const Rule& rule, const Door& door, const EnvelopeContext& context) {
    told_.insert(&rule);
    const Action& action = config_.actions[static_cast<size_t>(rule.action)];
    Diagnostic found = MakeWarning(
        rule.location,
        StrCat("open relay: this rule relays for anybody who can reach the server: mail from ",
               context.remote.ToString(), " for ", context.recipient.ToString(),
               ", by the listener at line ", door.listener->location.line,
               " and without a login, would be sent on"));
    found.code = "open-relay";
    found.edit =
        StrCat("ask for a login: match from auth for any action \"", Escape(action.name, 80), "\"");
    found_.push_back(std::move(found));
  }

  const Ruleset& ruleset_;
  const Config& config_;
  std::vector<Door> doors_;
  static constexpr size_t kMaxStrangers = 100;
  std::vector<IpAddress> strangers_;  // whom the rule at hand is tried with
  size_t budget_;
  std::set<const Rule*> told_;
  Diagnostics found_;
};

}  // namespace

Diagnostics FindOpenRelay(const Ruleset& ruleset, const AdviceLimits& limits) {
  return OpenRelaySearch(ruleset, limits).Run();
}

}  // namespace postern::policy
