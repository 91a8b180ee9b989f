#include "lib/service/filter/milter_rest.h"

#include <gtest/gtest.h>

namespace postern::service {
namespace {

Instant At(double seconds) { return Instant{static_cast<int64_t>(seconds * 1e9)}; }
constexpr Duration kPatience = absl::Seconds(30);

TEST(MilterRest, RestsForPausesThatDouble) {
  MilterRest rest(MilterRestOptions{.slow = absl::Seconds(1),
                                    .first_pause = absl::Seconds(1),
                                    .longest_pause = absl::Seconds(5)});
  EXPECT_EQ(rest.Refusal(At(0), kPatience), std::nullopt);
  EXPECT_EQ(rest.Refusal(At(1), kPatience), std::nullopt) << "nothing is known yet";
  rest.Failed(At(0), At(30), "gone");
  double now = 30;
  for (const double pause : {1, 2, 4, 5, 5}) {
    EXPECT_NE(rest.Refusal(At(now + pause - 0.1), kPatience), std::nullopt) << pause;
    EXPECT_EQ(rest.Refusal(At(now + pause), kPatience), std::nullopt) << pause;
    // One tries, the others do not wait for him.
    EXPECT_NE(rest.Refusal(At(now + pause + 1), kPatience), std::nullopt);
    rest.Failed(At(now + pause), At(now + pause + 30), "gone");
    now += pause + 30;
  }
  EXPECT_EQ(rest.Refusal(At(now + 4.5), kPatience).value_or(""),
            "gone (1s before it is tried again)");
  EXPECT_EQ(rest.Refusal(At(now + 5), kPatience), std::nullopt);
  rest.Reached();
  EXPECT_EQ(rest.Refusal(At(now + 5), kPatience), std::nullopt);
  EXPECT_EQ(rest.Refusal(At(now + 5.1), kPatience), std::nullopt);
  // From the start again.
  rest.Failed(At(200), At(230), "gone");
  EXPECT_EQ(rest.Refusal(At(231), kPatience), std::nullopt);
}

TEST(MilterRest, ManyWhoWaitedTogetherAreOneFailure) {
  MilterRest rest;
  for (int i = 0; i < 100; ++i) rest.Failed(At(0.01 * i), At(30 + 0.001 * i), "gone");
  EXPECT_NE(rest.Refusal(At(30.9), kPatience), std::nullopt);
  EXPECT_EQ(rest.Refusal(At(31), kPatience), std::nullopt);
}

TEST(MilterRest, WhatFailsAtOnceIsNeverRested) {
  MilterRest rest;
  rest.Failed(At(0), At(0.01), "refused");
  EXPECT_EQ(rest.Refusal(At(0.02), kPatience), std::nullopt);
  rest.Failed(At(1), At(31), "gone");
  EXPECT_NE(rest.Refusal(At(31.5), kPatience), std::nullopt);
  EXPECT_EQ(rest.Refusal(At(32), kPatience), std::nullopt);
  rest.Failed(At(32), At(32.01), "refused");
  EXPECT_EQ(rest.Refusal(At(32.02), kPatience), std::nullopt) << "it costs nothing now";
}

TEST(MilterRest, WhoTriesAndNeverSaysIsNotWaitedForForEver) {
  MilterRest rest;
  rest.Failed(At(0), At(30), "gone");
  EXPECT_EQ(rest.Refusal(At(31), kPatience), std::nullopt);
  EXPECT_NE(rest.Refusal(At(60.9), kPatience), std::nullopt);
  EXPECT_EQ(rest.Refusal(At(61), kPatience), std::nullopt);
}

TEST(MilterRests, OneForEachSocket) {
  MilterRests rests;
  const Endpoint one{IpAddress::V4(127, 0, 0, 1), 8891, ""};
  Endpoint two = one;
  two.port = 8892;
  Endpoint path;
  path.unix_path = "/run/milter";
  EXPECT_EQ(rests.Of(one), rests.Of(one));
  EXPECT_NE(rests.Of(one), rests.Of(two));
  EXPECT_NE(rests.Of(one), rests.Of(path));
}

}  // namespace
}  // namespace postern::service
