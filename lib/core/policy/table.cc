#include "lib/core/policy/table.h"

#include <algorithm>

#include "lib/core/base/strings.h"

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
  // What is stored for SCRAM has colons of its own (RFC 5803 §2).
  if (StartsWithIgnoreCase(value, "SCRAM-SHA-")) return {std::string(key), std::string(value)};
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
