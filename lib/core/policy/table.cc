#include "lib/core/policy/table.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <re2/re2.h>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/password.h"

namespace postern::policy {
namespace {

struct MailaddrParts {
  std::string_view user;
  std::string_view domain;
};

// "user", "@domain", "user@domain": at the last @, for a quoted local part may hold one.
MailaddrParts SplitMailaddr(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

bool IsGlob(std::string_view pattern) { return pattern.find('*') != std::string_view::npos; }

// ReadAddress reads an address as entries and keys have it: bare, in brackets, with the tag of RFC
// 5321 §4.1.3.
std::optional<IpAddress> ReadAddress(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  if (StartsWithIgnoreCase(text, "ipv6:")) text.remove_prefix(5);
  return IpAddress::Parse(text);
}

std::optional<IpNetwork> ReadNetwork(std::string_view text) {
  if (const std::optional<IpAddress> address = ReadAddress(text)) {
    return IpNetwork{*address, address->is_v6() ? 128 : 32};
  }
  return IpNetwork::Parse(text);
}

// The first `bits` of an address, with the family in front: the key of a network.
std::string NetworkKey(const IpAddress& address, int bits) {
  std::string key(address.bytes());
  for (size_t i = 0; i < key.size(); ++i) {
    const int keep = std::clamp(bits - static_cast<int>(i) * 8, 0, 8);
    key[i] = static_cast<char>(static_cast<unsigned char>(key[i]) & (0xff00u >> keep));
  }
  key.push_back(address.is_v6() ? '6' : '4');
  return key;
}

}  // namespace

bool DomainGlobMatches(std::string_view name, std::string_view pattern) {
  size_t n = 0;
  size_t p = 0;
  while (p < pattern.size() && n < name.size()) {
    if (pattern[p] == '*') {
      while (p < pattern.size() && pattern[p] == '*') ++p;
      while (n < name.size() && (p == pattern.size() || name[n] != pattern[p])) ++n;
      continue;
    }
    if (name[n] != pattern[p]) return false;
    ++n;
    ++p;
  }
  return n == name.size() && p == pattern.size();
}

bool MailaddrMatches(std::string_view address, std::string_view entry, char sub_address_delimiter) {
  if (entry == "@") return true;
  if (entry.empty() || address.empty()) return entry == address;
  MailaddrParts mine = SplitMailaddr(address);
  const MailaddrParts theirs = SplitMailaddr(entry);
  if (!theirs.domain.empty() && !DomainGlobMatches(mine.domain, theirs.domain)) return false;
  if (theirs.user.empty()) return true;
  if (theirs.user.find(sub_address_delimiter) == std::string_view::npos) {
    mine.user = mine.user.substr(0, mine.user.find(sub_address_delimiter));
  }
  return mine.user == theirs.user;
}

// The entries, and an index for each kind of comparison that was asked for. All indices hold
// positions in `entries`.
struct TableContents::Impl {
  struct Regex {
    uint32_t entry;
    std::unique_ptr<RE2> expression;
  };

  std::vector<TableEntry> entries;
  std::vector<Service> services;
  char delimiter = '+';
  std::unordered_map<std::string_view, uint32_t> exact;
  // kDomain: "*.rest" by ".rest"; any other glob in a list. kMailaddr: entries whose domain is a
  // glob.
  std::unordered_map<std::string_view, uint32_t> one_label_globs;
  std::vector<uint32_t> domain_globs;
  std::vector<uint32_t> mailaddr_globs;
  // kNetaddr: by masked address, for each prefix length in use.
  std::unordered_map<std::string, uint32_t> networks;
  std::array<bool, 33> v4_lengths{};
  std::array<bool, 129> v6_lengths{};
  std::unordered_map<std::string, uint32_t> addresses;  // kAddrname, by canonical text
  std::vector<Regex> regexes;
  std::vector<uint32_t> sorted;  // kSource, kRelayhost

  bool Has(Service service) const {
    return std::find(services.begin(), services.end(), service) != services.end();
  }

  // Best keeps of two hits the one whose key sorts first.
  void Best(std::optional<uint32_t>* best, uint32_t candidate) const {
    if (!*best || entries[candidate].key < entries[**best].key) *best = candidate;
  }
  void TryExact(std::string_view key, std::optional<uint32_t>* best) const {
    const auto hit = exact.find(key);
    if (hit != exact.end()) Best(best, hit->second);
  }
  std::optional<uint32_t> Find(Service service, const std::string& key) const;
  std::optional<uint32_t> FindDomain(std::string_view key) const;
  std::optional<uint32_t> FindNetwork(std::string_view key) const;
  std::optional<uint32_t> FindMailaddr(const std::string& key) const;
};

std::optional<uint32_t> TableContents::Impl::FindDomain(std::string_view key) const {
  std::optional<uint32_t> best;
  TryExact(key, &best);
  const size_t dot = key.find('.');
  if (dot != std::string_view::npos) {
    const auto hit = one_label_globs.find(key.substr(dot));
    if (hit != one_label_globs.end()) Best(&best, hit->second);
  }
  for (const uint32_t glob : domain_globs) {
    if (DomainGlobMatches(key, entries[glob].key)) Best(&best, glob);
  }
  return best;
}

std::optional<uint32_t> TableContents::Impl::FindNetwork(std::string_view key) const {
  std::optional<uint32_t> best;
  TryExact(key, &best);  // "local"
  const std::optional<IpAddress> address = ReadAddress(key);
  if (!address) return best;
  const int longest = address->is_v6() ? 128 : 32;
  for (int bits = longest; bits >= 0; --bits) {
    const size_t at = static_cast<size_t>(bits);
    if (!(address->is_v6() ? v6_lengths[at] : v4_lengths[at])) continue;
    const auto hit = networks.find(StrCat(NetworkKey(*address, bits), "/", bits));
    if (hit != networks.end()) Best(&best, hit->second);
  }
  return best;
}

std::optional<uint32_t> TableContents::Impl::FindMailaddr(const std::string& key) const {
  std::optional<uint32_t> best;
  TryExact("@", &best);
  TryExact(key, &best);
  if (key.empty()) return best;
  const MailaddrParts parts = SplitMailaddr(key);
  const std::string_view user = parts.user.substr(0, parts.user.find(delimiter));
  // An entry with a delimiter wants the whole user part, one without ignores what follows it.
  TryExact(StrCat(parts.user, "@", parts.domain), &best);
  TryExact(StrCat(user, "@", parts.domain), &best);
  if (!parts.domain.empty()) TryExact(StrCat("@", parts.domain), &best);
  if (!parts.user.empty()) TryExact(parts.user, &best);
  if (!user.empty()) TryExact(user, &best);
  for (const uint32_t glob : mailaddr_globs) {
    if (MailaddrMatches(key, entries[glob].key, delimiter)) Best(&best, glob);
  }
  return best;
}

std::optional<uint32_t> TableContents::Impl::Find(Service service, const std::string& key) const {
  std::optional<uint32_t> best;
  switch (service) {
    case Service::kDomain: return FindDomain(key);
    case Service::kNetaddr: return FindNetwork(key);
    case Service::kMailaddr: return FindMailaddr(key);
    case Service::kRegex:
      for (const Regex& regex : regexes) {
        if (RE2::PartialMatch(key, *regex.expression)) Best(&best, regex.entry);
      }
      return best;
    case Service::kAddrname:
      if (const std::optional<IpAddress> address = ReadAddress(key)) {
        const auto hit = addresses.find(address->ToString());
        if (hit != addresses.end()) return hit->second;
      }
      break;
    case Service::kAlias:
    case Service::kCredentials:
    case Service::kUserinfo:
    case Service::kSource:
    case Service::kMailaddrmap:
    case Service::kRelayhost:
    case Service::kString: break;
  }
  TryExact(key, &best);
  return best;
}

TableContents::TableContents(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
TableContents::~TableContents() = default;

std::shared_ptr<const TableContents> TableContents::Build(std::vector<TableEntry> entries,
                                                          const TableBuildOptions& options,
                                                          Diagnostics* diagnostics) {
  auto impl = std::make_unique<Impl>();
  impl->entries = std::move(entries);
  impl->services = options.services;
  impl->delimiter = options.sub_address_delimiter;
  constexpr size_t kMaxWarnings = 20;  // one mistake in how a file was made is one mistake
  bool ok = true;
  const auto fail = [&](const TableEntry& entry, std::string message) {
    ok = false;
    diagnostics->push_back(MakeError({options.file, entry.line, entry.column}, std::move(message)));
  };
  size_t warnings = 0;
  const auto warn_of_no_hash = [&](const TableEntry& entry) {
    const std::string secret = ParseCredentials(entry.key, entry.value).secret;
    const bool locked = secret.empty() || secret[0] == '*' || secret[0] == '!' || secret == "x";
    if (locked || IsPasswordHash(secret)) return;
    ++warnings;
    // The secret itself stays out of it: it may be a password.
    diagnostics->push_back(MakeWarning(
        {options.file, entry.line, entry.column},
        StrCat("the password of login \"", Escape(entry.key, 80),
               "\" is no hash that this machine knows, so it can never be right: put the output of "
               "`openssl passwd -6` in its place")));
  };
  impl->exact.reserve(impl->entries.size());
  for (uint32_t i = 0; i < impl->entries.size(); ++i) {
    for (char& c : impl->entries[i].key) c = AsciiToLower(c);
    impl->exact[impl->entries[i].key] = i;  // the last of duplicates wins
  }
  // Exact services are served by `exact` alone; for a million aliases the second walk would double
  // the time.
  const bool needs_index =
      std::any_of(options.services.begin(), options.services.end(), [&](Service s) {
        return s == Service::kDomain || s == Service::kMailaddr || s == Service::kNetaddr ||
               s == Service::kAddrname || s == Service::kRelayhost || s == Service::kRegex ||
               s == Service::kUserinfo || s == Service::kSource ||
               (s == Service::kCredentials && (options.check_hashes || options.check_pairs));
      });
  for (uint32_t i = 0; needs_index && i < impl->entries.size(); ++i) {
    const TableEntry& entry = impl->entries[i];
    const std::string_view key = entry.key;
    if (impl->exact.at(key) != i) continue;
    for (const Service service : options.services) {
      if (service == Service::kDomain && IsGlob(key)) {
        const bool one_label =
            key.size() > 2 && key[0] == '*' && key[1] == '.' && !IsGlob(key.substr(1));
        if (one_label) {
          impl->one_label_globs[key.substr(1)] = i;
        } else {
          impl->domain_globs.push_back(i);
        }
      } else if (service == Service::kMailaddr && IsGlob(SplitMailaddr(key).domain)) {
        impl->mailaddr_globs.push_back(i);
      } else if (service == Service::kNetaddr && key != "local") {
        const std::optional<IpNetwork> network = ReadNetwork(key);
        if (!network) {
          fail(entry,
               StrCat("\"", Escape(key, 80),
                      "\" is neither an address nor a network like 192.0.2.0/24 or 2001:db8::/32"));
          continue;
        }
        const size_t bits = static_cast<size_t>(network->prefix_bits);
        (network->address.is_v6() ? impl->v6_lengths[bits] : impl->v4_lengths[bits]) = true;
        const std::string masked =
            StrCat(NetworkKey(network->address, network->prefix_bits), "/", network->prefix_bits);
        const auto [it, is_new] = impl->networks.try_emplace(masked, i);
        if (!is_new && key < impl->entries[it->second].key) it->second = i;
      } else if (service == Service::kAddrname) {
        if (const std::optional<IpAddress> address = ReadAddress(key))
          impl->addresses[address->ToString()] = i;
      } else if (service == Service::kRelayhost) {
        const StatusOr<RelayUrl> url =
            ParseRelayUrl(entry.value.empty() ? key : std::string_view(entry.value));
        if (!url.ok()) {
          fail(entry, StrCat("relay host \"",
                             Escape(entry.value.empty() ? key : std::string_view(entry.value), 200),
                             "\": ", Message(url.status())));
        }
      } else if (service == Service::kSource) {
        if (!ReadAddress(key)) fail(entry, StrCat("src \"", Escape(key, 80), "\" is no address"));
      } else if (service == Service::kUserinfo) {
        const StatusOr<TableUserinfo> user = ParseUserinfo(entry.value);
        if (!user.ok())
          fail(entry, StrCat("userbase: ", Escape(key, 80), " = \"", Escape(entry.value, 200),
                             "\": ", Message(user.status())));
      } else if (service == Service::kCredentials) {
        const size_t colon = entry.value.find(':');
        if (options.check_pairs && (colon == 0 || colon == std::string::npos)) {
          // The value itself stays out of it: it may be a password.
          fail(entry, StrCat("the value of label \"", Escape(key, 80),
                             "\" must be user:password, for `auth` of a relay"));
          continue;
        }
        if (options.check_hashes && warnings < kMaxWarnings) warn_of_no_hash(entry);
      } else if (service == Service::kRegex) {
        if (impl->regexes.size() >= options.max_regexes) {
          fail(entry, StrCat("more than ", options.max_regexes, " regular expressions"));
          break;
        }
        RE2::Options re2_options;
        re2_options.set_log_errors(false);
        re2_options.set_never_capture(true);
        re2_options.set_encoding(
            RE2::Options::EncodingLatin1);  // octets: addresses need not be UTF-8
        re2_options.set_max_mem(options.max_regex_bytes);
        auto expression = std::make_unique<RE2>(entry.key, re2_options);
        if (!expression->ok()) {
          fail(entry, StrCat("\"", Escape(key, 200),
                             "\" is no regular expression: ", Escape(expression->error(), 200)));
          continue;
        }
        impl->regexes.push_back({i, std::move(expression)});
      }
    }
  }
  if (!ok) return nullptr;
  if (impl->Has(Service::kSource) || impl->Has(Service::kRelayhost)) {
    for (const auto& [key, index] : impl->exact) impl->sorted.push_back(index);
    std::sort(impl->sorted.begin(), impl->sorted.end(),
              [&](uint32_t a, uint32_t b) { return impl->entries[a].key < impl->entries[b].key; });
  }
  return std::shared_ptr<const TableContents>(new TableContents(std::move(impl)));
}

StatusOr<std::optional<std::string>> TableContents::Lookup(Service service,
                                                           std::string_view key) const {
  if (!impl_->Has(service))
    return FailedPrecondition(
        StrCat("the table was not built for ", ServiceName(service), " look-ups"));
  const std::optional<uint32_t> hit = impl_->Find(service, AsciiLower(key));
  if (!hit) return std::optional<std::string>();
  return std::optional<std::string>(impl_->entries[*hit].value);
}

std::optional<std::string> TableContents::At(uint64_t turn) const {
  if (impl_->sorted.empty()) return std::nullopt;
  return impl_->entries[impl_->sorted[turn % impl_->sorted.size()]].key;
}

std::string TableContents::SampleValue() const {
  return impl_->entries.empty() ? "" : impl_->entries.front().value;
}
size_t TableContents::size() const { return impl_->exact.size(); }

bool TableSet::Blocks() const {
  for (const std::shared_ptr<Table>& table : tables) {
    if (table != nullptr && table->Blocks()) return true;
  }
  return false;
}

StatusOr<bool> Table::Match(Service service, std::string_view key) {
  StatusOr<std::optional<std::string>> found = Lookup(service, key);
  if (!found.ok()) return found.status();
  return found->has_value();
}

StatusOr<std::optional<std::string>> StaticTable::Lookup(Service service, std::string_view key) {
  return contents_->Lookup(service, key);
}

StatusOr<std::optional<std::string>> StaticTable::Fetch(Service) {
  return contents_->At(turn_.fetch_add(1, std::memory_order_relaxed));
}

TableBuildOptions BuildOptionsFor(const TableDeclaration& declaration, const Config& config) {
  TableBuildOptions options;
  options.sub_address_delimiter = config.smtp.sub_address_delimiter;
  options.file =
      declaration.kind == TableKind::kStatic ? declaration.location.file : declaration.path;
  for (const TableUse& use : declaration.uses) {
    // The passwords of relays are plain ones, to be sent.
    options.check_pairs |= use.service == Service::kCredentials && use.word == "relay auth";
    options.check_hashes |= use.service == Service::kCredentials && use.word.rfind("auth", 0) == 0;
    if (std::find(options.services.begin(), options.services.end(), use.service) ==
        options.services.end()) {
      options.services.push_back(use.service);
    }
  }
  return options;
}

void CheckTableForm(const TableDeclaration& declaration, TableForm form, Diagnostics* diagnostics) {
  if (form == TableForm::kUnknown) return;
  for (const TableUse& use : declaration.uses) {
    if (use.needs == TableForm::kUnknown || use.needs == form) continue;
    const std::string what =
        declaration.anonymous ? "this table" : StrCat("table \"", Escape(declaration.name), "\"");
    diagnostics->push_back(MakeError(
        use.location, StrCat(what, " may not be used for ", use.word, " lookups: it is a ",
                             form == TableForm::kList ? "list, and key = value pairs are wanted"
                                                      : "mapping, and a list is wanted")));
  }
}

TableCredentials ParseCredentials(std::string_view key, std::string_view value) {
  const size_t colon = value.find(':');
  if (colon == std::string_view::npos) return {std::string(key), std::string(value)};
  return {std::string(value.substr(0, colon)), std::string(value.substr(colon + 1))};
}

StatusOr<TableUserinfo> ParseUserinfo(std::string_view value) {
  const size_t first = value.find(':');
  const size_t second = first == std::string_view::npos ? first : value.find(':', first + 1);
  if (second == std::string_view::npos)
    return InvalidArgument("uid:gid:home is wanted, like 1000:1000:/home/user");
  const std::optional<uint64_t> uid = ParseUint(value.substr(0, first), UINT32_MAX - 1);
  const std::optional<uint64_t> gid =
      ParseUint(value.substr(first + 1, second - first - 1), UINT32_MAX - 1);
  const std::string_view home = value.substr(second + 1);
  if (!uid || !gid)
    return InvalidArgument("uid and gid must be numbers, like 1000:1000:/home/user");
  if (home.empty() || home[0] != '/')
    return InvalidArgument(
        StrCat("the home must be an absolute path, found \"", Escape(home), "\""));
  for (const std::string_view part : Split(home, '/')) {
    if (part == "..") {
      return InvalidArgument(
          StrCat("the home \"", Escape(home), "\" has \"..\" in it: write the path it means"));
    }
  }
  return TableUserinfo{static_cast<uint32_t>(*uid), static_cast<uint32_t>(*gid), std::string(home)};
}

}  // namespace postern::policy
