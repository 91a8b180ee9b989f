// How a message is relayed: connections, TLS, what is sent, each recipient's fate.
#include "tests/unit/service/relay/relay_test.h"

namespace postern::relay {
namespace {

TEST_F(RelayTest, DeliversByMx) {
  const std::vector<DeliveryResult> results = Send({"a@one.example", "b@one.example"});
  ASSERT_EQ(results.size(), 2u);
  for (const DeliveryResult& result : results) {
    EXPECT_EQ(result.outcome, Outcome::kDelivered) << result.text;
    EXPECT_EQ(result.text, "250 2.0.0 ok");
    EXPECT_EQ(result.remote_host, "mx.example");
    EXPECT_EQ(result.remote_address, "192.0.2.2");
    EXPECT_EQ(result.source_address, "192.0.2.1");
  }
  ASSERT_EQ(server_->messages.size(), 1u);
  EXPECT_EQ(server_->messages[0], "Subject: x\n\n..dot\n");
  EXPECT_EQ(server_->commands[0], "EHLO us.example");
}

TEST_F(RelayTest, ConnectionsAreKeptForAWhile) {
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 1);
  EXPECT_EQ(server_->messages.size(), 2u);
  EXPECT_EQ(relay_->idle_connections(), 1u);
  simulation_.RunFor(absl::Seconds(30));
  EXPECT_EQ(relay_->idle_connections(), 0u);
  EXPECT_EQ(server_->quits, 1);
}

TEST_F(RelayTest, AnIdleConnectionGivesItsPlaceToAnotherDestination) {
  routes_.settings.limits.max_conn_per_host = 1;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(relay_->idle_connections(), 1u);
  routes_.settings.helo_name = "another.example";  // so that the idle one cannot be shared
  const Instant begun = simulation_.now();
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_LT(simulation_.now() - begun, absl::Seconds(2));
  EXPECT_EQ(server_->connections, 2);
  EXPECT_EQ(server_->quits, 1);
}

// RFC 5321 §5.1: a session that a rule without `backup` opened may be with an exchanger that is
// worse than this backup, which would send the mail back; and the other way round, and for whatever
// else says which server mail may be given to.
TEST_F(RelayTest, AConnectionIsNotSharedBetweenSettingsThatMayLeadElsewhere) {
  const RelaySettings plain = routes_.settings;
  const struct {
    const char* what;
    void (*change)(RelaySettings* settings);
  } kRows[] = {
      {"backup", [](RelaySettings* s) { s->backup_mx = "dead.example"; }},
      {"family", [](RelaySettings* s) { s->limits.family = RelayLimits::Family::kV4; }},
      {"own names", [](RelaySettings* s) { s->own_names = {"other.example"}; }},
      {"mails of a session", [](RelaySettings* s) { s->limits.session_mail_max = 1; }},
      {"pause",
       [](RelaySettings* s) { s->limits.session_transaction_delay = absl::Milliseconds(20); }},
  };
  for (const auto& row : kRows) {
    for (const bool changed_first : {false, true}) {
      simulation_.RunFor(absl::Seconds(30));  // no session is left
      const int before = server_->connections;
      for (const bool changed : {changed_first, !changed_first}) {
        routes_.settings = plain;
        if (changed) row.change(&routes_.settings);
        const DeliveryResult result = Send({"a@one.example"})[0];
        EXPECT_EQ(result.outcome, Outcome::kDelivered) << row.what << ": " << result.text;
      }
      EXPECT_EQ(server_->connections, before + 2) << row.what << " " << changed_first;
    }
  }
  // A backup has nothing to send to where it stands beside the best one: no open session serves it.
  routes_.settings = plain;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  routes_.settings.backup_mx = "mx.example";
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kTemporary);
}

// reliability.md P2: what a crash would repeat is one message for each connection.
TEST_F(RelayTest, AConnectionWaitsForTheRecordOfItsMessage) {
  record_ = false;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(relay_->idle_connections(), 0u);
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  ASSERT_EQ(unrecorded_.size(), 2u);
  us_.main_loop().Post([this] { relay_->Recorded(unrecorded_[0]); });
  simulation_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(relay_->idle_connections(), 1u);
  EXPECT_EQ(Send({"c@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  us_.main_loop().Post([this] {
    relay_->Recorded(unrecorded_[1]);
    relay_->Recorded(unrecorded_[2]);
  });
  simulation_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(relay_->idle_connections(), 2u);
}

TEST_F(RelayTest, AConnectionThatWentWhileItWaitedIsReplaced) {
  server_->close_after_message = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  EXPECT_EQ(server_->messages.size(), 2u);
}

TEST_F(RelayTest, EachLimitOfConnectionsHolds) {
  record_ = false;  // so that connections stay in use
  constexpr size_t RelayLimits::*kLimits[] = {
      &RelayLimits::max_conn_per_host,   &RelayLimits::max_conn_per_route,
      &RelayLimits::max_conn_per_source, &RelayLimits::max_conn_per_connector,
      &RelayLimits::max_conn_per_relay,  &RelayLimits::max_conn_per_domain,
  };
  int held = 0;
  for (size_t RelayLimits::*const limit : kLimits) {
    routes_.settings.limits = RelayLimits();
    routes_.settings.limits.max_conn_per_host = 0;
    routes_.settings.limits.max_conn_per_domain = 0;
    routes_.settings.limits.*limit = 1;
    EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered) << held;
    const Instant begun = simulation_.now();
    const DeliveryResult result = Send({"a@one.example"})[0];
    EXPECT_EQ(result.held_back, "Too many connections to the destination") << held;
    EXPECT_EQ(result.outcome, Outcome::kTemporary);
    EXPECT_GE(simulation_.now() - begun, absl::Minutes(5)) << "it waits for a place";
    EXPECT_EQ(server_->connections, ++held);
  }
  for (const queue::EnvelopeId id : unrecorded_)
    us_.main_loop().Post([this, id] { relay_->Recorded(id); });
  simulation_.RunFor(absl::Minutes(1));
}

TEST_F(RelayTest, EachDelayBetweenConnectionsHolds) {
  constexpr Duration RelayLimits::*kDelays[] = {
      &RelayLimits::conn_delay_host,   &RelayLimits::conn_delay_route,
      &RelayLimits::conn_delay_source, &RelayLimits::conn_delay_connector,
      &RelayLimits::conn_delay_relay,  &RelayLimits::conn_delay_domain,
  };
  for (Duration RelayLimits::*const delay : kDelays) {
    routes_.settings.limits = RelayLimits();
    routes_.settings.limits.session_mail_max = 1;
    routes_.settings.limits.*delay = absl::Seconds(20);
    const Instant begun = simulation_.now();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
    EXPECT_GE(simulation_.now() - begun, absl::Seconds(40));
    EXPECT_LT(simulation_.now() - begun, absl::Seconds(65));
  }
  EXPECT_EQ(server_->connections, 18);
}

TEST_F(RelayTest, AConnectionRestsBetweenMessagesAndEndsAfterFailures) {
  routes_.settings.limits.session_transaction_delay = absl::Seconds(7);
  routes_.settings.limits.max_failures_per_session = 3;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  const Instant begun = simulation_.now();
  server_->replies["RCPT"] = "550 5.1.1 no";
  EXPECT_EQ(Send({"b@one.example", "c@one.example"})[0].outcome, Outcome::kPermanent);
  EXPECT_GE(simulation_.now() - begun, absl::Seconds(7));
  EXPECT_EQ(server_->connections, 1);
  EXPECT_EQ(relay_->idle_connections(), 1u);
  EXPECT_EQ(Send({"d@one.example"})[0].outcome, Outcome::kPermanent);
  EXPECT_EQ(relay_->idle_connections(), 0u) << "the third failure was its last";
  EXPECT_EQ(server_->connections, 1);
}

TEST_F(RelayTest, EhloSaysTheNameOfTheAddressThatTheSystemChose) {
  routes_.settings.helo_by_address = [](const IpAddress& ours) {
    return ours == *IpAddress::Parse("192.0.2.1") ? "source.example" : "";
  };
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->commands[0], "EHLO source.example");
}

// reliability.md row 5.
TEST_F(RelayTest, RepliesGluedBehindStartTlsAreDropped) {
  server_->ehlo.push_back("STARTTLS");
  server_->replies["STARTTLS"] =
      "220 go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n554 no";
  routes_.settings.auth_user = "user";
  routes_.settings.auth_password = "secret";
  const DeliveryResult result = Send({"a@one.example"})[0];
  // AUTH was never offered inside TLS, so the password was never sent.
  EXPECT_EQ(result.outcome, Outcome::kTemporary);
  EXPECT_THAT(result.text, HasSubstr("AUTH"));
  EXPECT_EQ(server_->tls_connections, 1);
  for (const std::string& command : server_->commands)
    EXPECT_FALSE(StartsWithIgnoreCase(command, "AUTH"));
}

// RFC 3030 §3, RFC 6152 §3: what a server does not offer it is not given.
TEST_F(RelayTest, AMessageIsMadeFitForItsNextServer) {
  const std::string head = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n";
  body_type_ = mail::BodyType::kBinaryMime;
  EXPECT_EQ(Send({"a@one.example"}, head + "\r\na\nb")[0].outcome, Outcome::kDelivered);
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, "Subject: x\r\n\r\ncaf\xc3\xa9\r\n")[0].outcome,
            Outcome::kDelivered);
  ASSERT_EQ(server_->messages.size(), 2u);
  EXPECT_EQ(server_->messages[0],
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\n\nYQpi\n");
  EXPECT_EQ(server_->messages[1], "Subject: x\n\ncaf\xc3\xa9\n");
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example>");
  EXPECT_THAT(server_->commands, ::testing::Contains("MAIL FROM:<from@us.example> BODY=8BITMIME"));
}

TEST_F(RelayTest, AServerOfSevenBitsGetsSeven) {
  server_->ehlo = {"mx.example", "SIZE 0"};
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, "Subject: x\r\n\r\nthe caf\xc3\xa9 has moved\r\n")[0].outcome,
            Outcome::kDelivered);
  ASSERT_EQ(server_->messages.size(), 1u);
  const std::string sent =
      "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n"
      "the caf=C3=A9 has moved\n";
  EXPECT_EQ(server_->messages[0], sent);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example> SIZE=" +
                                      std::to_string(sent.size() + 5));  // CRLF where it has LF
  const DeliveryResult sealed = Send(
      {"a@one.example"},
      "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ncaf\xc3\xa9\r\n--b--\r\n")[0];
  EXPECT_EQ(sealed.outcome, Outcome::kPermanent);
  EXPECT_EQ(sealed.text,
            "554 5.6.3 The server mx.example takes no 8-bit text, and a signed or encrypted part "
            "cannot be carried as it is");
  EXPECT_EQ(server_->messages.size(), 1u);
  EXPECT_EQ(relay_->idle_connections(), 1u) << "the connection is as good as before";
}

// Eight bits in header fields are no seven bits either, nor what a server with 8BITMIME must not
// see.
TEST_F(RelayTest, HeaderFieldsOfEightBits) {
  const std::string mail = "Subject: caf\xc3\xa9\r\n\r\ntext\r\n";
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, mail)[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example> BODY=8BITMIME");
  simulation_.RunFor(absl::Minutes(1));
  server_->ehlo = {"mx.example"};
  server_->commands.clear();
  EXPECT_EQ(Send({"a@one.example"}, mail)[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example>");
  EXPECT_THAT(server_->messages, ::testing::ElementsAre("Subject: caf\xc3\xa9\n\ntext\n",
                                                        "Subject: =?utf-8?B?Y2Fmw6k=?=\n\ntext\n"));
}

// RFC 6531 §3.2: what came with SMTPUTF8 goes without where it does not need it, and not otherwise.
TEST_F(RelayTest, SmtpUtf8IsAskedForByMailThatNeedsIt) {
  smtputf8_ = true;
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, "Subject: x\r\n\r\ncaf\xc3\xa9\r\n")[0].outcome,
            Outcome::kDelivered);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example> BODY=8BITMIME");
  const std::string utf8 = "Subject: caf\xc3\xa9\r\n\r\ntext\r\n";
  for (const char* to : {"a@one.example", "\xc3\xa9@one.example"}) {
    const DeliveryResult refused = Send({to}, utf8)[0];
    EXPECT_EQ(refused.outcome, Outcome::kPermanent);
    EXPECT_EQ(refused.status.ToString(), "5.6.7") << refused.text;
  }
  simulation_.RunFor(absl::Minutes(1));
  server_->ehlo = {"mx.example"};
  EXPECT_EQ(Send({"a@one.example"}, utf8)[0].status.ToString(), "5.6.7");
  EXPECT_EQ(server_->messages.size(), 1u);
  simulation_.RunFor(absl::Minutes(1));
  server_->ehlo = {"mx.example", "8BITMIME", "SMTPUTF8"};
  server_->commands.clear();
  EXPECT_EQ(Send({"a@one.example"}, utf8)[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example> BODY=8BITMIME SMTPUTF8");
}

TEST_F(RelayTest, TheNextServerIsTried) {
  EXPECT_EQ(Send({"a@two.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(Send({"a@plain.example"})[0].outcome, Outcome::kDelivered)
      << "a domain without MX is its own";
}

// reliability.md F9.
TEST_F(RelayTest, DnsFailures) {
  EXPECT_EQ(Send({"a@null.example"})[0].text, "556 5.1.10 Domain does not accept mail (null MX)");
  const DeliveryResult nobody = Send({"a@nobody.example"})[0];
  EXPECT_EQ(nobody.outcome, Outcome::kPermanent);
  EXPECT_EQ(nobody.status.ToString(), "5.1.2");
  EXPECT_EQ(Send({"a@broken.example"})[0].outcome, Outcome::kTemporary);
}

TEST_F(RelayTest, EachRecipientHasItsOwnFate) {
  server_->replies["RCPT TO:<bad"] = "550 5.1.1 no such user";
  server_->replies["RCPT TO:<busy"] = "451 4.2.1 later";
  const std::vector<DeliveryResult> results =
      Send({"good@one.example", "bad@one.example", "busy@one.example"});
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(results[1].outcome, Outcome::kPermanent);
  EXPECT_EQ(results[1].reply, "550 5.1.1 no such user");
  EXPECT_EQ(results[2].outcome, Outcome::kTemporary);
}

// reliability.md F10: nothing is known, so it is sent again.
TEST_F(RelayTest, AnAmbiguousEndOfDataIsTemporary) {
  server_->drop_at_end_of_data = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
  EXPECT_EQ(server_->messages.size(), 1u) << "and not within the same attempt";
}

// What is under way has the time that the caller gives it, no more and no less.
TEST_F(RelayTest, AStopWaitsForAsLongAsItIsTold) {
  server_->end_of_data_after = absl::Seconds(8);
  simulation_.At(simulation_.now() + absl::Seconds(1), &us_.main_loop(),
                 [this] { relay_->StopWithin(absl::Seconds(12)); });
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
}

TEST_F(RelayTest, AStopDoesNotWaitForLonger) {
  server_->end_of_data_after = absl::Minutes(2);
  const Instant begin = simulation_.now();
  simulation_.At(begin + absl::Seconds(1), &us_.main_loop(),
                 [this] { relay_->StopWithin(absl::Milliseconds(100)); });
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
  EXPECT_LT(simulation_.now() - begin, absl::Seconds(2));
}

TEST_F(RelayTest, TlsWhenOffered) {
  server_->ehlo.push_back("STARTTLS");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->tls_connections, 1);
}

// reliability.md F11.
TEST_F(RelayTest, OpportunisticTlsFallsBackOnce) {
  server_->ehlo.push_back("STARTTLS");
  server_->break_tls = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  EXPECT_EQ(server_->tls_connections, 0);
}

TEST_F(RelayTest, RequiredTlsDefers) {
  routes_.settings.route.tls = queue::RelayTls::kRequired;
  const DeliveryResult missing = Send({"a@one.example"})[0];
  EXPECT_EQ(missing.outcome, Outcome::kTemporary);
  EXPECT_THAT(missing.text, HasSubstr("TLS required but not supported"));
  server_->ehlo.push_back("STARTTLS");
  server_->break_tls = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
  EXPECT_TRUE(server_->messages.empty());
  server_->break_tls = false;
  routes_.settings.tls_config = verifying_;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  // The same server under a name that its certificate does not have.
  routes_.settings.route.host = "plain.example";
  EXPECT_THAT(Send({"a@one.example"})[0].text,
              HasSubstr("not for plain.example but for mx.example"));
}

TEST_F(RelayTest, LargeBodiesAreStreamed) {
  const std::string line(70, 'x');
  std::string body = "Subject: large\r\n\r\n";
  while (body.size() < 1'000'000) body += line + "\r\n";
  EXPECT_EQ(Send({"a@one.example"}, body)[0].outcome, Outcome::kDelivered);
  std::string expected = body;
  std::erase(expected, '\r');
  EXPECT_EQ(server_->messages.at(0), expected);
}

TEST_F(RelayTest, MistakesOfTheConfigurationArePermanent) {
  routes_.failure = NotFound("No auth table for relaying");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kPermanent);
  routes_.failure = Unavailable("the table does not answer");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
}

}  // namespace
}  // namespace postern::relay
