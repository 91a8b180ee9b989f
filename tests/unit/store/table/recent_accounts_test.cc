#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/store/table/accounts.h"

namespace postern::store {
namespace {

using policy::ForwardFile;
using policy::LocalAccount;

class HandClock final : public rt::Clock {
 public:
  Instant Now() override { return now; }
  WallTime WallNow() override { return absl::UnixEpoch(); }
  Instant now{1'000'000'000};
};

// Counting knows alice, and counts what it is asked.
class Counting final : public policy::AccountSource {
 public:
  StatusOr<std::optional<LocalAccount>> FindAccount(const std::string& name) override {
    ++finds;
    if (name != "alice") return std::optional<LocalAccount>();
    return std::optional<LocalAccount>({name, 1000, 1000, "/home/alice"});
  }
  StatusOr<ForwardFile> ReadForward(const LocalAccount&) override {
    ++forwards;
    return forward;
  }
  StatusOr<std::string> ReadInclude(const std::string& path) override { return path; }
  int finds = 0;
  int forwards = 0;
  ForwardFile forward;
};

TEST(RecentAccounts, AsksOnceUntilTheAnswerIsOld) {
  HandClock clock;
  Counting source;
  RecentAccounts recent(&clock, &source);
  for (int i = 0; i < 3; ++i) {
    const StatusOr<std::optional<LocalAccount>> account = recent.FindAccount("alice");
    ASSERT_TRUE(account.ok() && account->has_value());
    EXPECT_EQ((*account)->home, "/home/alice");
    EXPECT_TRUE(recent.ReadForward(**account).ok());
  }
  EXPECT_EQ(source.finds, 1);
  EXPECT_EQ(source.forwards, 1);
  clock.now = clock.now + absl::Seconds(3);
  source.forward.state = ForwardFile::State::kPresent;
  source.forward.text = "bob@example.org";
  EXPECT_EQ(recent.ReadForward(LocalAccount{"alice", 1000, 1000, "/home/alice"})->text,
            "bob@example.org");
  EXPECT_TRUE(recent.FindAccount("alice").ok());
  EXPECT_EQ(source.finds, 2);
}

TEST(RecentAccounts, OneNameMayHaveTwoHomes) {
  HandClock clock;
  Counting source;
  RecentAccounts recent(&clock, &source);
  EXPECT_TRUE(recent.ReadForward(LocalAccount{"alice", 1000, 1000, "/home/alice"}).ok());
  EXPECT_TRUE(recent.ReadForward(LocalAccount{"alice", 2000, 2000, "/virtual/alice"}).ok());
  EXPECT_EQ(source.forwards, 2);
}

TEST(RecentAccounts, FromMemoryNeverAsksAndSaysThatItMissed) {
  HandClock clock;
  Counting source;
  RecentAccounts recent(&clock, &source);
  RecentAccounts::FromMemory cold(&recent);
  EXPECT_FALSE(cold.FindAccount("alice").ok());
  EXPECT_TRUE(cold.missed());
  EXPECT_EQ(source.finds, 0);

  EXPECT_TRUE(recent.FindAccount("alice").ok());
  RecentAccounts::FromMemory warm(&recent);
  EXPECT_TRUE(warm.FindAccount("alice").ok());
  EXPECT_FALSE(warm.missed());
  EXPECT_FALSE(warm.ReadInclude("/etc/aliases").ok());
  EXPECT_TRUE(warm.missed());
}

TEST(RecentAccounts, RemembersNoMoreThanItMay) {
  HandClock clock;
  Counting source;
  RecentAccountsOptions options;
  options.max_accounts = 2;
  RecentAccounts recent(&clock, &source, options);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(recent.ReadForward(LocalAccount{StrCat("u", i), 1000, 1000, "/home"}).ok());
  }
  EXPECT_TRUE(recent.ReadForward(LocalAccount{"u9", 1000, 1000, "/home"}).ok());
  EXPECT_TRUE(recent.ReadForward(LocalAccount{"u0", 1000, 1000, "/home"}).ok());
  EXPECT_EQ(source.forwards, 11);
}

// An account that there is not may be made the next moment.
TEST(RecentAccounts, DoesNotRememberWhatIsNot) {
  HandClock clock;
  Counting source;
  RecentAccounts recent(&clock, &source);
  EXPECT_FALSE(recent.FindAccount("nobody")->has_value());
  EXPECT_FALSE(recent.FindAccount("nobody")->has_value());
  EXPECT_EQ(source.finds, 2);
}

}  // namespace
}  // namespace postern::store
