// Expansion: from the recipient that a client named to the places where the message goes
// (aliases(5), smtpd.conf(5), forward(5)).
//
// Addresses go through the rules; a local action turns them into users through `virtual` or
// `alias`; users are looked up as accounts and their ~/.forward is read; what comes out goes round
// again, until only accounts, files, programs and relays are left. What was expanded once is not
// expanded again: members of lists that name each other get one copy each. Where nobody is left,
// and for too deep a chain or too many nodes, RCPT is refused, so that the sender is told: no
// expansion ends with nobody and no word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/reply.h"
#include "lib/core/policy/ruleset.h"

namespace postern::policy {

// LocalAccount is who a local delivery is for.
struct LocalAccount {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;
};

struct ForwardFile {
  enum class State {
    kMissing,  // or empty: deliver
    kPresent,
    kTemporary,  // sticky home, unreadable: 4xx
    kUnsafe,     // wrong owner or mode: 5xx
  };
  State state = State::kMissing;
  std::string text;
};

// AccountSource is what expansion asks of the machine. Its calls may block: expand on the pool,
// unless the source answers from memory.
class AccountSource {
 public:
  virtual ~AccountSource() = default;
  // FindAccount looks a system account up; nullopt when there is none, an error when that cannot be
  // known now.
  virtual StatusOr<std::optional<LocalAccount>> FindAccount(const std::string& name) = 0;
  // ReadForward reads ~/.forward of `account` with the checks of forward(5).
  virtual StatusOr<ForwardFile> ReadForward(const LocalAccount& account) = 0;
  // ReadInclude reads a file named by :include:, with the daemon's own rights, whoever named it.
  virtual StatusOr<std::string> ReadInclude(const std::string& path) = 0;
};

struct Destination {
  enum class Kind {
    kAccount,  // by the action: maildir, mbox, lmtp, mda
    kFile,     // append to `path_or_command`, an mbox
    kCommand,  // run `path_or_command`
    kRelay,    // by the action: relay
  };
  Kind kind = Kind::kRelay;
  int action = kNoIndex;      // index into Config::actions
  int rule = kNoIndex;        // index into Config::rules
  mail::Address recipient;    // as the client named it: %{rcpt}
  mail::Address destination;  // the last address of the chain: %{dest}; where a relay sends it
  std::string user;     // kAccount, and the owner of kFile and kCommand: the final account's name
  LocalAccount run_as;  // whom the delivery runs as: the account, or the action's `user`
  // kFile and kCommand of an alias: the daemon's own account, run_as is empty
  bool run_as_daemon = false;
  std::string sub_address;  // what followed the delimiter, or ""
  std::string path_or_command;
};

struct Expansion {
  // refusal is the reply to RCPT when the recipient is not taken; then there are no destinations.
  std::optional<mail::Reply> refusal;
  // reason says for the log why it was refused, with names and lines; empty when it was not.
  std::string reason;
  // notes say for the log what is odd in the operator's or a user's lists though the recipient is
  // taken: names in a circle, what is not obeyed. At most ExpansionOptions::max_notes.
  std::vector<std::string> notes;
  std::vector<Destination> destinations;
};

struct ExpansionOptions {
  int max_depth = 10;              // as OpenSMTPD
  size_t max_nodes = 1000;         // of one recipient
  size_t max_forward_nodes = 100;  // of one .forward
  size_t max_forward_bytes = 4095;
  size_t max_include_bytes = 1 << 20;
  size_t max_notes = 10;              // further ones are left out
  size_t max_repeated_edges = 10000;  // among which a circle is looked for, to name it
  // trace, when it is given, is emptied and gets each step; it outlives the call.
  Trace* trace = nullptr;
};

// Expand finds where mail for `context.recipient` goes. Blocks as much as tables and accounts do.
Expansion Expand(const Ruleset& ruleset, AccountSource& accounts, const EnvelopeContext& context,
                 const ExpansionOptions& options = {});

// --- Alias values ---

struct AliasValue {
  enum class Kind { kError, kInclude, kCommand, kFile, kAddress, kUser };
  Kind kind = Kind::kUser;
  std::string text;       // error text with its code, path, command or user name
  mail::Address address;  // kAddress

  friend bool operator==(const AliasValue&, const AliasValue&) = default;
};

// ParseAliasValues reads a comma list; quotes and backslash protect commas. An error says which
// item means nothing.
StatusOr<std::vector<AliasValue>> ParseAliasValues(std::string_view text);
// ParseForwardText reads a .forward or an included file: one list a line, # starts a comment.
StatusOr<std::vector<AliasValue>> ParseForwardText(std::string_view text);

}  // namespace postern::policy
