// `filter` and `proc`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"
#include "lib/core/policy/model_rule.h"

namespace postern::policy {

enum class FilterPhase : uint8_t {
  kConnect,
  kHelo,
  kEhlo,
  kStartTls,
  kAuth,
  kMailFrom,
  kRcptTo,
  kData,
  kCommit
};
enum class FilterTest : uint8_t { kFcrdns, kRdns, kSource, kHelo, kAuth, kMailFrom, kRcptTo };
enum class FilterDecision : uint8_t { kDisconnect, kReject, kRewrite, kReport, kJunk, kBypass };
enum class FilterKind : uint8_t { kBuiltin, kProgram, kChain, kMilter };

struct Filter {
  std::string name;  // "<anonymous:N>" for a chain written in place
  SourceLocation location;
  FilterKind kind = FilterKind::kBuiltin;
  // kBuiltin
  FilterPhase phase = FilterPhase::kConnect;
  FilterTest test = FilterTest::kRdns;
  Criterion criterion;
  FilterDecision decision = FilterDecision::kReject;
  std::string argument;    // status text, new value or report
  int proc = kNoIndex;     // kProgram: index into Config::procs
  std::vector<int> chain;  // kChain: indices into Config::filters, in order
  int milter = kNoIndex;   // kMilter: index into Config::milters
};

// MilterDefault is what becomes of mail while a milter does not answer.
enum class MilterDefault : uint8_t { kTempFail, kReject, kAccept };

// Milter is a filter of another program by Sendmail's protocol. Times are Postfix's defaults.
struct Milter {
  Endpoint endpoint;
  MilterDefault when_away = MilterDefault::kTempFail;
  Duration connect_timeout = absl::Seconds(30);   // with the negotiation
  Duration command_timeout = absl::Seconds(30);   // for each answer up to DATA
  Duration content_timeout = absl::Seconds(300);  // for each answer behind it
};

// ProgramTimeouts are `timeout` of a filter program: how long it may take. What is unset is as the
// server has it (service::FilterProgramOptions).
struct ProgramTimeouts {
  std::optional<Duration> start;    // from its start to "register|ready"
  std::optional<Duration> answer;   // for the verdict about a step
  std::optional<Duration> content;  // between two pieces of a message that it has been told
  std::optional<Duration> read;     // for it to read what it is told
};

// Proc is a program that speaks the filter protocol.
struct Proc {
  std::string name;
  SourceLocation location;
  std::string command;
  std::string user;
  std::string group;
  std::string chroot;
  ProgramTimeouts timeouts;
};

}  // namespace postern::policy
