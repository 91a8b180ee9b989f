#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lib/core/mail/base64.h"
#include "lib/core/sasl/client_exchange.h"
#include "lib/core/sasl/server_exchange.h"

namespace postern::sasl {
namespace {

using Progress = ServerExchange::Progress;

std::string Encode(std::string_view octets) { return mail::Base64Encode(octets); }

TEST(ServerExchange, PlainVectors) {
  const struct {
    std::string_view octets;
    Progress progress;
    std::string_view authorization_id, authentication_id, password;
  } kVectors[] = {
      {std::string_view("\0tim\0tanstaaftanstaaf", 21), Progress::kDone, "", "tim",
       "tanstaaftanstaaf"},  // RFC 4616 §4
      {std::string_view("Ursel\0Kurt\0xipj3plmq", 20), Progress::kDone, "Ursel", "Kurt",
       "xipj3plmq"},  // RFC 4616 §4
      {std::string_view("\0a\0\xC3\xA9", 5), Progress::kDone, "", "a", "\xC3\xA9"},
      {std::string_view("", 0), Progress::kMalformed, "", "", ""},
      {std::string_view("abc", 3), Progress::kMalformed, "", "", ""},
      {std::string_view("a\0b", 3), Progress::kMalformed, "", "", ""},
      {std::string_view("\0\0pw", 4), Progress::kMalformed, "", "", ""},
      {std::string_view("\0a\0", 3), Progress::kMalformed, "", "", ""},
      {std::string_view("\0a\0b\0c", 6), Progress::kMalformed, "", "", ""},
      {std::string_view("\0\0\0\0", 4), Progress::kMalformed, "", "", ""},
  };
  for (const auto& vector : kVectors) {
    ServerExchange exchange(Mechanism::kPlain);
    const std::string encoded = vector.octets.empty() ? "=" : Encode(vector.octets);
    EXPECT_EQ(exchange.Begin(encoded), vector.progress) << encoded;
    EXPECT_EQ(exchange.credentials().authorization_id, vector.authorization_id);
    EXPECT_EQ(exchange.credentials().authentication_id, vector.authentication_id);
    EXPECT_EQ(exchange.credentials().password, vector.password);
  }
}

TEST(ServerExchange, BadBase64AndCancel) {
  for (const char* line :
       {"something", "A", "AA==AA==", "AGEAYg=", "AGE AYg==", "\x80", "====", "-"}) {
    ServerExchange exchange(Mechanism::kPlain);
    EXPECT_EQ(exchange.Begin(std::nullopt), Progress::kChallenge);
    EXPECT_EQ(exchange.challenge(), "");
    EXPECT_EQ(exchange.Respond(line), Progress::kMalformed) << line;
    EXPECT_FALSE(exchange.error().empty());
    // Nothing goes on behind it.
    EXPECT_EQ(exchange.Respond("AGEAYg=="), Progress::kMalformed);
  }
  ServerExchange exchange(Mechanism::kLogin);
  EXPECT_EQ(exchange.Begin("Ym9i"), Progress::kChallenge);
  EXPECT_EQ(exchange.Respond("*"), Progress::kCancelled);
  EXPECT_EQ(exchange.credentials().authentication_id, "");
}

TEST(ServerExchange, Limits) {
  const ServerExchange::Limits limits{.max_name_bytes = 3, .max_password_bytes = 4};
  ServerExchange fits(Mechanism::kPlain, limits);
  EXPECT_EQ(fits.Begin(Encode(std::string_view("\0abc\0pass", 9))), Progress::kDone);
  ServerExchange name(Mechanism::kPlain, limits);
  EXPECT_EQ(name.Begin(Encode(std::string_view("\0abcd\0pass", 10))), Progress::kMalformed);
  ServerExchange password(Mechanism::kLogin, limits);
  EXPECT_EQ(password.Begin(Encode("abc")), Progress::kChallenge);
  EXPECT_EQ(password.Respond(Encode("passw")), Progress::kMalformed);
}

TEST(Exchange, ClientAndServerAgree) {
  for (const Mechanism mechanism : {Mechanism::kPlain, Mechanism::kLogin}) {
    for (const bool with_initial : {true, false}) {
      Credentials credentials;
      credentials.authentication_id = "bob";
      credentials.password = "s e\xC3\xA9 \\ret";
      ClientExchange client(mechanism, std::move(credentials));
      ServerExchange server(mechanism);
      std::optional<std::string> initial;
      if (with_initial) initial = client.Initial();
      Progress progress = initial.has_value() ? server.Begin(*initial) : server.Begin(std::nullopt);
      while (progress == Progress::kChallenge) {
        const std::optional<std::string> answer = client.Respond(server.challenge());
        ASSERT_TRUE(answer.has_value());
        progress = server.Respond(*answer);
      }
      EXPECT_EQ(progress, Progress::kDone);
      EXPECT_EQ(server.credentials().authentication_id, "bob");
      EXPECT_EQ(server.credentials().password, "s e\xC3\xA9 \\ret");
      EXPECT_FALSE(client.Respond("").has_value());
    }
  }
}

TEST(Credentials, AreWiped) {
  std::string password(100, 'x');
  const char* const octets = password.data();
  const size_t capacity = password.capacity();
  WipeString(password);
  ASSERT_EQ(password.data(), octets);
  EXPECT_EQ(std::string(octets + 1, capacity - 1).find('x'), std::string::npos);

  Credentials from;
  from.password = "pw";
  Credentials to(std::move(from));
  EXPECT_EQ(to.password, "pw");
  EXPECT_EQ(from.password, "");  // NOLINT: moving empties, by contract
}

TEST(Mechanism, Names) {
  EXPECT_EQ(FindMechanism("plain"), Mechanism::kPlain);
  EXPECT_EQ(FindMechanism("LOGIN"), Mechanism::kLogin);
  EXPECT_FALSE(FindMechanism("CRAM-MD5").has_value());
  EXPECT_EQ(MechanismName(Mechanism::kPlain), "PLAIN");
}

}  // namespace
}  // namespace postern::sasl
