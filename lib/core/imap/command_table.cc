#include "lib/core/imap/command_table.h"

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/imap/parse_commands.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {
namespace {

constexpr uint8_t kN = 1 << static_cast<int>(State::kNotAuthenticated);
constexpr uint8_t kA = 1 << static_cast<int>(State::kAuthenticated);
constexpr uint8_t kS = 1 << static_cast<int>(State::kSelected);
constexpr uint8_t kAny = kN | kA | kS;

constexpr CommandRow kCommands[] = {
    // name, kind, states, UID form, EXPUNGE allowed, arguments
    // RFC 3501 §6.1: in any state
    {"CAPABILITY", CommandKind::kCapability, kAny, false, true, ParseNothing},
    {"NOOP", CommandKind::kNoop, kAny, false, true, ParseNothing},
    {"LOGOUT", CommandKind::kLogout, kAny, false, true, ParseNothing},
    {"ID", CommandKind::kId, kAny, false, true, ParseId},
    // §6.2: not authenticated
    {"STARTTLS", CommandKind::kStartTls, kN, false, true, ParseNothing},
    {"AUTHENTICATE", CommandKind::kAuthenticate, kN, false, true, ParseAuthenticate},
    {"LOGIN", CommandKind::kLogin, kN, false, true, ParseLogin},
    // §6.3: authenticated
    {"ENABLE", CommandKind::kEnable, kA, false, true,
     ParseEnable},  // RFC 5161 §3.1: not once a mailbox is selected
    {"SELECT", CommandKind::kSelect, kA | kS, false, true, ParseMailbox},
    {"EXAMINE", CommandKind::kExamine, kA | kS, false, true, ParseMailbox},
    {"CREATE", CommandKind::kCreate, kA | kS, false, true, ParseCreate},
    {"DELETE", CommandKind::kDelete, kA | kS, false, true, ParseMailbox},
    {"RENAME", CommandKind::kRename, kA | kS, false, true, ParseRename},
    {"SUBSCRIBE", CommandKind::kSubscribe, kA | kS, false, true, ParseMailbox},
    {"UNSUBSCRIBE", CommandKind::kUnsubscribe, kA | kS, false, true, ParseMailbox},
    {"LIST", CommandKind::kList, kA | kS, false, true, ParseList},
    {"LSUB", CommandKind::kLsub, kA | kS, false, true, ParseLsub},
    {"NAMESPACE", CommandKind::kNamespace, kA | kS, false, true, ParseNothing},
    {"STATUS", CommandKind::kStatus, kA | kS, false, true, ParseStatus},
    {"APPEND", CommandKind::kAppend, kA | kS, false, true, ParseAppendWithoutLiteral},
    {"IDLE", CommandKind::kIdle, kA | kS, false, true, ParseNothing},
    // §6.4: selected
    {"CHECK", CommandKind::kCheck, kS, false, true, ParseNothing},
    {"CLOSE", CommandKind::kClose, kS, false, true, ParseNothing},
    {"UNSELECT", CommandKind::kUnselect, kS, false, true, ParseNothing},
    {"EXPUNGE", CommandKind::kExpunge, kS, true, true, ParseExpunge},
    {"SEARCH", CommandKind::kSearch, kS, true, false, ParseSearch},
    {"FETCH", CommandKind::kFetch, kS, true, false, ParseFetch},
    {"STORE", CommandKind::kStore, kS, true, false, ParseStore},
    {"COPY", CommandKind::kCopy, kS, true, true, ParseCopy},
    {"MOVE", CommandKind::kMove, kS, true, true, ParseCopy},
};

}  // namespace

const CommandRow* FindCommand(std::string_view name) {
  for (const CommandRow& row : kCommands) {
    if (EqualsIgnoreCase(row.name, name)) return &row;
  }
  return nullptr;
}

const CommandRow& RowOf(CommandKind kind) {
  for (const CommandRow& row : kCommands) {
    if (row.kind == kind) return row;
  }
  POSTERN_CHECK(false);
  return kCommands[0];
}

bool AllowsExpunge(const Command& command) {
  return command.uid || RowOf(command.kind).allows_expunge;
}

const CommandRow* ParseCommandName(Scanner& scanner, bool* uid) {
  std::string_view name;
  if (!scanner.Atom(&name)) return nullptr;
  *uid = EqualsIgnoreCase(name, "UID");
  if (!*uid) return FindCommand(name);
  if (!scanner.Space() || !scanner.Atom(&name)) return nullptr;
  const CommandRow* row = FindCommand(name);
  return row != nullptr && row->uid_form ? row : nullptr;
}

}  // namespace postern::imap
