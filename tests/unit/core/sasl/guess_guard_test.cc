#include "lib/core/sasl/guess_guard.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::sasl {
namespace {

const Instant kStart = Instant() + absl::Hours(1000);

IpAddress Address(const std::string& text) { return *IpAddress::Parse(text); }

// Guess counts how many of `times` attempts in a row, a second apart, are looked at.
int Guess(GuessGuard* guard, Instant now, const std::string& address, const std::string& account,
          int times, bool own = false) {
  int looked_at = 0;
  for (int i = 0; i < times; ++i) {
    if (guard->Begin(now + absl::Seconds(i), Address(address), own, account).allowed) ++looked_at;
  }
  return looked_at;
}

TEST(GuessGuard, AnAddressIsSlowedThenRefused) {
  GuessGuard guard{GuessLimits()};
  Duration last = absl::ZeroDuration();
  for (int i = 1; i <= 20; ++i) {
    const GuessGuard::Verdict verdict = guard.Begin(kStart, Address("192.0.2.1"), false, "fred");
    ASSERT_TRUE(verdict.allowed) << i;
    EXPECT_EQ(verdict.delay > absl::ZeroDuration(), i > 3) << i;
    EXPECT_GE(verdict.delay, last);
    EXPECT_LE(verdict.delay, GuessLimits().most_delay);
    last = verdict.delay;
  }
  EXPECT_EQ(last, GuessLimits().most_delay);
  EXPECT_FALSE(guard.Begin(kStart, Address("192.0.2.1"), false, "fred").allowed);
  // Another account from there is refused as well, another address is not.
  EXPECT_FALSE(guard.Begin(kStart, Address("192.0.2.1"), false, "george").allowed);
  EXPECT_TRUE(guard.Begin(kStart, Address("192.0.2.2"), false, "george").allowed);
  // In the window's time all is forgiven.
  EXPECT_TRUE(guard.Begin(kStart + absl::Hours(1), Address("192.0.2.1"), false, "fred").delay ==
              absl::ZeroDuration());
}

TEST(GuessGuard, TenThousandGuessesFromOneAddressDoNotReachTheAccount) {
  GuessGuard guard{GuessLimits()};
  EXPECT_LE(Guess(&guard, kStart, "192.0.2.1", "fred", 10'000), 20 + 20 * 3);
  const GuessGuard::Verdict owner =
      guard.Begin(kStart + absl::Seconds(10'000), Address("198.51.100.7"), false, "fred");
  EXPECT_TRUE(owner.allowed);
  EXPECT_LE(owner.delay, GuessLimits().most_delay);
}

TEST(GuessGuard, TenThousandGuessesFromTenThousandAddressesDoNotLockTheOwnerOut) {
  GuessGuard guard{GuessLimits()};
  const IpAddress home = Address("198.51.100.7");
  ASSERT_TRUE(guard.Begin(kStart, home, false, "Fred").allowed);
  guard.Succeeded(kStart, home, false, "Fred");
  int looked_at = 0;
  Instant now = kStart + absl::Hours(24);
  for (int i = 0; i < 10'000; ++i) {
    now = now + absl::Milliseconds(100);
    const IpAddress bot = Address(StrCat("10.1.", i / 256, ".", i % 256));
    if (guard.Begin(now, bot, false, "fred").allowed) ++looked_at;
  }
  // A hundred, what leaks away in a thousand seconds, and one in ten seconds.
  EXPECT_LE(looked_at, 100 + 30 + 101);
  // At home nothing is held against the owner.
  const GuessGuard::Verdict verdict = guard.Begin(now, home, false, "fred");
  EXPECT_TRUE(verdict.allowed);
  EXPECT_EQ(verdict.delay, absl::ZeroDuration());
  // At a new place they get in when the bots pause.
  EXPECT_TRUE(guard.Begin(now + absl::Seconds(11), Address("203.0.113.9"), false, "fred").allowed);
}

TEST(GuessGuard, WhoIsKnownMayStillNotGuess) {
  GuessGuard guard{GuessLimits()};
  guard.Succeeded(kStart, Address("192.0.2.1"), false, "fred");
  EXPECT_LE(Guess(&guard, kStart, "192.0.2.1", "fred", 100), 21);
  // … and being fred gives them nothing at another's account.
  EXPECT_LE(Guess(&guard, kStart, "192.0.2.1", "george", 100), 21);
}

TEST(GuessGuard, KnownForATime) {
  GuessGuard guard{GuessLimits()};
  guard.Succeeded(kStart, Address("192.0.2.1"), false, "fred");
  const Instant later = kStart + GuessLimits().trust + absl::Seconds(1);
  for (int i = 0; i < 200; ++i)
    (void)guard.Begin(later, Address(StrCat("10.0.0.", i)), false, "fred");
  EXPECT_FALSE(guard.Begin(later, Address("192.0.2.1"), false, "fred").allowed);
}

TEST(GuessGuard, SuccessAndNoAnswerTakeTheAttemptBack) {
  GuessGuard guard{GuessLimits()};
  const IpAddress address = Address("192.0.2.1");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(guard.Begin(kStart, address, false, "fred").allowed) << i;
    guard.Unjudged(kStart, address, false, "fred");
  }
  for (int i = 0; i < 1000; ++i) {
    const std::string user = StrCat("user", i);
    ASSERT_TRUE(guard.Begin(kStart, address, false, user).allowed) << i;
    guard.Succeeded(kStart, address, false, user);
  }
  EXPECT_EQ(guard.Begin(kStart, address, false, "fred").delay, absl::ZeroDuration());
}

TEST(GuessGuard, AttemptsAtOnceCountBeforeTheyEnd) {
  GuessGuard guard{GuessLimits()};
  int looked_at = 0;
  for (int i = 0; i < 1000; ++i) {
    if (guard.Begin(kStart, Address("192.0.2.1"), false, StrCat("u", i)).allowed) ++looked_at;
  }
  EXPECT_EQ(looked_at, 20);
}

TEST(GuessGuard, ThisMachinesOwnAddressIsCountedByAccount) {
  GuessGuard guard{GuessLimits()};
  EXPECT_EQ(Guess(&guard, kStart, "127.0.0.1", "fred", 20, true), 20);
  EXPECT_FALSE(guard.Begin(kStart + absl::Seconds(20), Address("127.0.0.1"), true, "fred").allowed);
  EXPECT_TRUE(guard.Begin(kStart, Address("127.0.0.1"), true, "george").allowed);
}

TEST(GuessGuard, AnIpv6NetworkIsOneAddress) {
  GuessGuard guard{GuessLimits()};
  for (int i = 0; i < 30; ++i)
    (void)guard.Begin(kStart, Address(StrCat("2001:db8::", i)), false, "fred");
  EXPECT_FALSE(guard.Begin(kStart, Address("2001:db8::ffff"), false, "fred").allowed);
  EXPECT_TRUE(guard.Begin(kStart, Address("2001:db8:0:1::1"), false, "fred").allowed);
}

TEST(GuessGuard, MemoryIsBounded) {
  GuessLimits limits;
  limits.max_entries = 500;
  GuessGuard guard{limits};
  guard.Succeeded(kStart, Address("198.51.100.7"), false, "fred");
  for (int i = 0; i < 20'000; ++i) {
    (void)guard.Begin(kStart, Address(StrCat("10.", i / 65536, ".", i / 256 % 256, ".", i % 256)),
                      false, StrCat("user", i, std::string(1000, 'x')));
  }
  EXPECT_LE(guard.size(), 4 * limits.max_entries);
  // Nobody who knows no password pushed out who is known.
  for (int i = 0; i < 200; ++i)
    (void)guard.Begin(kStart, Address(StrCat("10.200.0.", i)), false, "fred");
  EXPECT_TRUE(guard.Begin(kStart, Address("198.51.100.7"), false, "fred").allowed);
}

}  // namespace
}  // namespace postern::sasl
