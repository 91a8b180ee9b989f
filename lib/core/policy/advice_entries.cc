// Entries of tables that are right where they stand and cannot mean what was meant: a key that is
// never looked up, a label without a password.

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

Diagnostic Told(const SourceLocation& at, const char* code, std::string message, std::string edit) {
  Diagnostic found = MakeWarning(at, std::move(message));
  found.code = code;
  found.edit = std::move(edit);
  return found;
}

const TableDeclaration* StaticTableOf(const Config& config, TableId id) {
  if (id == kNoIndex) return nullptr;
  const TableDeclaration& table = config.tables[static_cast<size_t>(id)];
  return table.kind == TableKind::kStatic ? &table : nullptr;
}

// FirstEntry gives the first of the first `max` keys of a list in the file that `fits`; null when
// there is none, or the criterion asks for something else.
template <typename Fits>
const TableEntry* FirstEntry(const Config& config, const Criterion& criterion, size_t max,
                             const Fits& fits) {
  const TableDeclaration* table =
      criterion.regex ? nullptr : StaticTableOf(config, criterion.table);
  if (table == nullptr) return nullptr;
  const auto end =
      table->entries.begin() + static_cast<ptrdiff_t>(std::min(max, table->entries.size()));
  const auto found = std::find_if(table->entries.begin(), end, fits);
  return found == end ? nullptr : &*found;
}

// LooksLikeDomain tells whether a pattern for addresses that has no @, and so names users of any
// domain, is a domain by all appearance: dots, and behind the last one letters.
bool LooksLikeDomain(std::string_view text) {
  const size_t dot = text.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || text.size() - dot < 3) return false;
  if (text.find('@') != std::string_view::npos) return false;
  return std::all_of(text.begin() + static_cast<ptrdiff_t>(dot) + 1, text.end(),
                     [](char c) { return IsAsciiAlpha(c); });
}

void CheckSenders(const Config& config, const Rule& rule, const Criterion& criterion,
                  const char* word, size_t max, Diagnostics* out) {
  if (!criterion.present) return;
  const TableEntry* user = FirstEntry(
      config, criterion, max, [](const TableEntry& entry) { return LooksLikeDomain(entry.key); });
  if (user == nullptr) return;
  const std::string name = Escape(user->key, 80);
  out->push_back(Told(rule.location, "pattern",
                      StrCat("\"", name, "\" in ", word,
                             " is a user of that name at any domain, and looks like a domain"),
                      StrCat("write \"@", name, "\" for everybody at the domain")));
}

// CheckLabel tells of a relay URL whose label the `auth` table does not have.
void CheckLabel(const Ruleset& ruleset, const Action& action, const std::string& text,
                Diagnostics* out) {
  const StatusOr<RelayUrl> url = ParseRelayUrl(text);
  if (!url.ok() || url->label.empty()) return;
  Table* secrets = ruleset.tables().Get(action.relay.auth);
  if (secrets == nullptr || secrets->Blocks()) return;
  const StatusOr<std::optional<std::string>> value =
      secrets->Lookup(Service::kCredentials, url->label);
  if (!value.ok() || value->has_value()) return;
  const std::string label = Escape(url->label, 80);
  const std::string table =
      Escape(ruleset.config().tables[static_cast<size_t>(action.relay.auth)].name, 80);
  out->push_back(
      Told(action.options.Find("auth", action.location), "no-credentials",
           StrCat("action \"", Escape(action.name, 80), "\": table \"", table,
                  "\" has no user and password for the label \"", label,
                  "\", so its mail would wait until it expires"),
           StrCat("add ", label, " = \"user:password\" to the table, or correct the label")));
}

}  // namespace

Diagnostics FindVainPatterns(const Config& config, const AdviceLimits& limits) {
  Diagnostics out;
  for (const Rule& rule : config.rules) {
    if (rule.for_kind == ForKind::kDomain) {
      const TableEntry* address = FirstEntry(
          config, rule.to, limits.max_entries,
          [](const TableEntry& entry) { return entry.key.find('@') != std::string::npos; });
      if (address != nullptr) {
        const std::string name = Escape(address->key, 80);
        out.push_back(Told(rule.location, "pattern",
                           StrCat("\"", name,
                                  "\" is an address, and `for domain` compares domains: nothing is "
                                  "ever for it"),
                           StrCat("write for rcpt-to \"", name, "\"")));
      }
    }
    CheckSenders(config, rule, rule.mail_from, "mail-from", limits.max_entries, &out);
    CheckSenders(config, rule, rule.rcpt_to, "rcpt-to", limits.max_entries, &out);
  }
  return out;
}

Diagnostics FindHeldMail(const Ruleset& ruleset, const AdviceLimits& limits) {
  const Config& config = ruleset.config();
  Diagnostics out;
  for (const Action& action : config.actions) {
    if (action.IsLocal()) continue;
    if (const TableDeclaration* hosts = StaticTableOf(config, action.relay.host)) {
      for (size_t i = 0; i < hosts->entries.size() && i < limits.max_entries; ++i)
        CheckLabel(ruleset, action, hosts->entries[i].key, &out);
    }
    const TableDeclaration* domains = StaticTableOf(config, action.relay.domain);
    if (domains == nullptr) continue;
    for (size_t i = 0; i < domains->entries.size() && i < limits.max_entries; ++i) {
      const TableEntry& entry = domains->entries[i];
      CheckLabel(ruleset, action, entry.value, &out);
      if (entry.key.find_first_of("*@") == std::string::npos) continue;
      out.push_back(
          Told(action.options.Find("domain", action.location), "no-smarthost",
               StrCat("action \"", Escape(action.name, 80), "\": \"", Escape(entry.key, 80),
                      "\" is never looked up: `domain` takes each domain as it is written, without "
                      "wildcards, and mail for others would wait until it expires"),
               "name the domains, or give the rest a rule with an action of its own (relay host "
               "…)"));
    }
  }
  return out;
}

}  // namespace postern::policy
