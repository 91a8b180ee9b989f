// The commands of IMAP as values (RFC 3501 §6, and the extensions named at each). command_table.cc
// says which there are and in which state each may come; parse_commands.cc reads them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/imap/fetch_items.h"
#include "lib/core/imap/sequence_set.h"
#include "lib/core/mailbox/flags.h"

namespace postern::imap {

enum class CommandKind : uint8_t {
  kCapability,
  kNoop,
  kLogout,
  kId,  // RFC 2971
  kStartTls,
  kAuthenticate,
  kLogin,
  kEnable,  // RFC 5161
  kSelect,
  kExamine,
  kCreate,
  kDelete,
  kRename,
  kSubscribe,
  kUnsubscribe,
  kList,
  kLsub,
  kNamespace,  // RFC 2342
  kStatus,
  kAppend,
  kIdle,  // RFC 2177
  kCheck,
  kClose,
  kUnselect,  // RFC 3691
  kExpunge,
  kSearch,
  kFetch,
  kStore,
  kCopy,
  kMove,  // RFC 6851
};

// Mailbox names in commands are UTF-8 (modified UTF-7 undone), not yet judged by
// mailbox::CanonicalName.

struct NoArguments {};

// IdArguments is ID (RFC 2971 §3.1); empty for NIL.
struct IdArguments {
  std::vector<std::pair<std::string, std::string>> fields;
};
struct AuthenticateArguments {
  std::string mechanism;
  std::optional<std::string> initial_response;  // RFC 4959; "=" is an empty one
};
struct LoginArguments {
  std::string user;
  std::string password;
};
struct EnableArguments {
  std::vector<std::string> capabilities;
};
// MailboxArguments is for the commands that name one mailbox: SELECT, EXAMINE, CREATE, DELETE,
// SUBSCRIBE, UNSUBSCRIBE.
struct MailboxArguments {
  std::string mailbox;
  std::vector<std::string> special_use;  // CREATE … (USE (\Sent)), RFC 6154 §3
};
struct RenameArguments {
  std::string from;
  std::string to;
};
// StatusItem is what STATUS may ask for (RFC 3501 §6.3.10; SIZE: RFC 8438; HIGHESTMODSEQ: RFC 7162
// §3.1.7).
enum class StatusItem : uint8_t {
  kMessages,
  kRecent,
  kUidNext,
  kUidValidity,
  kUnseen,
  kSize,
  kHighestModSeq
};
// ListArguments is LIST and LSUB. With `extended` the rest is RFC 5258's: more patterns, selection
// and return options.
struct ListArguments {
  std::string reference;
  std::vector<std::string> patterns;  // UTF-8
  bool extended = false;
  bool select_subscribed = false;   // (SUBSCRIBED)
  bool select_special_use = false;  // (SPECIAL-USE), RFC 6154
  bool recursive_match = false;     // (RECURSIVEMATCH)
  bool return_subscribed = false;
  bool return_children = false;
  bool return_special_use = false;
  std::vector<StatusItem> return_status;  // STATUS (…), RFC 5819; empty: not asked
};
struct StatusArguments {
  std::string mailbox;
  std::vector<StatusItem> items;
};
// AppendArguments is what stands before the message of APPEND (RFC 3501 §6.3.11).
struct AppendArguments {
  std::string mailbox;
  mailbox::FlagList flags;
  std::optional<WallTime> date;
};
struct ExpungeArguments {
  std::optional<SequenceSet> uids;  // UID EXPUNGE, RFC 4315 §2.1
};
// SearchArguments is SEARCH. The criteria are kept as text, checked already: what "*" stands for is
// known only when the search is made (ParseSearchCriteria).
struct SearchArguments {
  std::string criteria;
};
struct FetchArguments {
  SequenceSet set;
  std::vector<FetchItem> items;
};
struct StoreArguments {
  enum class Mode : uint8_t { kReplace, kAdd, kRemove };
  SequenceSet set;
  Mode mode = Mode::kReplace;
  bool silent = false;
  mailbox::FlagList flags;
};
// CopyArguments is COPY and MOVE.
struct CopyArguments {
  SequenceSet set;
  std::string mailbox;
};

using CommandArguments =
    std::variant<NoArguments, IdArguments, AuthenticateArguments, LoginArguments, EnableArguments,
                 MailboxArguments, RenameArguments, ListArguments, StatusArguments, AppendArguments,
                 ExpungeArguments, SearchArguments, FetchArguments, StoreArguments, CopyArguments>;

// Command is one command, read in full. `uid` is set when it came as UID COPY, UID FETCH and so on:
// sets are UIDs then.
struct Command {
  std::string tag;
  CommandKind kind = CommandKind::kNoop;
  bool uid = false;
  CommandArguments arguments;
};

// StatusItemName is "MESSAGES" and so on.
std::string_view StatusItemName(StatusItem item);

}  // namespace postern::imap
