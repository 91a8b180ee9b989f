#include "lib/server/alias_check.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/alias_advice.h"
#include "lib/core/policy/berkeley_db.h"
#include "lib/core/policy/table_text.h"
#include "lib/store/table/tables.h"

namespace postern::server {
namespace {

using policy::AliasEntry;
using policy::TableDeclaration;
using policy::TableEntry;
using policy::TableKind;

// ColumnOf is where the value of `entry` stands in its line: it is the line's end.
int ColumnOf(const TableEntry& entry, const std::vector<std::string_view>& lines) {
  if (entry.line < 1 || static_cast<size_t>(entry.line) > lines.size()) return 0;
  std::string_view line = lines[static_cast<size_t>(entry.line) - 1];
  line.remove_suffix(line.size() - (line.find_last_not_of(" \t\r") + 1));
  if (!line.ends_with(entry.value)) return 0;
  return static_cast<int>(line.size() - entry.value.size()) + 1;
}

// EntriesOf reads what `table` has; nothing where it cannot be read, which the start tells of.
std::vector<AliasEntry> EntriesOf(rt::World& world, const TableDeclaration& table,
                                  const AliasCheckLimits& limits) {
  std::vector<AliasEntry> out;
  if (table.kind == TableKind::kStatic) {
    for (const TableEntry& entry : table.entries)
      out.push_back({entry.key, entry.value, {table.location.file, entry.line, entry.column}, 0});
    return out;
  }
  if (table.kind != TableKind::kFile && table.kind != TableKind::kDb) return out;
  const StatusOr<std::string> text =
      store::ReadTextFile(world.files(), table.path, limits.max_file_bytes);
  if (!text.ok()) return out;
  policy::Diagnostics told;
  policy::TableText parsed;
  std::vector<std::string_view> lines;
  if (table.kind == TableKind::kFile) {
    parsed = policy::ParseTableText(*text, table.path, {}, &told);
    lines = Split(*text, '\n');
  } else {
    StatusOr<policy::TableText> read = policy::ReadBerkeleyDb(*text, {});
    if (!read.ok()) return out;
    parsed = *std::move(read);
  }
  out.reserve(parsed.entries.size());
  for (TableEntry& entry : parsed.entries) {
    const int column = ColumnOf(entry, lines);
    out.push_back(
        {std::move(entry.key), std::move(entry.value), {table.path, entry.line, 0}, column});
  }
  return out;
}

}  // namespace

void CheckAliasTables(rt::World& world, const Runtime& runtime, policy::Diagnostics* diagnostics,
                      const AliasCheckLimits& limits) {
  const policy::Config& config = runtime.config();
  std::map<policy::TableId, bool> tables;  // with whether one uses it for `virtual`
  for (const policy::Action& action : config.actions) {
    if (action.alias != policy::kNoIndex) tables.try_emplace(action.alias, false);
    if (action.virtual_users != policy::kNoIndex) tables[action.virtual_users] = true;
  }
  for (const auto& [id, is_virtual] : tables) {
    policy::AliasAdviceOptions options;
    options.is_virtual = is_virtual;
    options.show_included = world.processes().Self().uid != 0;
    options.sub_address_delimiter = config.smtp.sub_address_delimiter;
    const policy::IncludeReader read = [&](const std::string& path) {
      return store::ReadTextFile(world.files(), path, options.max_include_bytes);
    };
    for (policy::Diagnostic& each : policy::CheckAliases(
             EntriesOf(world, config.tables[static_cast<size_t>(id)], limits), read, options))
      diagnostics->push_back(std::move(each));
  }
}

}  // namespace postern::server
