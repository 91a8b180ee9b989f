#include "lib/core/queue/bounce.h"

#include <array>

#include <gtest/gtest.h>

namespace postern::queue {
namespace {

Envelope From(std::string_view local) {
  Envelope e;
  e.sender.address =
      local.empty() ? mail::Address{} : mail::Address{std::string(local), "example.org"};
  e.created = absl::FromUnixSeconds(1000);
  return e;
}

TEST(Bounce, NobodyIsToldOfWhatTheNullSenderOrANoticeSent) {
  Envelope e = From("");
  e.dsn_notify = mail::kNotifySuccess | mail::kNotifyFailure | mail::kNotifyDelay;
  EXPECT_FALSE(WantsFailure(e) || WantsSuccess(e) || WantsDelay(e));
  e = From("a");
  e.bounce = true;
  EXPECT_FALSE(WantsFailure(e) || WantsSuccess(e) || WantsDelay(e));
}

TEST(Bounce, NotifyDecides) {
  struct Row {
    uint8_t notify;
    bool failure, success, delay;
  };
  for (const Row& row :
       {Row{mail::kNotifyUnset, true, false, true}, Row{mail::kNotifyNever, false, false, false},
        Row{mail::kNotifySuccess, false, true, false},
        Row{mail::kNotifyFailure, true, false, false}, Row{mail::kNotifyDelay, false, false, true},
        Row{mail::kNotifySuccess | mail::kNotifyFailure, true, true, false}}) {
    Envelope e = From("a");
    e.dsn_notify = row.notify;
    EXPECT_EQ(WantsFailure(e), row.failure) << int{row.notify};
    EXPECT_EQ(WantsSuccess(e), row.success) << int{row.notify};
    EXPECT_EQ(WantsDelay(e), row.delay) << int{row.notify};
  }
}

TEST(Bounce, OneDestinationTellsTheSuccessOfAnAlias) {
  const auto to = [](std::string who, std::string via, uint8_t notify, Envelope::Kind kind) {
    Envelope e = From("a");
    e.destination = mail::Address{std::move(who), "example.com"};
    e.recipient = mail::Address{std::move(via), "example.com"};
    e.dsn_notify = notify;
    e.kind = kind;
    return e;
  };
  constexpr auto kLocal = Envelope::Kind::kLocal;
  constexpr auto kRelay = Envelope::Kind::kRelay;
  constexpr uint8_t kBoth = mail::kNotifySuccess | mail::kNotifyFailure;
  std::vector<Envelope> envelopes = {
      to("far", "all", kBoth, kRelay),
      to("ann", "all", kBoth, kLocal),
      to("bob", "all", kBoth, kLocal),
      to("one", "two", mail::kNotifySuccess, kRelay),
      to("else", "two", mail::kNotifySuccess, kRelay),
      to("single", "single", kBoth, kLocal),
      to("ann", "quiet", mail::kNotifyUnset, kLocal),
      to("bob", "quiet", mail::kNotifyUnset, kLocal),
  };
  ReportExpansionsOnce(envelopes);
  const struct {
    bool expanded;
    uint8_t notify;
  } kExpected[] = {
      {false, mail::kNotifyFailure}, {true, kBoth},
      {false, mail::kNotifyFailure}, {true, mail::kNotifySuccess},
      {false, mail::kNotifyNever},   {false, kBoth},
      {false, mail::kNotifyUnset},   {false, mail::kNotifyUnset},
  };
  for (size_t i = 0; i < envelopes.size(); ++i) {
    EXPECT_EQ(envelopes[i].expanded, kExpected[i].expanded) << i;
    EXPECT_EQ(envelopes[i].dsn_notify, kExpected[i].notify) << i;
  }
}

TEST(Bounce, OneDelayNoticeForEachInterval) {
  const std::array<Duration, 2> intervals = {absl::Hours(4), absl::Hours(24)};
  Envelope e = From("a");
  // When the next attempt comes has no part in it.
  e.next_attempt = e.created + absl::Hours(40);
  const WallTime four = e.created + absl::Hours(4);
  EXPECT_EQ(NextDelayNotice(e, intervals), four);
  EXPECT_EQ(DelayNoticeDue(e, four - absl::Seconds(1), intervals), std::nullopt);
  EXPECT_EQ(DelayNoticeDue(e, four, intervals), 1u);
  e.delay_notices = 1;
  EXPECT_EQ(NextDelayNotice(e, intervals), e.created + absl::Hours(24));
  EXPECT_EQ(DelayNoticeDue(e, four + absl::Hours(19), intervals), std::nullopt);
  EXPECT_EQ(DelayNoticeDue(e, e.created + absl::Hours(25), intervals), 2u);
  e.delay_notices = 0;
  EXPECT_EQ(DelayNoticeDue(e, e.created + absl::Hours(25), intervals), 2u);
  e.delay_notices = 2;
  EXPECT_EQ(NextDelayNotice(e, intervals), std::nullopt);
  EXPECT_EQ(DelayNoticeDue(e, e.created + absl::Hours(99), intervals), std::nullopt);
}

TEST(Bounce, WhoIsNotToldOfDelaysNeedsNoAttemptForThem) {
  const std::array<Duration, 1> intervals = {absl::Hours(4)};
  Envelope e = From("a");
  e.dsn_notify = mail::kNotifyFailure;
  EXPECT_EQ(NextDelayNotice(e, intervals), std::nullopt);
}

}  // namespace
}  // namespace postern::queue
