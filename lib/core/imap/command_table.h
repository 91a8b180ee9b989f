// The states of a session and the commands that each allows (RFC 3501 §3, §6): everything that
// decides whether a command may come now stands in the table in command_table.cc. An extension's
// command is a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/imap/command.h"

namespace postern::imap {

class Scanner;

// State is where a session stands (RFC 3501 §3). The greeting leads to kNotAuthenticated.
enum class State : uint8_t { kNotAuthenticated, kAuthenticated, kSelected, kLogout };

// ParseLimits are the bounds that parsers of arguments keep.
struct ParseLimits {
  size_t fetch_items = 256;
  int search_depth = 32;
  size_t search_keys = 1000;
};

// CommandRow is one command.
struct CommandRow {
  std::string_view name;  // upper case
  CommandKind kind;
  uint8_t states;       // bits: 1 << State
  bool uid_form;        // may follow "UID"
  bool allows_expunge;  // untagged EXPUNGE may be sent while it runs (RFC 3501 §7.4.1); the UID
                        // form always may
  // parse reads what follows the name, up to the end; false, with the reason in the scanner, when
  // it is not that.
  bool (*parse)(Scanner& scanner, const ParseLimits& limits, CommandArguments* arguments);
};

// FindCommand finds the row of a name in either case; null when there is none.
const CommandRow* FindCommand(std::string_view name);
// RowOf is the row of `kind`.
const CommandRow& RowOf(CommandKind kind);

// AllowedIn tells whether the command may come in `state`.
inline bool AllowedIn(const CommandRow& row, State state) {
  return (row.states >> static_cast<int>(state)) & 1;
}

// AllowsExpunge tells whether an untagged EXPUNGE may be sent before `command` is finished (RFC
// 3501 §7.4.1, RFC 9051 §7.5.1): message numbers that are on their way must not change their
// meaning.
bool AllowsExpunge(const Command& command);

// ParseCommandName reads the name (with "UID") of a command from what follows its tag; null when it
// is unknown.
const CommandRow* ParseCommandName(Scanner& scanner, bool* uid);

// ParseAppendPrefix reads APPEND's arguments up to the message's literal (RFC 3501 §6.3.11), all of
// the scanner's text. False when it does not fit, which may also mean that a literal at the end is
// the mailbox's name rather than the message.
bool ParseAppendPrefix(Scanner& scanner, AppendArguments* arguments);

}  // namespace postern::imap
