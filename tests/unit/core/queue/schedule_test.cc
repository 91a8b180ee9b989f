#include "lib/core/queue/schedule.h"

#include <gtest/gtest.h>

namespace postern::queue {
namespace {

const WallTime kStart = absl::FromUnixSeconds(1'700'000'000);

Envelope Make(uint32_t message, uint32_t low, std::string domain,
              Envelope::Kind kind = Envelope::Kind::kRelay) {
  Envelope e;
  e.id = MakeEnvelopeId(message, low);
  e.kind = kind;
  e.action = "x";
  e.destination = mail::Address{"a", domain};
  e.user = domain;
  e.created = kStart;
  return e;
}

TEST(NextAttempt, GrowsWithTheSquareOfTheFailures) {
  RetryPolicy policy;
  Envelope e = Make(1, 1, "a");
  WallTime now = kStart;
  std::vector<int64_t> offsets;
  for (e.attempts = 1; e.attempts <= 5; ++e.attempts) {
    now = NextAttempt(policy, e, now, 0);
    offsets.push_back(absl::ToInt64Seconds(now - kStart));
  }
  EXPECT_EQ(offsets, (std::vector<int64_t>{400, 1600, 3600, 6400, 10000}));
  e.kind = Envelope::Kind::kLocal;
  e.attempts = 1;
  EXPECT_EQ(NextAttempt(policy, e, kStart, 0), kStart + absl::Seconds(10));
}

TEST(NextAttempt, LiesInTheFutureAfterALongSleepAndWithAClockThatWasSetBack) {
  RetryPolicy policy;
  Envelope e = Make(1, 1, "a");
  e.attempts = 1;
  for (const Duration passed :
       {absl::Hours(1), absl::Hours(24 * 365 * 10), -absl::Hours(1), -absl::Hours(24 * 3650)}) {
    const WallTime now = kStart + passed;
    for (const double chance : {0.0, 0.5, 0.999}) {
      EXPECT_GE(NextAttempt(policy, e, now, chance), now + policy.least_delay) << passed;
    }
  }
}

TEST(NextAttempt, ChanceSpreadsWithinTheShare) {
  RetryPolicy policy;
  Envelope e = Make(1, 1, "a");
  e.attempts = 1;
  EXPECT_EQ(NextAttempt(policy, e, kStart, 0.5), kStart + absl::Seconds(420));
}

TEST(NextAttempt, AnAttemptForADelayNoticeDoesNotPutTheNextOneOff) {
  RetryPolicy policy;
  Envelope e;
  e.kind = Envelope::Kind::kRelay;
  e.created = absl::FromUnixSeconds(1'000'000);
  e.attempts = 2;
  e.delay_notices = 1;
  EXPECT_EQ(NextAttempt(policy, e, e.created + absl::Seconds(12), 0),
            e.created + policy.relay_base);
  e.delay_notices = 9;  // intervals of which no attempt told
  EXPECT_EQ(NextAttempt(policy, e, e.created + absl::Seconds(12), 0),
            e.created + policy.relay_base);
}

TEST(SteadyClock, DoesNotFollowAJump) {
  Instant mono{1};
  SteadyClock clock(mono, kStart);
  mono = mono + absl::Seconds(100);
  EXPECT_EQ(clock.Now(mono, kStart + absl::Seconds(100)), kStart + absl::Seconds(100));
  // Ten years forward: a tenth of the time that passes is made up, no more.
  mono = mono + absl::Seconds(100);
  EXPECT_EQ(clock.Now(mono, kStart + absl::Hours(87600)), kStart + absl::Seconds(210));
  // An hour back: it goes on, slower.
  mono = mono + absl::Seconds(100);
  EXPECT_EQ(clock.Now(mono, kStart - absl::Hours(1)), kStart + absl::Seconds(300));
  EXPECT_EQ(clock.Now(mono, kStart - absl::Hours(2)), kStart + absl::Seconds(300));
}

TEST(ReadyQueue, DestinationsTakeTurnsAndADeadOneDoesNotStarveTheRest) {
  ReadyLimits limits;
  limits.max_in_flight_per_destination = 2;
  limits.max_ready_per_destination = 3;
  ReadyQueue ready(limits);
  for (uint32_t i = 1; i <= 3; ++i)
    EXPECT_EQ(ready.Add(Make(i, 1, "dead")), ReadyQueue::Offer::kTaken);
  EXPECT_EQ(ready.Add(Make(4, 1, "dead")), ReadyQueue::Offer::kFull);
  EXPECT_EQ(ready.Add(Make(1, 1, "dead")), ReadyQueue::Offer::kKnown);
  EXPECT_EQ(ready.Crowded().size(), 1u);
  EXPECT_EQ(ready.Add(Make(9, 1, "alive")), ReadyQueue::Offer::kTaken);

  const ReadyQueue::BatchRule one{.max_batch = 10, .same_message = true};
  const auto first = ready.Next(Envelope::Kind::kRelay, one);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].destination.domain, "dead");
  const auto second = ready.Next(Envelope::Kind::kRelay, one);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].destination.domain, "alive");
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, one).size(), 1u);
  EXPECT_TRUE(ready.Next(Envelope::Kind::kRelay, one).empty())
      << "two of the dead one are in flight";
  EXPECT_TRUE(ready.InFlight(first[0].id));
  EXPECT_EQ(ready.Add(first[0]), ReadyQueue::Offer::kKnown);
  ready.Finished(first[0].id);
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, one).size(), 1u);
}

// A destination begins with a few attempts at a time, gets one more for each that is answered, and
// half for each that is not.
TEST(ReadyQueue, ADeadOneDoesNotKeepEveryConnection) {
  ReadyLimits limits;
  limits.first_in_flight_per_destination = 4;
  ReadyQueue ready(limits);
  for (uint32_t i = 1; i <= 100; ++i) ready.Add(Make(i, 1, "host"));
  const ReadyQueue::BatchRule one{.max_batch = 10, .same_message = true};
  std::vector<Envelope> running;
  const auto start_all = [&] {
    for (;;) {
      const std::vector<Envelope> batch = ready.Next(Envelope::Kind::kRelay, one);
      if (batch.empty()) return running.size();
      running.insert(running.end(), batch.begin(), batch.end());
    }
  };
  const auto end_all = [&](bool answered) {
    for (const Envelope& envelope : running) {
      const uint64_t key = DestinationKey(envelope);
      answered ? ready.Answered(key) : ready.Unanswered(key);
      ready.Finished(envelope.id);
    }
    running.clear();
  };
  EXPECT_EQ(start_all(), 4u);
  end_all(true);
  EXPECT_EQ(start_all(), 8u);
  end_all(true);
  EXPECT_EQ(start_all(), 16u);
  end_all(false);
  EXPECT_EQ(start_all(), 1u) << "one goes on asking";
  end_all(true);
  EXPECT_EQ(start_all(), 2u);
}

TEST(ReadyQueue, BatchesByMessageOrAcrossAccounts) {
  ReadyQueue ready((ReadyLimits()));
  ready.Add(Make(1, 1, "a"));
  ready.Add(Make(1, 2, "a"));
  ready.Add(Make(2, 1, "a"));
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, {.max_batch = 10, .same_message = true}).size(), 2u);
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, {.max_batch = 10, .same_message = true}).size(), 1u);
  for (uint32_t i = 1; i <= 5; ++i)
    ready.Add(Make(10 + i, 1, std::string(1, char('a' + i)), Envelope::Kind::kLocal));
  EXPECT_EQ(
      ready.Next(Envelope::Kind::kLocal, {.max_batch = 4, .across_destinations = true}).size(), 4u);
  EXPECT_EQ(ready.ready(), 1u);
  EXPECT_TRUE(ready.Forget(MakeEnvelopeId(15, 1)));
  EXPECT_FALSE(ready.Forget(MakeEnvelopeId(15, 1)));
  EXPECT_TRUE(ready.Next(Envelope::Kind::kLocal, {.max_batch = 4}).empty());
}

// SRS gives what is forwarded another sender than what came for its destination itself.
TEST(ReadyQueue, BatchesOfOneForwarder) {
  const ReadyQueue::BatchRule rule{.max_batch = 10, .same_message = true, .same_forwarder = true};
  ReadyQueue ready((ReadyLimits()));
  for (uint32_t i = 1; i <= 5; ++i) {
    Envelope envelope = Make(1, i, "a");
    envelope.destination = *mail::ParseAddress("to@far.example");
    envelope.recipient = i <= 2 ? envelope.destination : *mail::ParseAddress("list@ours.example");
    ready.Add(std::move(envelope));
  }
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, rule).size(), 2u);
  EXPECT_EQ(ready.Next(Envelope::Kind::kRelay, rule).size(), 3u);
}

TEST(ReadyQueue, BatchesOfOneActionAcrossAccounts) {
  ReadyQueue ready((ReadyLimits()));
  const auto add = [&](uint32_t message, uint32_t low, const char* action, const char* user) {
    Envelope envelope = Make(message, low, user, Envelope::Kind::kLmtp);
    envelope.action = action;
    ready.Add(std::move(envelope));
  };
  add(1, 1, "one", "a");
  add(1, 2, "one", "b");
  add(1, 3, "other", "a");
  add(2, 1, "one", "c");
  add(1, 4, "one", "d");
  const ReadyQueue::BatchRule rule{
      .max_batch = 10, .same_message = true, .across_destinations = true, .same_action = true};
  const auto ids = [&] {
    std::string text;
    for (const Envelope& envelope : ready.Next(Envelope::Kind::kLmtp, rule))
      text +=
          EnvelopeIdText(envelope.id).substr(7, 1) + EnvelopeIdText(envelope.id).substr(15) + " ";
    return text;
  };
  EXPECT_EQ(ids(), "11 12 14 ");
  EXPECT_EQ(ids(), "21 ");
  EXPECT_EQ(ids(), "13 ");
  EXPECT_EQ(ids(), "");
}

TEST(ReadyQueue, TheKindsOfAnAccountAreApart) {
  ReadyQueue ready((ReadyLimits()));
  ready.Add(Make(1, 1, "u", Envelope::Kind::kLocal));
  ready.Add(Make(1, 2, "u", Envelope::Kind::kProgram));
  ready.Add(Make(1, 3, "u", Envelope::Kind::kLmtp));
  const ReadyQueue::BatchRule rule{.max_batch = 10, .across_destinations = true};
  for (const Envelope::Kind kind :
       {Envelope::Kind::kProgram, Envelope::Kind::kLmtp, Envelope::Kind::kLocal}) {
    const std::vector<Envelope> batch = ready.Next(kind, rule);
    ASSERT_EQ(batch.size(), 1u);
    EXPECT_EQ(batch[0].kind, kind);
    ready.Finished(batch[0].id);
  }
  EXPECT_EQ(ready.ready(), 0u);
  EXPECT_EQ(ready.in_flight(), 0u);
}

TEST(ReadyQueue, OneAccountHasNoMoreThanItsShare) {
  ReadyQueue ready((ReadyLimits()));
  for (uint32_t i = 1; i <= 4; ++i) ready.Add(Make(i, 1, "busy", Envelope::Kind::kProgram));
  ready.Add(Make(9, 1, "other", Envelope::Kind::kProgram));
  const ReadyQueue::BatchRule rule{.max_batch = 1, .max_per_destination = 2};
  std::vector<Envelope> taken;
  for (int turn = 0; turn < 3; ++turn) {
    std::vector<Envelope> batch = ready.Next(Envelope::Kind::kProgram, rule);
    ASSERT_EQ(batch.size(), 1u);
    taken.push_back(batch[0]);
  }
  EXPECT_TRUE(ready.Next(Envelope::Kind::kProgram, rule).empty());
  for (const Envelope& envelope : taken) {
    if (envelope.user == "busy") {
      ready.Finished(envelope.id);
      break;
    }
  }
  EXPECT_EQ(ready.Next(Envelope::Kind::kProgram, rule).size(), 1u);
}

}  // namespace
}  // namespace postern::queue
