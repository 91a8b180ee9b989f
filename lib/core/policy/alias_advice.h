// What is wrong with a list of aliases, found before mail comes: a value that means nothing, a file
// that cannot be included, names in a circle. A running server answers 424 for the first two, and
// expands the third once; an operator wants to know before.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {

// kMaxAliasFaults bounds the mistakes that are told of one text: behind them nothing is read.
inline constexpr size_t kMaxAliasFaults = 100;

// AliasFault is one item of a list that means nothing.
struct AliasFault {
  int line = 1;       // of a .forward or an included file
  size_t offset = 0;  // of the item's first octet in its line
  std::string item;
  std::string message;  // one line of printable text: the item, and what is wrong with it
};
// FindAliasFaults reads as ParseAliasValues does and goes on behind a mistake; the items that mean
// something are put behind `*values`.
std::vector<AliasFault> FindAliasFaults(std::string_view text, std::vector<AliasValue>* values);
// FindForwardFaults does so for ParseForwardText.
std::vector<AliasFault> FindForwardFaults(std::string_view text, std::vector<AliasValue>* values);

// AliasEntry is one line of a table that `alias` or `virtual` names.
struct AliasEntry {
  std::string key;
  std::string value;
  SourceLocation location;  // of the entry
  // value_column is where the value's first octet stands in its line; 0: nobody knows, and findings
  // have the entry's own column.
  int value_column = 0;
};

struct AliasAdviceOptions {
  bool is_virtual = false;           // keys may be addresses, and values that are keys are expanded
  char sub_address_delimiter = '+';  // smtp sub-addr-delim
  // show_included: findings quote the lines of included files. Who may read more than the people
  // who name such files should not: a list may include /etc/shadow.
  bool show_included = true;
  size_t max_findings = 20;            // of one list; the rest is not looked for
  size_t max_include_bytes = 1 << 20;  // as ExpansionOptions
  size_t max_includes = 1000;          // that are read; the rest is not
};

// IncludeReader gives the text of a file that `:include:` names.
using IncludeReader = std::function<StatusOr<std::string>(const std::string& path)>;

// CheckAliases looks through `entries` and gives warnings:
//   alias-value   a value that is none of aliases(5)'s: mail for its name is answered 424
//   alias-include a file that cannot be read, or that includes another
//   alias-circle  names that lead back to themselves, with the way, at the line that closes it
// Linear in the text of entries and of included files. Keys are compared as the table does: in
// lower case, the last of equal ones alone. What a .forward does is not looked at.
Diagnostics CheckAliases(const std::vector<AliasEntry>& entries, const IncludeReader& read_include,
                         const AliasAdviceOptions& options);

}  // namespace postern::policy
