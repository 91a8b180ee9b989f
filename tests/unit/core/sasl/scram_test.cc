#include "lib/core/sasl/scram.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "lib/core/mail/base64.h"
#include "lib/core/sasl/saslprep.h"
#include "lib/core/sasl/scram_client.h"
#include "lib/core/sasl/scram_message.h"
#include "lib/core/sasl/server_exchange.h"

namespace postern::sasl {
namespace {

using Progress = ServerExchange::Progress;

std::string Encode(std::string_view octets) { return mail::Base64Encode(octets); }
std::string Decode(std::string_view text) { return mail::Base64Decode(text).value_or("?"); }

Credentials UserPencil() {
  Credentials credentials;
  credentials.authentication_id = "user";
  credentials.password = "pencil";
  return credentials;
}

struct Vector {
  Mechanism mechanism;
  ScramHash hash;
  const char* client_nonce;
  const char* server_nonce;
  const char* salt;
  const char* server_first;
  const char* client_final;
  const char* server_final;
};
constexpr Vector kVectors[] = {
    // RFC 5802 §5
    {Mechanism::kScramSha1, ScramHash::kSha1, "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j",
     "QSXCR+Q6sek8bf92", "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    // RFC 7677 §3
    {Mechanism::kScramSha256, ScramHash::kSha256, "rOprNGfwEbeRWgbNEkqO",
     "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

TEST(Scram, VectorsOfTheStandards) {
  for (const Vector& vector : kVectors) {
    ScramClient client(vector.mechanism, UserPencil(), vector.client_nonce, {}, false);
    ServerExchange server(vector.mechanism);
    ASSERT_EQ(server.Begin(Encode(client.First())), Progress::kNeedSecret);
    EXPECT_EQ(server.credentials().authentication_id, "user");
    const ScramSecret secret = DeriveScramSecret(vector.hash, "pencil", Decode(vector.salt), 4096);
    ASSERT_EQ(server.GiveSecret(secret, vector.server_nonce), Progress::kChallenge);
    EXPECT_EQ(Decode(server.challenge()), vector.server_first);
    const std::optional<std::string> last = client.Last(Decode(server.challenge()));
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(*last, vector.client_final);
    ASSERT_EQ(server.Respond(Encode(*last)), Progress::kChallenge);
    EXPECT_EQ(Decode(server.challenge()), vector.server_final);
    EXPECT_TRUE(client.Verify(Decode(server.challenge())));
    EXPECT_FALSE(client.Verify("v=AAAA"));
    EXPECT_FALSE(server.proven()) << "before the client took note";
    EXPECT_EQ(server.Respond(""), Progress::kDone);
    EXPECT_TRUE(server.proven());
  }
}

TEST(Scram, WhatIsStoredIsReadAndWritten) {
  // RFC 5803's form, of RFC 7677's password.
  const std::string stored = FormatScramSecret(
      DeriveScramSecret(ScramHash::kSha256, "pencil", Decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096));
  EXPECT_EQ(
      stored,
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
      ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
  const std::optional<ScramSecret> secret = ParseScramSecret(stored);
  ASSERT_TRUE(secret.has_value());
  EXPECT_EQ(FormatScramSecret(*secret), stored);
  EXPECT_TRUE(ScramPasswordFits(*secret, "pencil"));
  EXPECT_FALSE(ScramPasswordFits(*secret, "pencil "));
  const std::optional<ScramSecret> braced = ParseScramSecret(
      "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
      "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
  ASSERT_TRUE(braced.has_value());
  EXPECT_EQ(FormatScramSecret(*braced), stored);
  const std::string keys = stored.substr(stored.rfind('$'));
  for (const std::string& bad :
       {std::string(), std::string("SCRAM-SHA-256"), std::string("SCRAM-SHA-256$"), "$" + stored,
        "SCRAM-SHA-256$0:AAAA" + keys, "SCRAM-SHA-256$99999999:AAAA" + keys,
        "SCRAM-SHA-256$4096:" + keys, "SCRAM-SHA-1$4096:AAAA" + keys, stored + "A",
        "SCRAM-SHA-256$4096:AAAA" + keys.substr(0, keys.find(':'))}) {
    EXPECT_FALSE(ParseScramSecret(bad).has_value()) << bad;
  }
}

TEST(Scram, WhoDoesNotExistIsAskedTheSameEachTime) {
  const ScramSecret like = DeriveScramSecret(ScramHash::kSha256, "x", std::string(40, 's'), 5000);
  const ScramSecret once = FakeScramSecret(like, "key", "nobody");
  EXPECT_EQ(once.salt.size(), 40u);
  EXPECT_EQ(once.iterations, 5000u);
  EXPECT_EQ(FormatScramSecret(once), FormatScramSecret(FakeScramSecret(like, "key", "nobody")));
  EXPECT_NE(once.salt, FakeScramSecret(like, "key", "nobody2").salt);
  EXPECT_NE(once.salt, FakeScramSecret(like, "other", "nobody").salt);
  EXPECT_FALSE(ScramPasswordFits(once, ""));
}

// Play plays an exchange and tells how it ended.
struct Ending {
  Progress progress;
  bool proven;
  std::string error;
};
Ending Play(ServerExchange* server, ScramClient* client, const ScramSecret& secret) {
  Progress progress = server->Begin(Encode(client->First()));
  if (progress == Progress::kNeedSecret) progress = server->GiveSecret(secret, "serverside");
  if (progress == Progress::kChallenge)
    progress = server->Respond(Encode(client->Last(Decode(server->challenge())).value_or("")));
  if (progress == Progress::kChallenge) progress = server->Respond("");
  return {progress, server->proven(), std::string(server->error())};
}

TEST(Scram, AWrongPasswordIsNoProof) {
  ScramClient client(Mechanism::kScramSha256, UserPencil(), "abc", {}, false);
  ServerExchange server(Mechanism::kScramSha256);
  const Ending ending =
      Play(&server, &client, DeriveScramSecret(ScramHash::kSha256, "pen", "salt", 4096));
  EXPECT_EQ(ending.progress, Progress::kDone);
  EXPECT_FALSE(ending.proven);
  EXPECT_EQ(ending.error, "wrong proof");
}

TEST(Scram, TheChannelIsBound) {
  const ScramSecret secret = DeriveScramSecret(ScramHash::kSha256, "pencil", "salt", 4096);
  const Channel ours{.exporter = "exporter octets", .end_point = "certificate hash"};
  const Channel no_exporter{.end_point = "certificate hash"};
  const Channel others{.exporter = "those of somebody in between"};
  const Mechanism plus = Mechanism::kScramSha256Plus;
  const struct {
    Mechanism mechanism;
    Channel client, server;
    bool could_bind, offered;
    Progress progress;
    bool proven;
  } kRows[] = {
      {plus, ours, ours, false, true, Progress::kDone, true},
      {plus, no_exporter, ours, false, true, Progress::kDone, true},
      {plus, others, ours, false, true, Progress::kDone, false},
      {plus, ours, no_exporter, false, true, Progress::kMalformed, false},
      {Mechanism::kScramSha256, {}, ours, false, true, Progress::kDone, true},
      // RFC 5802 §6: the offer was taken away on its way to the client.
      {Mechanism::kScramSha256, {}, ours, true, true, Progress::kMalformed, false},
      {Mechanism::kScramSha256, {}, {}, true, false, Progress::kDone, true},
  };
  for (const auto& row : kRows) {
    ScramClient client(row.mechanism, UserPencil(), "abc", row.client, row.could_bind);
    ServerExchange server(row.mechanism, {}, row.server, row.offered);
    const Ending ending = Play(&server, &client, secret);
    EXPECT_EQ(ending.progress, row.progress) << &row - kRows << ending.error;
    EXPECT_EQ(ending.proven, row.proven) << &row - kRows << ending.error;
  }
}

TEST(Scram, MessagesThatAreNone) {
  for (const char* first :
       {"", "n", "n,", "n,,", "n,,n=user", "n,,n=user,r=", "n,,n=,r=abc", "n,,n=a=2,r=abc",
        "n,,m=x,n=user,r=abc", "n,a=,n=user,r=abc", "n,x,n=user,r=abc", "q,,n=user,r=abc",
        "p=,,n=user,r=abc", "n,,n=user,r=a\x01c", "n,,n=us\x01r,r=abc", "n,,r=abc,n=user",
        "p=tls-unique,,n=user,r=abc"}) {
    ServerExchange server(Mechanism::kScramSha256);
    EXPECT_EQ(server.Begin(*first == '\0' ? "=" : Encode(first)), Progress::kMalformed) << first;
    EXPECT_FALSE(server.error().empty());
  }
  for (const char* last : {"", "c=biws", "c=biws,r=abcserver", "c=biws,r=abcserver,p=",
                           "c=biws,r=abc,p=AAAA", "r=abcserver,p=AAAA", "c=!,r=abcserver,p=AAAA"}) {
    ServerExchange server(Mechanism::kScramSha256);
    ASSERT_EQ(server.Begin(Encode("n,,n=user,r=abc")), Progress::kNeedSecret);
    ASSERT_EQ(server.GiveSecret(DeriveScramSecret(ScramHash::kSha256, "x", "s", 1), "server"),
              Progress::kChallenge);
    EXPECT_EQ(server.Respond(Encode(last)), Progress::kMalformed) << last;
  }
}

TEST(Scram, NamesAreCoded) {
  EXPECT_EQ(EncodeSaslName("a=b,c"), "a=3Db=2Cc");
  EXPECT_EQ(DecodeSaslName("a=3Db=2Cc"), "a=b,c");
  EXPECT_EQ(DecodeSaslName("a=3d"), std::nullopt);
}

TEST(SaslPrep, ExamplesOfTheStandard) {
  // RFC 4013 §3
  EXPECT_EQ(SaslPrep("I\xC2\xADX"), "IX");
  EXPECT_EQ(SaslPrep("user"), "user");
  EXPECT_EQ(SaslPrep("USER"), "USER");
  EXPECT_EQ(SaslPrep("\xC2\xAA"), "a");
  EXPECT_EQ(SaslPrep("\xE2\x85\xA8"), "IX");
  EXPECT_EQ(SaslPrep("\x07"), std::nullopt);
  EXPECT_EQ(SaslPrep("\xD8\xA7\x31"), std::nullopt);
  EXPECT_EQ(SaslPrep("a\xC2\xA0z"), "a z");
  EXPECT_EQ(SaslPrep("\xC3"), std::nullopt);
  // The longest mapping there is: U+FDFA becomes eighteen code points.
  EXPECT_EQ(SaslPrep("\xEF\xB7\xBA").value_or("").size(), 33u);
}

TEST(Bearer, MessagesOfBothMechanisms) {
  const struct {
    Mechanism mechanism;
    std::string_view message;
    Progress progress;
    std::string_view user, token;
  } kRows[] = {
      // RFC 7628 §4.1
      {Mechanism::kOAuthBearer,
       "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
       "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
       Progress::kDone, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
      {Mechanism::kOAuthBearer,
       "n,,\x01"
       "auth=Bearer abc\x01\x01",
       Progress::kDone, "", "abc"},
      {Mechanism::kOAuthBearer,
       "p=tls-exporter,,\x01"
       "auth=Bearer abc\x01\x01",
       Progress::kMalformed, "", ""},
      {Mechanism::kOAuthBearer,
       "n,,\x01"
       "auth=Basic abc\x01\x01",
       Progress::kMalformed, "", ""},
      {Mechanism::kOAuthBearer,
       "n,,\x01"
       "auth=Bearer a b\x01\x01",
       Progress::kMalformed, "", ""},
      {Mechanism::kOAuthBearer, "n,,\x01\x01", Progress::kMalformed, "", ""},
      {Mechanism::kOAuthBearer,
       "n,,\x01"
       "auth=Bearer abc\x01",
       Progress::kMalformed, "", ""},
      {Mechanism::kXOAuth2,
       "user=u@example.com\x01"
       "auth=Bearer ya29.vF9\x01\x01",
       Progress::kDone, "u@example.com", "ya29.vF9"},
      {Mechanism::kXOAuth2,
       "user=u\x01"
       "auth=Bearer \x01\x01",
       Progress::kMalformed, "", ""},
  };
  for (const auto& row : kRows) {
    ServerExchange server(row.mechanism);
    EXPECT_EQ(server.Begin(Encode(row.message)), row.progress) << &row - kRows;
    EXPECT_EQ(server.credentials().authentication_id, row.user) << &row - kRows;
    EXPECT_EQ(server.credentials().password, row.token) << &row - kRows;
  }
}

TEST(Bearer, ARefusalIsToldToTheClientFirst) {
  ServerExchange server(Mechanism::kOAuthBearer);
  ASSERT_EQ(server.Begin(Encode("n,,\x01"
                                "auth=Bearer abc\x01\x01")),
            Progress::kDone);
  ASSERT_EQ(server.Refuse(), Progress::kChallenge);
  EXPECT_EQ(Decode(server.challenge()), "{\"status\":\"invalid_token\"}");
  EXPECT_EQ(server.Respond("AQ=="), Progress::kRefused);
  EXPECT_EQ(server.Respond("AQ=="), Progress::kMalformed);
}

TEST(External, AnAuthorizationIdOrNothing) {
  ServerExchange named(Mechanism::kExternal);
  EXPECT_EQ(named.Begin(Encode("fred@example.com")), Progress::kDone);
  EXPECT_EQ(named.credentials().authorization_id, "fred@example.com");
  ServerExchange unnamed(Mechanism::kExternal);
  EXPECT_EQ(unnamed.Begin("="), Progress::kDone);
  ServerExchange bad(Mechanism::kExternal);
  EXPECT_EQ(bad.Begin(std::nullopt), Progress::kChallenge);
  EXPECT_EQ(bad.Respond("AA=="), Progress::kMalformed);
}

TEST(Mechanisms, OffersFollowTheChannel) {
  const MechanismSet all = kPasswordMechanisms | kScramSha1Mechanisms | kScramSha256Mechanisms |
                           BitOf(Mechanism::kExternal);
  const auto offer = [&](const Channel& channel) {
    std::string line;
    for (const std::string_view name : Names(Offered(all, channel))) line.append(name).append(" ");
    return line;
  };
  EXPECT_EQ(offer({}), "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN ");
  EXPECT_EQ(offer({.end_point = "x"}),
            "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN ");
  EXPECT_EQ(offer({.certificate = true}), "SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL PLAIN LOGIN ");
}

}  // namespace
}  // namespace postern::sasl
