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

TEST(Verbs, ThatAreNotMeantGetThePossibilities) {
  struct Row {
    const char* line;
    const char* help;
  };
  const Row rows[] = {
      {"pause m", "possibilities are:\n  pause mda\n  pause mta\n"},
      {"pause m x", "possibilities are:\n  pause mda\n  pause mta\n"},
      {"log", "possibilities are:\n  log brief\n  log verbose\n"},
      {"log loud", "possibilities are:\n  log brief\n  log verbose\n"},
      {"show ho", "possibilities are:\n  show hosts\n  show hoststats\n"},
      {"show message nothex", "possibilities are:\n"},
      {"schedule 0123abc", "possibilities are:\n  schedule <id>\n  schedule all\n"},
      {"monitor now", "possibilities are:\n  monitor\n"},
  };
  for (const Row& row : rows) {
    std::string help;
    EXPECT_FALSE(Match(row.line, &help).has_value()) << row.line;
    EXPECT_EQ(help.substr(0, std::string_view(row.help).size()), row.help) << row.line;
  }
  std::string help;
  EXPECT_FALSE(Match("", &help).has_value());
  EXPECT_NE(help.find("  show queue\n"), std::string::npos);
}

TEST(Verbs, OnlySomeAreForEverybody) {
  for (const Verb verb : {Verb::kSubmit, Verb::kEncrypt, Verb::kSpfWalk}) EXPECT_TRUE(IsOpen(verb));
  for (const Verb verb : {Verb::kShowQueue, Verb::kShowMessage, Verb::kRemove, Verb::kReload,
                          Verb::kTrace, Verb::kMetrics})
    EXPECT_FALSE(IsOpen(verb));
}

}  // namespace
}  // namespace postern::control
