#include "lib/core/policy/srs.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

SrsSettings Keys(const std::string& key, const std::string& backup = "") {
  SrsSettings settings;
  settings.key = key;
  settings.backup_key = backup;
  return settings;
}

mail::Address Of(const std::string& text) { return *mail::ParseAddress(text); }

std::string Decoded(const SrsSettings& settings, const std::string& text, int64_t day) {
  const std::optional<mail::Address> found = DecodeSrs(settings, Of(text), day);
  return found.has_value() ? found->ToString() : "";
}

constexpr int64_t kToday = 20'000;  // 20000 % 1024 = 544: "RA"

// The vectors were computed with Python's hashlib from the scheme's description.
TEST(Srs, WritesWhatOpenSmtpdWrites) {
  const SrsSettings settings = Keys("secret");
  EXPECT_EQ(EncodeSrs(settings, Of("alice@origin.example"), "fwd.example", kToday).ToString(),
            "SRS0=JlHk=RA=origin.example=alice@fwd.example");
  const mail::Address second = EncodeSrs(
      settings, Of("SRS0=abcd=RA=origin.example=alice@first.example"), "second.example", kToday);
  EXPECT_EQ(second.ToString(),
            "SRS1=EUrq=first.example==abcd=RA=origin.example=alice@second.example");
  EXPECT_EQ(EncodeSrs(Keys("other"), second, "third.example", kToday).ToString(),
            "SRS1=dHAm=first.example==abcd=RA=origin.example=alice@third.example");
}

TEST(Srs, ABounceFindsItsWayBack) {
  const SrsSettings settings = Keys("secret");
  for (const char* text : {"alice@origin.example", "a=b=c@origin.example", "a+tag@x.example",
                           "SRS0=abcd=RA=origin.example=alice@first.example"}) {
    const mail::Address made = EncodeSrs(settings, Of(text), "fwd.example", kToday);
    EXPECT_TRUE(IsSrs(made)) << text;
    for (int64_t age = -1; age <= 4; ++age)
      EXPECT_EQ(Decoded(settings, made.ToString(), kToday + age), text) << age;
    EXPECT_EQ(Decoded(settings, made.ToString(), kToday + 5), "");
    EXPECT_EQ(Decoded(settings, made.ToString(), kToday - 2), "");
    EXPECT_EQ(Decoded(settings, made.ToString(), kToday + 1024), text) << "the days begin anew";
    EXPECT_EQ(Decoded(Keys("another"), made.ToString(), kToday), "");
    EXPECT_EQ(Decoded(Keys("another", "secret"), made.ToString(), kToday), text);
  }
  // Around the day that the count begins anew.
  const int64_t turn = 20 * 1024;
  const mail::Address made = EncodeSrs(settings, Of("a@b.example"), "fwd.example", turn - 1);
  EXPECT_EQ(Decoded(settings, made.ToString(), turn + 3), "a@b.example");
  EXPECT_EQ(Decoded(settings, made.ToString(), turn + 4), "");
}

TEST(Srs, NothingButOursIsTaken) {
  const SrsSettings settings = Keys("secret");
  const std::string good =
      EncodeSrs(settings, Of("alice@origin.example"), "fwd.example", kToday).ToString();
  for (size_t i = 5; i < good.find('@'); ++i) {
    std::string other = good;
    other[i] = other[i] == 'x' ? 'y' : 'x';
    const StatusOr<mail::Address> address = mail::ParseAddress(other);
    if (!address.ok()) continue;
    EXPECT_FALSE(DecodeSrs(settings, *address, kToday).has_value()) << other;
  }
  for (const char* text : {"SRS0=@fwd.example", "SRS0=abc@fwd.example", "SRS0=abcd@fwd.example",
                           "SRS0=abcd=RA@fwd.example", "SRS1=abcd=@fwd.example",
                           "SRS1=abcd=x=@fwd.example", "alice@fwd.example"}) {
    EXPECT_FALSE(DecodeSrs(settings, Of(text), kToday).has_value()) << text;
  }
}

TEST(Srs, WhatCannotBeRewrittenStays) {
  const SrsSettings settings = Keys("secret");
  EXPECT_TRUE(EncodeSrs(settings, mail::Address(), "fwd.example", kToday).empty());
  const mail::Address quoted = Of("\"a b\"@origin.example");
  const mail::Address made = EncodeSrs(settings, quoted, "fwd.example", kToday);
  EXPECT_EQ(made.domain, "fwd.example");
  EXPECT_TRUE(made.local_part.ends_with("=origin.example=a b")) << made.ToString();
  EXPECT_EQ(DecodeSrs(settings, Of(made.ToString()), kToday), quoted);
  const mail::Address at = Of("\"a@b\\\"c\"@origin.example");
  EXPECT_EQ(DecodeSrs(settings, EncodeSrs(settings, at, "fwd.example", kToday), kToday), at);
  std::string domain = "example";
  while (domain.size() < 230) domain = StrCat("origin.", domain);
  const mail::Address long_one = Of(StrCat("alice@", domain));
  EXPECT_EQ(EncodeSrs(settings, long_one, "fwd.example", kToday), long_one);
  EXPECT_EQ(EncodeSrs(SrsSettings(), Of("a@b.example"), "fwd.example", kToday), Of("a@b.example"));
}

}  // namespace
}  // namespace postern::policy
