// Servers that refuse or cannot be reached: what is told, and how long they are left alone.
#include "tests/unit/service/relay/relay_test.h"

namespace postern::relay {
namespace {

TEST_F(RelayTest, GreetingsThatRefuse) {
  server_->greeting = "554 5.7.1 go away";
  const DeliveryResult refused = Send({"a@one.example"})[0];
  EXPECT_EQ(refused.outcome, Outcome::kPermanent) << refused.text;
  // What it said to that one is not its word about the next, which did not ask.
  const DeliveryResult next = Send({"a@one.example"})[0];
  EXPECT_EQ(next.outcome, Outcome::kTemporary) << next.text;
  EXPECT_NE(next.held_back, "");
  EXPECT_EQ(next.reply, "554 5.7.1 go away");
  EXPECT_EQ(next.remote_host, "mx.example");
}

// RFC 3464 §2.3.5, §2.3.6: whoever refuses before a message is begun is named with what it said.
TEST_F(RelayTest, RefusalsBeforeAMessageAreTheWordsOfTheServer) {
  struct Row {
    std::string greeting;
    std::map<std::string, std::string> replies;
    bool tls;
    bool auth;
    Outcome outcome;
    std::string reply;
    std::string text;  // empty: the reply
  };
  const std::string ok = "220 mx.example ESMTP";
  const Row rows[] = {
      {"554 5.7.1 block list", {}, false, false, Outcome::kPermanent, "554 5.7.1 block list", ""},
      {"554 no way", {}, false, false, Outcome::kPermanent, "554 no way", ""},
      {"421 4.3.2 closed", {}, false, false, Outcome::kTemporary, "421 4.3.2 closed", ""},
      {ok,
       {{"EHLO", "500 what"}, {"HELO", "550 5.7.1 bad name"}},
       false,
       false,
       Outcome::kPermanent,
       "550 5.7.1 bad name",
       ""},
      {ok, {{"EHLO", "450 4.7.1 later"}}, false, false, Outcome::kTemporary, "450 4.7.1 later", ""},
      {ok,
       {{"STARTTLS", "554 5.7.0 no TLS"}},
       true,
       false,
       Outcome::kTemporary,
       "554 5.7.0 no TLS",
       "454 4.7.0 TLS is required and was refused: the server mx.example answered: 554 5.7.0 no "
       "TLS"},
      {ok,
       {{"AUTH", "535 5.7.8 bad password"}},
       true,
       true,
       Outcome::kTemporary,
       "535 5.7.8 bad password",
       "454 4.7.0 AUTH failed: the server mx.example answered: 535 5.7.8 bad password"},
      {ok,
       {{"AUTH", "421 4.7.0 too often"}},
       true,
       true,
       Outcome::kTemporary,
       "421 4.7.0 too often",
       ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.reply);
    server_->greeting = row.greeting;
    server_->replies = row.replies;
    server_->ehlo = {"mx.example", "STARTTLS", "AUTH PLAIN"};
    routes_.settings.route.tls =
        row.tls ? queue::RelayTls::kRequired : queue::RelayTls::kOpportunistic;
    routes_.settings.auth_user = row.auth ? "user" : "";
    simulation_.RunFor(absl::Hours(2));  // no penalty is left
    const DeliveryResult result = Send({"a@one.example"})[0];
    EXPECT_EQ(result.outcome, row.outcome);
    EXPECT_EQ(result.held_back, "");
    EXPECT_EQ(result.reply, row.reply);
    EXPECT_EQ(result.text, row.text.empty() ? row.reply : row.text);
    EXPECT_EQ(result.remote_host, "mx.example");
    EXPECT_EQ(result.remote_address, "192.0.2.2");
    EXPECT_TRUE(result.before_message);
  }
}

// `two` has a server that cannot be reached and one that refuses: nobody spoke the last word.
TEST_F(RelayTest, ARefusalBesideAnUnreachableServerIsNotTheLastWord) {
  server_->greeting = "554 5.7.1 go away";
  const DeliveryResult result = Send({"a@two.example"})[0];
  EXPECT_EQ(result.outcome, Outcome::kTemporary);
  EXPECT_EQ(result.reply, "554 5.7.1 go away");
  EXPECT_EQ(result.text,
            "451 4.4.1 Other servers could not be reached, and the server mx.example answered: "
            "554 5.7.1 go away");
}

// A route is one port of an address, asked from one of ours.
TEST_F(RelayTest, APenaltyBelongsToThePortAndTheSource) {
  routes_.settings.route.host = "mx.example";
  routes_.settings.route.by_mx = false;
  routes_.settings.route.port = 26;
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
  EXPECT_NE(Send({"a@one.example"})[0].held_back, "");
  routes_.settings.source = IpAddress::Parse("192.0.2.1");
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
  routes_.settings.source.reset();
  routes_.settings.route.port = 25;
  const DeliveryResult healthy = Send({"a@one.example"})[0];
  EXPECT_EQ(healthy.outcome, Outcome::kDelivered) << healthy.held_back;
}

// An action with several hosts: one that is down keeps no mail from the others.
TEST_F(RelayTest, AnotherHostOfTheTableTakesWhatADeadOneCannot) {
  routes_.hosts = {"dead.example", "mx.example"};
  for (int i = 0; i < 6; ++i) {
    const DeliveryResult result = Send({"a@one.example"})[0];
    EXPECT_EQ(result.outcome, Outcome::kDelivered) << i << " " << result.text;
  }
  // With none that can be reached it is told, and not for ever.
  routes_.hosts = {"dead.example", "dead2.example"};
  const DeliveryResult none = Send({"a@one.example"})[0];
  EXPECT_EQ(none.outcome, Outcome::kTemporary) << none.text;
}

TEST_F(RelayTest, UnreachableServersAreLeftAloneForAWhile) {
  routes_.settings.route.host = "dead.example";
  routes_.settings.route.by_mx = false;
  const DeliveryResult tried = Send({"a@one.example"})[0];
  EXPECT_EQ(tried.outcome, Outcome::kTemporary);
  EXPECT_EQ(tried.held_back, "");
  const DeliveryResult blocked = Send({"a@one.example"})[0];
  EXPECT_EQ(blocked.outcome, Outcome::kTemporary);
  EXPECT_EQ(blocked.held_back, "All routes to destination blocked");
  EXPECT_EQ(blocked.text, tried.text) << "the cause is what the one before met with";
  simulation_.RunFor(absl::Seconds(16));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
}

TEST_F(RelayTest, ConnectionsThatFailTogetherCountOnce) {
  routes_.settings.route.host = "dead.example";
  routes_.settings.route.by_mx = false;
  rt::TaskGroup group;
  simulation_.At(simulation_.now(), &us_.main_loop(), [&] {
    for (int i = 0; i < 8; ++i) {
      queue::Envelope envelope;
      envelope.kind = queue::Envelope::Kind::kRelay;
      envelope.destination = envelope.recipient = *mail::ParseAddress("a@one.example");
      group.Spawn(AttemptAndForget({envelope}));
    }
  });
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "All routes to destination blocked");
  simulation_.RunFor(absl::Seconds(16));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
}

// `pause mta from ADDRESS for DOMAIN`: nobody is asked, no attempt counts, others go their way.
TEST_F(RelayTest, ADestinationThatIsPausedIsHeldBack) {
  EXPECT_TRUE(relay_->PauseDestination({"any", "one.example"}));
  EXPECT_FALSE(relay_->PauseDestination({"any", "one.example"}));
  EXPECT_TRUE(relay_->PauseDestination({"192.0.2.200", "two.example"}));  // from another address
  const DeliveryResult held = Send({"a@One.Example"})[0];
  EXPECT_EQ(held.outcome, Outcome::kTemporary);
  EXPECT_EQ(held.held_back, "Paused by the operator");
  EXPECT_EQ(held.retry_after, absl::Seconds(30));
  EXPECT_EQ(server_->connections, 0);
  EXPECT_EQ(Send({"b@two.example"})[0].held_back, "");
  EXPECT_EQ(relay_->paused().size(), 2u);
  EXPECT_TRUE(relay_->ResumeDestination({"any", "one.example"}));
  EXPECT_FALSE(relay_->ResumeDestination({"any", "one.example"}));
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
}

}  // namespace
}  // namespace postern::relay
