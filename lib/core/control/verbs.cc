#include "lib/core/control/verbs.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/queue/envelope.h"

namespace postern::control {
namespace {

// A row is one form of a command. A word in angles is an operand: <evpid> is 16 hexadecimal
// digits, <msgid> 8, <id> either of the two, <number> decimal, <...> all that is left (none, too),
// and any other is any word.
struct Row {
  Verb verb;
  const char* words;
  bool open = false;
};

constexpr Row kRows[] = {
    {Verb::kDiscover, "discover <id>"},
    {Verb::kEncrypt, "encrypt", true},
    {Verb::kEncrypt, "encrypt <string>", true},
    {Verb::kFree, "free <id>"},
    {Verb::kFree, "free all"},
    {Verb::kLogBrief, "log brief"},
    {Verb::kLogVerbose, "log verbose"},
    {Verb::kMetrics, "metrics"},
    {Verb::kMonitor, "monitor"},
    {Verb::kPauseEnvelope, "pause envelope <id>"},
    {Verb::kPauseEnvelope, "pause envelope all"},
    {Verb::kPauseMda, "pause mda"},
    {Verb::kPauseMta, "pause mta"},
    {Verb::kPauseMtaFor, "pause mta from <address> for <domain>"},
    {Verb::kPauseSmtp, "pause smtp"},
    {Verb::kProfile, "profile <subsystem>"},
    {Verb::kReload, "reload"},
    {Verb::kRemove, "remove <id>"},
    {Verb::kRemove, "remove all"},
    {Verb::kResumeEnvelope, "resume envelope <id>"},
    {Verb::kResumeEnvelope, "resume envelope all"},
    {Verb::kResumeMda, "resume mda"},
    {Verb::kResumeMta, "resume mta"},
    {Verb::kResumeMtaFor, "resume mta from <address> for <domain>"},
    {Verb::kResumeRoute, "resume route <number>"},
    {Verb::kResumeSmtp, "resume smtp"},
    {Verb::kSchedule, "schedule <id>"},
    {Verb::kSchedule, "schedule all"},
    {Verb::kShowEnvelope, "show envelope <evpid>"},
    {Verb::kShowHosts, "show hosts"},
    {Verb::kShowHostStats, "show hoststats"},
    {Verb::kShowMessage, "show message <id>"},
    {Verb::kShowMtaPaused, "show mta paused"},
    {Verb::kShowParked, "show parked"},
    {Verb::kShowQueue, "show queue"},
    {Verb::kShowQueue, "show queue <msgid>"},
    {Verb::kShowRelays, "show relays"},
    {Verb::kShowRoutes, "show routes"},
    {Verb::kShowStats, "show stats"},
    {Verb::kShowStatus, "show status"},
    {Verb::kSpfWalk, "spf walk", true},
    {Verb::kSubmit, "submit <...>", true},
    {Verb::kTrace, "trace <subsystem|id|address>"},
    {Verb::kUncorrupt, "uncorrupt <msgid>"},
    {Verb::kUnprofile, "unprofile <subsystem>"},
    {Verb::kUntrace, "untrace <subsystem>"},
    {Verb::kUpdateTable, "update table <name>"},
};

bool IsOperand(std::string_view word) { return word.front() == '<'; }
bool IsRest(std::string_view word) { return word == "<...>"; }

bool Fits(std::string_view operand, const std::string& word) {
  if (operand == "<evpid>") return queue::ParseEnvelopeId(word).has_value();
  if (operand == "<msgid>") return queue::ParseMessageId(word).has_value();
  if (operand == "<id>")
    return queue::ParseEnvelopeId(word).has_value() || queue::ParseMessageId(word).has_value();
  if (operand == "<number>") return ParseUint(word, UINT32_MAX).has_value();
  return true;
}

}  // namespace

std::optional<Command> MatchVerb(const std::vector<std::string>& words, std::string* help) {
  help->clear();
  struct Candidate {
    const Row* row;
    std::vector<std::string_view> parts;
  };
  std::vector<Candidate> left;
  for (const Row& row : kRows) left.push_back({&row, SplitWords(row.words)});
  std::vector<Candidate> before = left;  // what the words that were good so far can become
  bool unknown = false;
  size_t good = 0;  // words that mean one thing
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    std::vector<Candidate> next;
    const auto part_of = [i](const Candidate& candidate) -> std::string_view {
      if (i < candidate.parts.size()) return candidate.parts[i];
      return IsRest(candidate.parts.back()) ? candidate.parts.back() : std::string_view();
    };
    bool whole = false;
    for (const Candidate& each : left) whole = whole || part_of(each) == word;
    for (const Candidate& each : left) {
      const std::string_view part = part_of(each);
      if (part.empty()) continue;
      const bool fits = IsOperand(part)
                            ? !whole && Fits(part, word)
                            : (whole ? part == word : !word.empty() && part.starts_with(word));
      if (fits) next.push_back(each);
    }
    // A shortened word must mean one word: operands and a word do not mix.
    if (next.empty()) {
      unknown = true;
      break;
    }
    const std::string_view meant = part_of(next.front());
    const bool one = std::all_of(next.begin(), next.end(),
                                 [&](const Candidate& each) { return part_of(each) == meant; });
    left = std::move(next);
    before = left;
    if (!one) {
      unknown = true;
      break;
    }
    ++good;
  }
  if (!unknown) {
    for (const Candidate& each : left) {
      const bool rest = IsRest(each.parts.back());
      if (words.size() != each.parts.size() && !(rest && words.size() + 1 >= each.parts.size()))
        continue;
      Command command;
      command.verb = each.row->verb;
      for (size_t i = 0; i < words.size(); ++i) {
        if (i >= each.parts.size() || IsOperand(each.parts[i]))
          command.operands.push_back(words[i]);
      }
      // "all" is an operand as well.
      if (!rest && each.parts.back() == "all") command.operands.push_back("all");
      return command;
    }
  }
  *help = "possibilities are:\n";
  std::string last;
  for (const Candidate& each : before) {
    const size_t shown = std::min(good + 1, each.parts.size());
    std::string line =
        StrJoin(std::vector<std::string_view>(each.parts.begin(), each.parts.begin() + shown), " ");
    if (line != last) StrAppend(*help, line, "\n");
    last = std::move(line);
  }
  return std::nullopt;
}

bool IsOpen(Verb verb) {
  for (const Row& row : kRows) {
    if (row.verb == verb) return row.open;
  }
  return false;
}

std::string_view Name(Verb verb) {
  for (const Row& row : kRows) {
    if (row.verb != verb) continue;
    const std::string_view words = row.words;
    const size_t operand = words.find(" <");
    return words.substr(0, operand);
  }
  return "";
}

}  // namespace postern::control
