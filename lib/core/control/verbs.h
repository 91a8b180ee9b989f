// The words of smtpctl(8), and ours, as a table: what a line of them asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::control {

enum class Verb : uint8_t {
  kDiscover,
  kEncrypt,  // the client's own business
  kFree,     // parked mail back into the schedule
  kLogBrief,
  kLogVerbose,
  kMetrics,
  kMonitor,
  kPauseEnvelope,
  kPauseMda,
  kPauseMta,
  kPauseMtaFor,
  kPauseSmtp,
  kProfile,
  kReload,
  kRemove,
  kResumeEnvelope,
  kResumeMda,
  kResumeMta,
  kResumeMtaFor,
  kResumeRoute,
  kResumeSmtp,
  kSchedule,
  kShowEnvelope,
  kShowHosts,
  kShowHostStats,
  kShowMessage,
  kShowMtaPaused,
  kShowParked,
  kShowQueue,
  kShowRelays,
  kShowRoutes,
  kShowStats,
  kShowStatus,
  kSpfWalk,  // the client's own business
  kSubmit,
  kTrace,
  kUncorrupt,
  kUnprofile,
  kUntrace,
  kUpdateTable,
};

// Command is a verb with its operands, in the order of the table.
struct Command {
  Verb verb = Verb::kShowQueue;
  std::vector<std::string> operands;
};

// MatchVerb finds what `words` mean. Each word of the table may be shortened to what no other word
// there begins with; a whole word wins over longer ones. nullopt: there is none, and `*help` is
// "possibilities are:" and, one a line as smtpctl(8) has them, the words so far with each that may
// come next.
std::optional<Command> MatchVerb(const std::vector<std::string>& words, std::string* help);

// IsOpen tells whether any user of this machine may ask for `verb`: the others take root, or the
// account that the server runs as.
bool IsOpen(Verb verb);

// Name is the verb's words in full, without operands: for the log.
std::string_view Name(Verb verb);

}  // namespace postern::control
