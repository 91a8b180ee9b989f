// What a decision looked at on its way, for people who ask why. Recording costs nothing where no
// trace is given.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/address.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

// RuleStep is one rule that was asked, in order. Rules behind the one that took the recipient are
// not asked.
struct RuleStep {
  int rule = kNoIndex;  // index into Config::rules
  // failed names the condition that does not hold: "from", "for", "auth", "helo", "mail-from",
  // "rcpt-to", "tag" or "tls"; "" when all hold.
  std::string_view failed{};
  std::string error{};  // of a table that did not answer
};

// TraceStep is one thing that an expansion did.
struct TraceStep {
  enum class Kind {
    kRules,    // `subject` (an address) went through the rules; `internal`: expansion made it
    kLookup,   // `key` was looked up in `table` for `subject`; `value` is what it has
    kAccount,  // account `key` was looked for (in `table`, or the system); `value` is its home
    kForward,  // the .forward of account `key`; `value` is its text
  };
  Kind kind = Kind::kRules;
  std::string subject;
  bool internal = false;
  std::vector<RuleStep> rules;
  mail::Address address;  // kRules
  TableId table = kNoIndex;
  std::string key;
  std::optional<std::string> value;
};

// Trace holds the steps of the last expansion that it was given to, in their order.
struct Trace {
  std::vector<TraceStep> steps;
};

}  // namespace postern::policy
