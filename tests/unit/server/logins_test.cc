// Logins behind the listeners: guessing, tokens, whose address a sender is.
#include "tests/unit/core/tls/make_certificate.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/policy/password.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/login_gate.h"
#include "lib/server/own_senders.h"
#include "lib/server/server.h"
#include "lib/store/table/accounts.h"

namespace postern::server {
namespace {

using sasl::Mechanism;

constexpr char kHead[] = R"(
mailname "mx.example.org"
spool "/spool"
pki mx.example.org cert "/cert" key "/key"
table accounts { alice = "0:0:/home/alice", bob = "0:0:/home/bob", vmail = "0:0:/home/vmail" }
table addresses { "alice@example.org" = alice, "bob@example.org" = bob,
                  "both@example.org" = "alice, bob", "sales@example.org" = "alice@example.org",
                  "out@example.org" = "friend@elsewhere.example" }
)";
constexpr char kTail[] = R"(
action "here" maildir "/mail/%{user.username}" virtual <addresses> userbase <accounts>
action "boxes" maildir "/boxes/%{dest.user}" virtual { "@" = vmail } userbase <accounts>
action "own" maildir "/mail/%{user.username}" userbase <accounts>
action "away" relay
match from any for domain "example.org" action "here"
match from any for domain "boxes.example" action "boxes"
match from any for local action "own"
match auth from any for any action "away"
)";

class LoginsTest : public ::testing::Test {
 protected:
  LoginsTest() {
    const tls_test::Made made = tls_test::MakeCertificate({"mx.example.org", {"mx.example.org"}});
    Put("/cert", made.certificate_pem);
    Put("/key", made.key_pem);
    const std::string salt(policy::kPasswordSaltOctets, 's');
    scram_ = *policy::HashPassword(policy::PasswordKind::kScramSha256, "pencil", salt);
    const std::string text =
        StrCat(std::string_view(kHead), "table logins { alice = \"", scram_,
               "\", \"bob@example.org\" = \"", scram_, "\" }\n",
               "smtp limit max-auth-failures-account 200 max-auth-memory 1000\n",
               "listen on 192.0.2.1 port 465 smtps auth <logins>\n", std::string_view(kTail));
    ServerOptions options;
    options.config_text = text;
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    std::string told;
    for (const policy::Diagnostic& each : loaded.diagnostics)
      StrAppend(told, each.ToString(), "\n");
    runtime_ = loaded.runtime;
    EXPECT_NE(runtime_, nullptr) << told;
  }
  void Put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0600).ok());
  }
  LoginPlace Place(const std::string& address) {
    LoginPlace place;
    place.loop = &host_.main_loop();
    place.runtime = runtime_;
    place.listener = 0;
    place.remote = Endpoint{*IpAddress::Parse(address), 1234, ""};
    return place;
  }
  // Try says "in", "no", or the error.
  std::string Try(LoginGate* gate, Mechanism mechanism, const std::string& user,
                  const std::string& password, const std::string& address,
                  const std::string& authorization_id = "") {
    sasl::Credentials credentials;
    credentials.authorization_id = authorization_id;
    credentials.authentication_id = user;
    credentials.password = password;
    auto task = gate->Judge(Place(address), mechanism, std::move(credentials), false);
    const StatusOr<std::optional<std::string>> judged =
        simulation_.Await(host_.main_loop(), std::move(task));
    if (!judged.ok()) return Text(judged.status());
    return judged->has_value() ? StrCat("in as ", **judged) : "no";
  }
  SenderOwner Owner(const std::string& user, const std::string& sender) {
    RuntimeHolder runtimes(runtime_);
    LocalTargets targets(&host_.world(), &runtimes);
    store::SystemAccounts accounts(&host_.world().processes(), &host_.world().files());
    const StatusOr<SenderOwner> owner =
        OwnerOf(*runtime_, accounts, targets, user, *mail::ParseAddress(sender));
    EXPECT_TRUE(owner.ok());
    return owner.ok() ? *owner : SenderOwner::kAnother;
  }

  rt::sim::Simulation simulation_{11};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  Hooks hooks_;
  std::string scram_;
  std::shared_ptr<const Runtime> runtime_;
};

TEST_F(LoginsTest, TenThousandGuessesAndTheOwner) {
  LoginGate gate(&hooks_);
  EXPECT_EQ(Try(&gate, Mechanism::kPlain, "alice", "pencil", "198.51.100.7"), "in as alice");
  int looked_at = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string address = StrCat("203.0.113.", i % 100 < 50 ? 1 : 2);
    if (Try(&gate, Mechanism::kPlain, "alice", "wrong", address) == "no") ++looked_at;
  }
  // Twenty each, and what the delays of those let leak away.
  EXPECT_GE(looked_at, 40);
  EXPECT_LE(looked_at, 45);
  EXPECT_NE(Try(&gate, Mechanism::kPlain, "alice", "pencil", "203.0.113.1"), "in as alice");
  // The owner at home waits for nothing, and gets in at a new place, too.
  const Instant before = host_.main_loop().Now();
  EXPECT_EQ(Try(&gate, Mechanism::kPlain, "alice", "pencil", "198.51.100.7"), "in as alice");
  EXPECT_LT(host_.main_loop().Now() - before, absl::Milliseconds(500));
  EXPECT_EQ(Try(&gate, Mechanism::kPlain, "alice", "pencil", "198.51.100.99"), "in as alice");
}

TEST_F(LoginsTest, ScramGuessesCountAsWell) {
  LoginGate gate(&hooks_);
  int given = 0;
  for (int i = 0; i < 100; ++i) {
    auto task = gate.SecretOf(Place("203.0.113.1"), Mechanism::kScramSha256, "nobody");
    const StatusOr<sasl::ScramSecret> secret =
        simulation_.Await(host_.main_loop(), std::move(task));
    if (secret.ok()) ++given;
  }
  EXPECT_LE(given, 25);
  auto task = gate.SecretOf(Place("198.51.100.7"), Mechanism::kScramSha256, "alice");
  const StatusOr<sasl::ScramSecret> secret = simulation_.Await(host_.main_loop(), std::move(task));
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(sasl::FormatScramSecret(*secret), scram_);
}

TEST_F(LoginsTest, UnknownUsersAreAskedLikeKnownOnes) {
  LoginGate gate(&hooks_);
  const auto ask = [&](const std::string& user) {
    auto task = gate.SecretOf(Place("198.51.100.7"), Mechanism::kScramSha256, user);
    return *simulation_.Await(host_.main_loop(), std::move(task));
  };
  const sasl::ScramSecret known = ask("alice");
  const sasl::ScramSecret unknown = ask("nobody");
  EXPECT_EQ(unknown.iterations, known.iterations);
  EXPECT_EQ(unknown.salt.size(), known.salt.size());
  EXPECT_EQ(unknown.salt, ask("nobody").salt);
  // Another process asks the same.
  LoginGate other(&hooks_);
  auto task = other.SecretOf(Place("198.51.100.8"), Mechanism::kScramSha256, "nobody");
  EXPECT_EQ(simulation_.Await(host_.main_loop(), std::move(task))->salt, unknown.salt);
}

TEST_F(LoginsTest, TokensAreTheHooks) {
  LoginGate without(&hooks_);
  EXPECT_EQ(Try(&without, Mechanism::kOAuthBearer, "", "good", "198.51.100.7"), "no");
  std::string seen;
  hooks_.on_token = [&](const TokenView& view) {
    seen = StrCat(view.mechanism, " ", view.user, " ", view.token, " ",
                  view.remote.address.ToString());
    TokenVerdict verdict;
    if (view.token == "away") verdict.kind = TokenVerdict::Kind::kUnavailable;
    if (view.token == "good") verdict = {TokenVerdict::Kind::kAccepted, "alice"};
    return verdict;
  };
  LoginGate gate(&hooks_);
  EXPECT_EQ(Try(&gate, Mechanism::kOAuthBearer, "", "good", "198.51.100.7"), "in as alice");
  EXPECT_EQ(seen, "OAUTHBEARER  good 198.51.100.7");
  EXPECT_EQ(Try(&gate, Mechanism::kXOAuth2, "Alice", "good", "198.51.100.7"), "in as alice");
  EXPECT_EQ(Try(&gate, Mechanism::kXOAuth2, "bob", "good", "198.51.100.7"), "no");
  EXPECT_EQ(Try(&gate, Mechanism::kXOAuth2, "alice", "bad", "198.51.100.7"), "no");
  EXPECT_NE(Try(&gate, Mechanism::kXOAuth2, "alice", "away", "198.51.100.7"), "no");
}

TEST_F(LoginsTest, NoCertificateIsNobody) {
  LoginGate gate(&hooks_);
  EXPECT_EQ(Try(&gate, Mechanism::kExternal, "", "", "198.51.100.7", "alice"), "no");
}

TEST_F(LoginsTest, WhoseAnAddressIs) {
  const struct {
    const char* user;
    const char* sender;
    SenderOwner owner;
  } kRows[] = {
      {"bob@example.org", "bob@example.org", SenderOwner::kLogin},
      {"bob@example.org", "Bob+list@Example.ORG", SenderOwner::kLogin},
      {"bob@example.org", "both@example.org", SenderOwner::kLogin},
      {"bob@example.org", "alice@example.org", SenderOwner::kAnother},
      {"bob@example.org", "sales@example.org", SenderOwner::kAnother},
      {"bob@example.org", "nobody@example.org", SenderOwner::kAnother},
      {"bob@example.org", "out@example.org", SenderOwner::kAnother},
      {"bob@example.org", "bob@elsewhere.example", SenderOwner::kElsewhere},
      {"bob@example.org", "bob@example.org.elsewhere.example", SenderOwner::kElsewhere},
      // A login without a domain is a user of this server.
      {"alice", "alice@mx.example.org", SenderOwner::kLogin},
      {"alice", "alice@example.org", SenderOwner::kLogin},
      {"alice", "sales@example.org", SenderOwner::kLogin},
      {"alice", "bob@mx.example.org", SenderOwner::kAnother},
      {"alice", "bob@example.org", SenderOwner::kAnother},
      // One account of the system with many boxes: the box counts.
      {"carol@boxes.example", "carol@boxes.example", SenderOwner::kLogin},
      {"carol@boxes.example", "dave@boxes.example", SenderOwner::kAnother},
  };
  for (const auto& row : kRows)
    EXPECT_EQ(Owner(row.user, row.sender), row.owner) << row.user << " as " << row.sender;
}

}  // namespace
}  // namespace postern::server
