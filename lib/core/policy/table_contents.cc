// TableContents: the entries of a table and an index for each kind of comparison that was asked
// for.

#include <algorithm>

#include <re2/re2.h>

#include "lib/core/base/strings.h"
#include "lib/core/policy/entry_store.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/password.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/table_keys.h"

namespace postern::policy {
namespace {

constexpr uint32_t kNone = FlatIndex::kNone;

// NetworkMap finds entries by network.
class NetworkMap {
 public:
  void Reserve(size_t count) {
    index_.Reserve(count);
    items_.reserve(count);
  }
  // Slot is the entry of a network, kNone when it is new.
  uint32_t& Slot(const IpNetwork& network) {
    const NetworkKey key = KeyOfNetwork(network.address, network.prefix_bits);
    uint32_t& number =
        index_.Slot(HashOf(key.view()), [&](uint32_t i) { return items_[i].key == key; });
    if (number == kNone) {
      number = static_cast<uint32_t>(items_.size());
      items_.push_back(Item{key, kNone});
      lengths_.Add(network);
    }
    return items_[number].entry;
  }
  // ForEach calls `take` with the entry of each network that holds `address`.
  template <typename Take>
  void ForEach(const IpAddress& address, Take take) const {
    lengths_.ForEachKey(address, [&](const NetworkKey& key) {
      const uint32_t number =
          index_.Find(HashOf(key.view()), [&](uint32_t i) { return items_[i].key == key; });
      if (number != kNone) take(items_[number].entry);
    });
  }

 private:
  struct Item {
    NetworkKey key;
    uint32_t entry;
  };
  std::vector<Item> items_;
  FlatIndex index_;
  PrefixLengths lengths_;
};

}  // namespace

struct TableContents::Impl {
  struct Builder;
  struct Regex {
    uint32_t entry;
    std::unique_ptr<RE2> expression;
  };

  EntryStore entries;  // keys in lower case
  std::vector<Service> services;
  char delimiter = '+';
  // Globs that no look-up finds by name. kDomain; kMailaddr: of the domain.
  std::vector<uint32_t> domain_globs;
  std::vector<uint32_t> mailaddr_globs;
  NetworkMap networks;   // kNetaddr
  NetworkMap addresses;  // kAddrname: networks of one address
  std::vector<Regex> regexes;
  std::vector<uint32_t> sorted;  // kSource, kRelayhost

  bool Has(Service service) const {
    return std::find(services.begin(), services.end(), service) != services.end();
  }

  // Best keeps of two hits the one whose key sorts first.
  void Best(uint32_t* best, uint32_t candidate) const {
    if (*best == kNone || entries.key(candidate) < entries.key(*best)) *best = candidate;
  }
  void TryExact(std::string_view key, uint32_t* best) const {
    const uint32_t hit = entries.Find(key);
    if (hit != kNone) Best(best, hit);
  }
  uint32_t Find(Service service, std::string_view key) const;
  // FindNamed is for kDomain and kMailaddr.
  uint32_t FindNamed(Service service, std::string_view key) const;
  uint32_t FindNetwork(std::string_view key) const;
};

uint32_t TableContents::Impl::FindNamed(Service service, std::string_view key) const {
  uint32_t best = kNone;
  ForEachName(service, key, delimiter, [&](std::string_view name) { TryExact(name, &best); });
  if (service == Service::kDomain) {
    for (const uint32_t glob : domain_globs) {
      if (DomainGlobMatches(key, entries.key(glob))) Best(&best, glob);
    }
  } else {
    for (const uint32_t glob : mailaddr_globs) {
      if (MailaddrMatches(key, entries.key(glob), delimiter)) Best(&best, glob);
    }
  }
  return best;
}

uint32_t TableContents::Impl::FindNetwork(std::string_view key) const {
  uint32_t best = kNone;
  if (key == "local") TryExact(key, &best);
  const std::optional<IpAddress> address = ReadAddress(key);
  if (address) networks.ForEach(*address, [&](uint32_t entry) { Best(&best, entry); });
  return best;
}

uint32_t TableContents::Impl::Find(Service service, std::string_view key) const {
  uint32_t best = kNone;
  switch (service) {
    case Service::kDomain:
    case Service::kMailaddr: return FindNamed(service, key);
    case Service::kNetaddr: return FindNetwork(key);
    case Service::kRegex:
      for (const Regex& regex : regexes) {
        if (RE2::PartialMatch(re2::StringPiece(key.data(), key.size()), *regex.expression))
          Best(&best, regex.entry);
      }
      return best;
    case Service::kAddrname:
      if (const std::optional<IpAddress> address = ReadAddress(key))
        addresses.ForEach(*address, [&](uint32_t entry) { best = entry; });
      if (best != kNone) return best;
      break;
    case Service::kAlias:
    case Service::kCredentials:
    case Service::kUserinfo:
    case Service::kSource:
    case Service::kMailaddrmap:
    case Service::kRelayhost:
    case Service::kString: break;
  }
  return entries.Find(key);
}

// Builder puts entries into the indices, and tells what is wrong with them.
struct TableContents::Impl::Builder {
  Impl& impl;
  const TableBuildOptions& options;
  Diagnostics* diagnostics;
  bool ok = true;
  size_t warnings = 0;

  void Fail(const TableEntry& entry, std::string message) {
    ok = false;
    diagnostics->push_back(MakeError({options.file, entry.line, entry.column}, std::move(message)));
  }
  // Add takes one entry, which is number `i`, for `service`.
  void Add(Service service, const TableEntry& entry, uint32_t i);
  void AddNetwork(const TableEntry& entry, uint32_t i);
  void AddRegex(const TableEntry& entry, uint32_t i);
  void CheckCredentials(const TableEntry& entry);
  void WarnOfNoHash(const TableEntry& entry);
};

void TableContents::Impl::Builder::Add(Service service, const TableEntry& entry, uint32_t i) {
  const std::string_view key = impl.entries.key(i);
  const std::string_view value = entry.value;
  switch (service) {
    case Service::kDomain:
      if (!IsNamed(service, key)) impl.domain_globs.push_back(i);
      return;
    case Service::kMailaddr:
      if (!IsNamed(service, key)) impl.mailaddr_globs.push_back(i);
      return;
    case Service::kNetaddr: AddNetwork(entry, i); return;
    case Service::kRegex: AddRegex(entry, i); return;
    case Service::kCredentials: CheckCredentials(entry); return;
    case Service::kAddrname:
      if (const std::optional<IpAddress> address = ReadAddress(key))
        impl.addresses.Slot({*address, address->is_v6() ? 128 : 32}) = i;
      return;
    case Service::kRelayhost: {
      const std::string_view text = value.empty() ? key : value;
      const StatusOr<RelayUrl> url = ParseRelayUrl(text);
      if (!url.ok())
        Fail(entry, StrCat("relay host \"", Escape(text, 200), "\": ", Message(url.status())));
      return;
    }
    case Service::kSource:
      if (!ReadAddress(key)) Fail(entry, StrCat("src \"", Escape(key, 80), "\" is no address"));
      return;
    case Service::kUserinfo: {
      const StatusOr<TableUserinfo> user = ParseUserinfo(value);
      if (!user.ok())
        Fail(entry, StrCat("userbase: ", Escape(key, 80), " = \"", Escape(value, 200),
                           "\": ", Message(user.status())));
      return;
    }
    case Service::kAlias:
    case Service::kMailaddrmap:
    case Service::kString: return;
  }
}

void TableContents::Impl::Builder::AddNetwork(const TableEntry& entry, uint32_t i) {
  const std::string_view key = impl.entries.key(i);
  if (key == "local") return;
  const std::optional<IpNetwork> network = ReadNetwork(key);
  if (!network) {
    Fail(entry, StrCat("\"", Escape(key, 80),
                       "\" is neither an address nor a network like 192.0.2.0/24 or "
                       "2001:db8::/32"));
    return;
  }
  uint32_t& slot = impl.networks.Slot(*network);
  if (slot == kNone || key < impl.entries.key(slot)) slot = i;
}

void TableContents::Impl::Builder::AddRegex(const TableEntry& entry, uint32_t i) {
  if (impl.regexes.size() >= options.max_regexes) {
    if (impl.regexes.size() == options.max_regexes)
      Fail(entry, StrCat("more than ", options.max_regexes, " regular expressions"));
    impl.regexes.push_back({i, nullptr});  // so that it is said once
    return;
  }
  RE2::Options re2;
  re2.set_log_errors(false);
  re2.set_never_capture(true);
  re2.set_encoding(RE2::Options::EncodingLatin1);  // octets: addresses need not be UTF-8
  re2.set_max_mem(options.max_regex_bytes);
  const std::string_view key = impl.entries.key(i);
  auto expression = std::make_unique<RE2>(re2::StringPiece(key.data(), key.size()), re2);
  if (!expression->ok()) {
    Fail(entry, StrCat("\"", Escape(key, 200),
                       "\" is no regular expression: ", Escape(expression->error(), 200)));
    return;
  }
  impl.regexes.push_back({i, std::move(expression)});
}

void TableContents::Impl::Builder::CheckCredentials(const TableEntry& entry) {
  // A value without a colon is a password alone: the label names the user.
  const bool has_user_and_secret = !entry.value.empty() && entry.value.front() != ':';
  if (options.check_pairs && !has_user_and_secret) {
    // The value itself stays out of it: it may be a password.
    Fail(entry, StrCat("the value of label \"", Escape(entry.key, 80),
                       "\" must be user:password, or the password alone of the user that the label "
                       "names, for `auth` of a relay"));
  } else if (options.check_hashes) {
    WarnOfNoHash(entry);
  }
}

void TableContents::Impl::Builder::WarnOfNoHash(const TableEntry& entry) {
  constexpr size_t kMaxWarnings = 20;  // one mistake in how a file was made is one mistake
  if (warnings >= kMaxWarnings) return;
  const std::string secret = ParseCredentials(entry.key, entry.value).secret;
  if (secret.empty()) {
    ++warnings;
    diagnostics->push_back(MakeWarning(
        {options.file, entry.line, entry.column},
        StrCat("login \"", Escape(entry.key, 80),
               "\" has no password, so nobody can log in with it: put the output of `openssl "
               "passwd -6` there, or * for a login that is meant to be locked")));
    return;
  }
  const bool locked = secret[0] == '*' || secret[0] == '!' || secret == "x";
  if (locked || IsPasswordHash(secret)) return;
  ++warnings;
  // The secret itself stays out of it: it may be a password.
  diagnostics->push_back(MakeWarning(
      {options.file, entry.line, entry.column},
      StrCat("the password of login \"", Escape(entry.key, 80),
             "\" is no hash that this machine knows, so it can never be right: put the output of "
             "`openssl passwd -6` in its place")));
}

TableContents::TableContents(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
TableContents::~TableContents() = default;

std::shared_ptr<const TableContents> TableContents::Build(std::vector<TableEntry> entries,
                                                          const TableBuildOptions& options,
                                                          Diagnostics* diagnostics) {
  auto impl = std::make_unique<Impl>();
  impl->services = options.services;
  impl->delimiter = options.sub_address_delimiter;
  size_t octets = 0;
  for (const TableEntry& entry : entries) octets += entry.key.size() + entry.value.size();
  impl->entries.Reserve(entries.size(), octets);
  if (impl->Has(Service::kNetaddr)) impl->networks.Reserve(entries.size());
  if (impl->Has(Service::kAddrname)) impl->addresses.Reserve(entries.size());
  // The last of duplicates wins: `sources` is the entry behind each number.
  std::vector<uint32_t> sources;
  sources.reserve(entries.size());
  for (uint32_t i = 0; i < entries.size(); ++i) {
    for (char& c : entries[i].key) c = AsciiToLower(c);
    const uint32_t number = impl->entries.Put(entries[i].key, entries[i].value);
    if (number == sources.size()) {
      sources.push_back(i);
    } else {
      sources[number] = i;
    }
  }
  Impl::Builder builder{*impl, options, diagnostics};
  for (const Service service : options.services) {
    // Nothing but the keys is needed of these; for a million entries a walk is a walk.
    if (service == Service::kAlias || service == Service::kMailaddrmap ||
        service == Service::kString)
      continue;
    for (uint32_t number = 0; number < sources.size(); ++number)
      builder.Add(service, entries[sources[number]], number);
  }
  if (!builder.ok) return nullptr;
  if (impl->Has(Service::kSource) || impl->Has(Service::kRelayhost)) {
    for (uint32_t i = 0; i < impl->entries.size(); ++i) impl->sorted.push_back(i);
    std::sort(impl->sorted.begin(), impl->sorted.end(),
              [&](uint32_t a, uint32_t b) { return impl->entries.key(a) < impl->entries.key(b); });
  }
  return std::shared_ptr<const TableContents>(new TableContents(std::move(impl)));
}

StatusOr<std::optional<std::string>> TableContents::Lookup(Service service,
                                                           std::string_view key) const {
  if (!impl_->Has(service))
    return FailedPrecondition(
        StrCat("the table was not built for ", ServiceName(service), " look-ups"));
  const uint32_t hit = impl_->Find(service, AsciiLower(key));
  if (hit == kNone) return std::optional<std::string>();
  return std::optional<std::string>(std::string(impl_->entries.value(hit)));
}

std::optional<std::string> TableContents::At(uint64_t turn) const {
  if (impl_->sorted.empty()) return std::nullopt;
  return std::string(impl_->entries.key(impl_->sorted[turn % impl_->sorted.size()]));
}

void TableContents::EachValue(const std::function<void(std::string_view)>& each) const {
  for (uint32_t i = 0; i < impl_->entries.size(); ++i) each(impl_->entries.value(i));
}

std::string TableContents::SampleValue() const {
  return impl_->entries.size() == 0 ? "" : std::string(impl_->entries.value(0));
}
size_t TableContents::size() const { return impl_->entries.size(); }

}  // namespace postern::policy
