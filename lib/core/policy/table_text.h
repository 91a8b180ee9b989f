// The text formats of table files: in comes the text, out come the entries. Reading the file is
// lib/store/table's.
#pragma once

#include <string_view>
#include <vector>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

struct TableText {
  TableForm form = TableForm::kUnknown;  // kUnknown for a file without entries: it passes for both
  std::vector<TableEntry> entries;
  // pair_line is the first line of a list that looks like a key and its value; 0: none, or the file
  // says itself that it is a list.
  int pair_line = 0;
};

struct TableTextOptions {
  size_t max_entries = 10'000'000;
  size_t max_line_bytes = 64 << 10;
};

// ParseTableText reads a `file:` table (table(5)): lines are trimmed, blank lines and lines
// starting with # skipped. The first data line decides: a blank, tab or colon after the first word
// makes a mapping, else a list, in which the whole line is the entry. `# @list` before the first
// entry forces a list. A key that starts with [ ends at its ]. A mapping line without value is an
// error, with `file` and its line.
TableText ParseTableText(std::string_view text, const std::string& file,
                         const TableTextOptions& options, Diagnostics* diagnostics);

// PasswdUse says what is wanted of a passwd(5)-style table: its hashes, or who its users are.
enum class PasswdUse { kCredentials, kUserinfo };

// ParsePasswdText reads a `passwd:` table: login:hash:uid:gid:gecos:home[:shell[:extra]], # cuts
// the line. A line of fewer than six fields is an error. The values are the hash, or "uid:gid:home"
// (a line whose uid or gid is no number is then left out).
TableText ParsePasswdText(std::string_view text, const std::string& file, PasswdUse use,
                          const TableTextOptions& options, Diagnostics* diagnostics);

}  // namespace postern::policy
