#include "lib/core/control/verbs.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::control {
namespace {

std::optional<Command> Match(std::string_view line, std::string* help) {
  std::vector<std::string> words;
  for (const std::string_view word : SplitWords(line)) words.emplace_back(word);
  return MatchVerb(words, help);
}

TEST(Verbs, AreFoundByWordsAndTheirBeginnings) {
  struct Row {
    const char* line;
    Verb verb;
    const char* operand;
  };
  const Row rows[] = {
      {"show queue", Verb::kShowQueue, ""},
      {"sh q", Verb::kShowQueue, ""},
      {"show queue 0123abcd", Verb::kShowQueue, "0123abcd"},
      {"show hosts", Verb::kShowHosts, ""},
      {"show hostst", Verb::kShowHostStats, ""},
      {"sc all", Verb::kSchedule, "all"},
      {"schedule 0123abcd01234567", Verb::kSchedule, "0123abcd01234567"},
      {"rem 0123abcd", Verb::kRemove, "0123abcd"},
      {"pause envelope all", Verb::kPauseEnvelope, "all"},
      {"pa md", Verb::kPauseMda, ""},
      {"resume route 7", Verb::kResumeRoute, "7"},
      {"log brief", Verb::kLogBrief, ""},
      {"u t aliases", Verb::kUpdateTable, ""},  // ambiguous, below
      {"update table aliases", Verb::kUpdateTable, "aliases"},
      {"trace smtp", Verb::kTrace, "smtp"},
      {"monitor", Verb::kMonitor, ""},
      {"spf walk", Verb::kSpfWalk, ""},
      {"submit -f a@b -- c@d", Verb::kSubmit, "-f"},
  };
  for (const Row& row : rows) {
    std::string help;
    const std::optional<Command> command = Match(row.line, &help);
    if (std::string_view(row.line).starts_with("u t")) {
      EXPECT_FALSE(command.has_value());
      continue;
    }
    ASSERT_TRUE(command.has_value()) << row.line << "\n" << help;
    EXPECT_EQ(command->verb, row.verb) << row.line;
    EXPECT_EQ(command->operands.empty() ? "" : command->operands[0], row.operand) << row.line;
    EXPECT_EQ(help, "");
  }
}

TEST(Verbs, HaveTheirOperandsInOrder) {
  std::string help;
  const std::optional<Command> command = Match("pause mta from 192.0.2.1 for example.org", &help);
  ASSERT_TRUE(command.has_value()) << help;
  EXPECT_EQ(command->verb, Verb::kPauseMtaFor);
  EXPECT_EQ(command->operands, (std::vector<std::string>{"192.0.2.1", "example.org"}));
  EXPECT_EQ(Match("pause mta", &help)->verb, Verb::kPauseMta);
  EXPECT_EQ(Match("show mta paused", &help)->verb, Verb::kShowMtaPaused);
}

TEST(Verbs, ThatAreNotMeantGetThePossibilities) {
  struct Row {
    const char* line;
    const char* help;
  };
  const Row rows[] = {
      {"pause m", "possibilities are:\npause mda\npause mta\n"},
      {"pause m x", "possibilities are:\npause mda\npause mta\n"},
      {"log", "possibilities are:\nlog brief\nlog verbose\n"},
      {"log loud", "possibilities are:\nlog brief\nlog verbose\n"},
      {"show ho", "possibilities are:\nshow hosts\nshow hoststats\n"},
      {"show message nothex", "possibilities are:\n"},
      {"schedule 0123abc", "possibilities are:\nschedule <id>\nschedule all\n"},
      {"monitor now", "possibilities are:\nmonitor\n"},
  };
  for (const Row& row : rows) {
    std::string help;
    EXPECT_FALSE(Match(row.line, &help).has_value()) << row.line;
    EXPECT_EQ(help.substr(0, std::string_view(row.help).size()), row.help) << row.line;
  }
  std::string help;
  EXPECT_FALSE(Match("", &help).has_value());
  // No word: what may be the first, as smtpctl(8) has it.
  EXPECT_EQ(help,
            "possibilities are:\ndiscover\nencrypt\nfree\nlog\nmetrics\nmonitor\npause\nprofile\n"
            "reload\nremove\nresume\nschedule\nshow\nspf\nsubmit\ntrace\nuncorrupt\nunprofile\n"
            "untrace\nupdate\n");
  EXPECT_FALSE(Match("show envelope", &help).has_value());
  EXPECT_EQ(help, "possibilities are:\nshow envelope <evpid>\n");
  EXPECT_FALSE(Match("show queue zz", &help).has_value());
  EXPECT_EQ(help, "possibilities are:\nshow queue\nshow queue <msgid>\n");
  EXPECT_FALSE(Match("pause mta from 192.0.2.1", &help).has_value());
  EXPECT_EQ(help, "possibilities are:\npause mta from <address> for\n");
}

TEST(Verbs, OnlySomeAreForEverybody) {
  for (const Verb verb : {Verb::kSubmit, Verb::kEncrypt, Verb::kSpfWalk}) EXPECT_TRUE(IsOpen(verb));
  for (const Verb verb : {Verb::kShowQueue, Verb::kShowMessage, Verb::kRemove, Verb::kReload,
                          Verb::kTrace, Verb::kMetrics})
    EXPECT_FALSE(IsOpen(verb));
}

}  // namespace
}  // namespace postern::control
