#include "lib/core/smtp/server_states.h"

#include <gtest/gtest.h>

namespace postern::smtp {
namespace {

TEST(ServerStates, VerbsInEitherCase) {
  EXPECT_EQ(FindCommand("ehlo"), Command::kEhlo);
  EXPECT_EQ(FindCommand("RcPt"), Command::kRcpt);
  EXPECT_EQ(FindCommand("EHLOX"), Command::kUnknown);
  EXPECT_EQ(FindCommand(""), Command::kUnknown);
  EXPECT_EQ(FindCommand("GET"), Command::kForeign);
  for (int i = 0; i < static_cast<int>(Command::kUnimplemented); ++i) {
    EXPECT_EQ(FindCommand(CommandName(static_cast<Command>(i))), static_cast<Command>(i));
  }
}

// What the table may never say, whatever is changed in it.
TEST(ServerStates, Invariants) {
  for (int s = 0; s < kStateCount; ++s) {
    const State state = static_cast<State>(s);
    const bool greeted = state != State::kConnecting && state != State::kRefused;
    EXPECT_EQ(Transition(Command::kQuit, state) == Outcome::kRun, state != State::kConnecting);
    EXPECT_EQ(Transition(Command::kRset, state) == Outcome::kRun, greeted);
    EXPECT_EQ(Transition(Command::kData, state) == Outcome::kRun, state == State::kRcpt);
    EXPECT_EQ(Transition(Command::kMail, state) == Outcome::kRun, state == State::kReady);
    EXPECT_EQ(Transition(Command::kRcpt, state) == Outcome::kRun,
              state == State::kMail || state == State::kRcpt);
    EXPECT_EQ(Transition(Command::kStartTls, state) == Outcome::kRun, state == State::kReady);
    EXPECT_EQ(Transition(Command::kAuth, state) == Outcome::kRun, state == State::kReady);
    // The octets of a BDAT are never commands.
    if (state != State::kConnecting) {
      const Outcome bdat = Transition(Command::kBdat, state);
      EXPECT_TRUE(bdat == Outcome::kRun || bdat == Outcome::kSwallow);
    }
  }
}

}  // namespace
}  // namespace postern::smtp
