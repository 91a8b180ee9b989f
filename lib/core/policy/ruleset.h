// The ruleset: which `match` takes a recipient.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/mail/address.h"
#include "lib/core/policy/model.h"
#include "lib/core/policy/rule_index.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/trace.h"

namespace postern::policy {

// EnvelopeContext is what a rule may ask about: the session, the transaction and one recipient.
struct EnvelopeContext {
  bool is_local_socket = false;  // came in by the local socket; counts as authenticated
  IpAddress remote;              // meaningless when is_local_socket
  std::string reverse_name;      // the client's rDNS name; empty when it has none
  std::string helo;
  bool authenticated = false;
  std::string auth_user;
  std::string tag;  // of the listener
  bool tls = false;
  mail::Address sender;
  mail::Address recipient;
  int64_t day = 0;  // today, counted from 1970-01-01: how old an SRS address is
  // is_internal marks an address that alias, virtual or .forward produced: it comes from "local".
  bool is_internal = false;
};

// LocalNames is what `local` means on this machine.
struct LocalNames {
  std::string server_name;
  std::vector<IpAddress> addresses;  // of all interfaces; loopback is always local
};

struct RuleMatch {
  enum class Outcome {
    kAccept,     // rule->action decides
    kReject,     // a rule said reject: 550
    kNone,       // no rule matched: 550
    kTemporary,  // a table did not answer: 451
  };
  Outcome outcome = Outcome::kNone;
  const Rule* rule = nullptr;  // for kAccept, kReject, kTemporary
  int rule_index = kNoIndex;
  std::string error;  // for kTemporary: which table, and why
};

// Ruleset evaluates the rules of one Config. It keeps pointers: `config` and `tables` outlive it.
// Any thread; blocks as much as the tables do.
class Ruleset {
 public:
  Ruleset(const Config* config, const TableSet* tables, LocalNames local);

  // Match returns the first rule all of whose criteria hold. Of a long list only those are tested
  // that can hold (rule_index.h). `steps`, when it is given, gets each rule up to that one, and all
  // are tested.
  RuleMatch Match(const EnvelopeContext& context, std::vector<RuleStep>* steps = nullptr) const;
  // MatchByWalk is Match without the index: what that must agree with.
  RuleMatch MatchByWalk(const EnvelopeContext& context,
                        std::vector<RuleStep>* steps = nullptr) const;

  // FirstFailure says why `rule` does not take `context`: "from", "for", "auth", "helo",
  // "mail-from", "rcpt-to", "tag" or "tls";
  // "" when it does. An error is a table's.
  StatusOr<std::string_view> FirstFailure(const Rule& rule, const EnvelopeContext& context) const;

  // IsLocalClient tells whether `from local` holds.
  bool IsLocalClient(const EnvelopeContext& context) const;
  // IsLocalDomain tells whether `for local` holds: "localhost", the server's name, and this
  // machine's addresses as literals.
  bool IsLocalDomain(std::string_view domain) const;

  const Config& config() const { return *config_; }
  const TableSet& tables() const { return *tables_; }

 private:
  const Config* config_;
  const TableSet* tables_;
  // Test tests one rule and, unless it does not match, fills `*match`.
  bool Test(size_t index, const EnvelopeContext& context, RuleMatch* match,
            std::vector<RuleStep>* steps = nullptr) const;

  LocalNames local_;
  RuleIndex index_;
};

}  // namespace postern::policy
