#include "lib/core/smtp/client_session.h"

#include "tests/dialog/smtp_client_harness.h"
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"

namespace postern::smtp {
namespace {

ClientOptions Named() {
  ClientOptions options;
  options.helo_name = "client.example.net";
  return options;
}

// Greet brings a client to kReady with an EHLO reply of `keywords`.
void Greet(ClientHarness& client, const std::vector<std::string>& keywords) {
  client.Server("220 mx.example.org ESMTP\r\n");
  EXPECT_EQ(client.Sent().substr(1, 4), "HLO ");
  std::string reply = "250-mx.example.org\r\n";
  for (const std::string& keyword : keywords) StrAppend(reply, "250-", keyword, "\r\n");
  client.Server(reply + "250 HELP\r\n");
  ASSERT_TRUE(client.ready());
}

std::string Fates(const ClientHarness& client) {
  std::string out;
  for (const RecipientResult& result : client.results()) {
    StrAppend(out, out.empty() ? "" : " ", result.reply.code, "/", ClientStageName(result.stage),
              result.from_server ? "" : "!");
  }
  return out;
}

TEST(ClientSession, OneCommandAtATimeWithoutPipelining) {
  ClientHarness client(Named());
  client.Server("220 mx\r\n");
  EXPECT_EQ(client.Sent(), "EHLO client.example.net\r\n");
  client.Server("250 mx\r\n");
  ASSERT_TRUE(client.ready());
  client.Message({"b", "c"});
  EXPECT_EQ(client.Sent(), "MAIL FROM:<a@example.net>\r\n");
  client.Server("250 ok\r\n");
  EXPECT_EQ(client.Sent(), "RCPT TO:<b@example.org>\r\n");
  client.Server("550 5.1.1 no\r\n");
  EXPECT_EQ(client.Sent(), "RCPT TO:<c@example.org>\r\n");
  client.Server("250 ok\r\n");
  EXPECT_EQ(client.Sent(), "DATA\r\n");
  client.Server("354 go\r\n");
  EXPECT_EQ(client.Sent(), "Subject: x\r\n\r\nhello\r\n.\r\n");
  client.Server("250 2.0.0 taken\r\n");
  EXPECT_EQ(Fates(client), "550/rcpt 250/end-of-data");
  ASSERT_TRUE(client.ready());
  // A second message on the same connection.
  client.Message({"d"});
  EXPECT_EQ(client.Sent(), "MAIL FROM:<a@example.net>\r\n");
  client.Server("451 later\r\n");
  EXPECT_EQ(Fates(client), "451/mail");
  client.session().Quit();
  client.Run();
  EXPECT_EQ(client.Sent(), "QUIT\r\n");
  client.Server("221 bye\r\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(client.fault(), "");
}

TEST(ClientSession, PipelinesTheEnvelope) {
  ClientHarness client(Named());
  Greet(client, {"PIPELINING", "SIZE 1000", "8BITMIME"});
  client.Message({"b", "c"});
  EXPECT_EQ(client.Sent(),
            "MAIL FROM:<a@example.net> SIZE=21\r\nRCPT TO:<b@example.org>\r\nRCPT "
            "TO:<c@example.org>\r\nDATA\r\n");
  client.Server("250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n354 go\r\n");
  EXPECT_EQ(client.Sent(), "Subject: x\r\n\r\nhello\r\n.\r\n");
  client.Server("250 2.0.0 taken\r\n");
  EXPECT_EQ(Fates(client), "250/end-of-data 452/rcpt");
}

TEST(ClientSession, GivesAnEmptyTextWhenNobodyWasAccepted) {
  ClientHarness client(Named());
  Greet(client, {"PIPELINING"});
  client.Message({"b"});
  client.Sent();
  client.Server("250 ok\r\n550 5.1.1 no\r\n354 go\r\n");
  EXPECT_EQ(client.Sent(), ".\r\n");
  client.Server("554 no recipients\r\n");
  EXPECT_EQ(Fates(client), "550/rcpt");
  EXPECT_TRUE(client.ready());
}

TEST(ClientSession, ResetsBehindARefusedTransaction) {
  ClientHarness client(Named());
  Greet(client, {"PIPELINING"});
  client.Message({"b"});
  client.Server("250 ok\r\n550 5.1.1 no\r\n503 no\r\n");
  EXPECT_EQ(Fates(client), "550/rcpt");
  client.Sent();
  client.Message({"c"});
  EXPECT_EQ(client.Sent().substr(0, 11), "RSET\r\nMAIL ");
}

TEST(ClientSession, KeepsTheWindow) {
  ClientOptions options = Named();
  options.max_pipelined_commands = 3;
  ClientHarness client(options);
  Greet(client, {"PIPELINING"});
  client.Message({"b", "c", "d", "e"});
  EXPECT_EQ(client.Sent(),
            "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n");
  client.Server("250 ok\r\n");
  EXPECT_EQ(client.Sent(), "RCPT TO:<d@example.org>\r\n");
}

TEST(ClientSession, ChunksWhenAsked) {
  ClientOptions options = Named();
  options.chunking = true;
  ClientHarness client(options);
  Greet(client, {"PIPELINING", "CHUNKING"});
  client.set_body(".a\nb");
  client.Message({"b"});
  client.Sent();
  client.Server("250 ok\r\n250 ok\r\n");
  EXPECT_EQ(client.Sent(), "BDAT 5\r\n.a\r\nbBDAT 2 LAST\r\n\r\n");
  client.Server("250 5 octets\r\n250 2.0.0 taken\r\n");
  EXPECT_EQ(Fates(client), "250/end-of-data");
}

TEST(ClientSession, AChunkThatFailsEndsTheMessage) {
  ClientOptions options = Named();
  options.chunking = true;
  ClientHarness client(options);
  Greet(client, {"CHUNKING"});
  client.set_body_piece(7);
  client.Message({"b"});
  client.Server("250 ok\r\n");
  client.Server("250 ok\r\n");
  client.Sent();
  client.Server("552 5.3.4 too big\r\n");
  EXPECT_EQ(Fates(client), "552/body");
  EXPECT_TRUE(client.ready());
  client.Message({"c"});
  EXPECT_EQ(client.Sent().substr(0, 6), "RSET\r\n");
}

TEST(ClientSession, LmtpGivesEachRecipientItsFate) {
  ClientOptions options = Named();
  options.lmtp = true;
  ClientHarness client(options);
  client.Server("220 lmtp\r\n");
  EXPECT_EQ(client.Sent(), "LHLO client.example.net\r\n");
  client.Server("250-mx\r\n250 PIPELINING\r\n");
  client.Message({"b", "c", "d", "e"});
  client.Server("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 ok\r\n354 go\r\n");
  // Two of three replies, then the server is gone: the third recipient alone is uncertain.
  client.Server("250 2.0.0 b has it\r\n552 5.2.2 d is full\r\n");
  client.End();
  EXPECT_EQ(Fates(client), "250/end-of-data 550/rcpt 552/end-of-data 451/end-of-data!");
  EXPECT_EQ(client.fault(), "");
}

TEST(ClientSession, FallsBackToHelo) {
  ClientHarness client(Named());
  client.Server("220 old\r\n");
  client.Sent();
  client.Server("502 what\r\n");
  EXPECT_EQ(client.Sent(), "HELO client.example.net\r\n");
  client.Server("250 old\r\n");
  EXPECT_TRUE(client.ready());
  EXPECT_FALSE(client.session().offer().extended);
}

TEST(ClientSession, DropsWhatIsGluedBehindStartTls) {
  ClientHarness client(Named());
  Greet(client, {"STARTTLS", "AUTH PLAIN"});
  EXPECT_TRUE(client.session().StartTls());
  client.Run();
  EXPECT_EQ(client.Sent(), "STARTTLS\r\n");
  client.Server("220 go\r\n250-evil\r\n250 AUTH PLAIN LOGIN\r\n");
  EXPECT_TRUE(client.awaiting_tls());
  EXPECT_FALSE(client.session().offer().auth_plain);
  client.Server("250 more of it\r\n");
  client.EstablishTls();
  EXPECT_EQ(client.Sent(), "EHLO client.example.net\r\n");
  EXPECT_FALSE(client.ready());
  client.Server("250-mx\r\n250 SIZE\r\n");
  EXPECT_TRUE(client.ready());
  EXPECT_TRUE(client.session().in_tls());
  EXPECT_FALSE(client.session().offer().auth_plain);
}

TEST(ClientSession, TlsRefused) {
  ClientHarness client(Named());
  Greet(client, {"STARTTLS"});
  client.session().StartTls();
  client.Run();
  client.Server("454 4.7.0 not now\r\n");
  EXPECT_TRUE(client.ready());
  EXPECT_EQ(client.log().back(), "tls-refused 454 4.7.0 not now");
  ClientHarness without(Named());
  Greet(without, {});
  without.session().StartTls();
  without.Run();
  EXPECT_EQ(without.Sent(), "");
  EXPECT_EQ(without.log().back(), "tls-refused 502 5.5.1 The server does not offer STARTTLS");
}

sasl::Credentials Secret() {
  sasl::Credentials credentials;
  credentials.authentication_id = "bob";
  credentials.password = "secret";
  return credentials;
}

TEST(ClientSession, Authenticates) {
  ClientHarness plain(Named(), /*tls=*/true);
  Greet(plain, {"AUTH LOGIN PLAIN"});
  plain.session().Authenticate(Secret());
  plain.Run();
  EXPECT_EQ(plain.Sent(), "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n");
  plain.Server("235 2.7.0 ok\r\n");
  EXPECT_TRUE(plain.session().authenticated());

  ClientHarness login(Named(), /*tls=*/true);
  Greet(login, {"AUTH=LOGIN"});
  login.session().Authenticate(Secret());
  login.Run();
  EXPECT_EQ(login.Sent(), "AUTH LOGIN\r\n");
  login.Server("334 VXNlcm5hbWU6\r\n");
  EXPECT_EQ(login.Sent(), "Ym9i\r\n");
  login.Server("334 UGFzc3dvcmQ6\r\n");
  EXPECT_EQ(login.Sent(), "c2VjcmV0\r\n");
  login.Server("334 bW9yZQ==\r\n");
  EXPECT_EQ(login.Sent(), "*\r\n");
  login.Server("535 5.7.8 no\r\n");
  EXPECT_EQ(login.log().back(), "auth-refused 535 5.7.8 no");
  EXPECT_TRUE(login.ready());

  ClientHarness clear(Named());
  Greet(clear, {"AUTH PLAIN"});
  clear.session().Authenticate(Secret());
  clear.Run();
  EXPECT_EQ(clear.Sent(), "");
  EXPECT_EQ(clear.log().back(), "auth-refused 454 4.7.0 The password is not sent in the clear");
}

// The example of RFC 7677 §3, over AUTH (RFC 4954): the server proves itself, and is believed then.
TEST(ClientSession, AuthenticatesByScram) {
  constexpr std::string_view kNonce = "rOprNGfwEbeRWgbNEkqO";
  const auto begin = [&](ClientHarness& client, std::string_view offer) {
    Greet(client, {std::string(offer)});
    sasl::Credentials credentials;
    credentials.authentication_id = "user";
    credentials.password = "pencil";
    client.session().Authenticate(std::move(credentials), std::string(kNonce));
    client.Run();
  };
  const std::string first = mail::Base64Encode(
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  const std::string last = mail::Base64Encode(
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  const std::string proof = mail::Base64Encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  const std::string start =
      "AUTH SCRAM-SHA-256 " + mail::Base64Encode(StrCat("n,,n=user,r=", kNonce)) + "\r\n";

  ClientHarness right(Named(), /*tls=*/true);
  begin(right, "AUTH PLAIN SCRAM-SHA-1 SCRAM-SHA-256");
  EXPECT_EQ(right.Sent(), start);
  right.Server("334 " + first + "\r\n");
  EXPECT_EQ(right.Sent(), last + "\r\n");
  right.Server("334 " + proof + "\r\n");
  EXPECT_EQ(right.Sent(), "\r\n");
  right.Server("235 2.7.0 ok\r\n");
  EXPECT_TRUE(right.session().authenticated());
  EXPECT_FALSE(right.session().scram_refused());

  // A success that nobody proved is none, and such a server does not get the password either.
  for (const bool wrong : {false, true}) {
    ClientHarness impostor(Named(), /*tls=*/true);
    begin(impostor, "AUTH PLAIN SCRAM-SHA-256");
    EXPECT_EQ(impostor.Sent(), start);
    impostor.Server("334 " + first + "\r\n");
    (void)impostor.Sent();
    if (wrong) {
      impostor.Server("334 " + mail::Base64Encode("v=AAAA") + "\r\n");
      EXPECT_EQ(impostor.Sent(), "*\r\n");
      impostor.Server("501 5.0.0 cancelled\r\n");
    } else {
      impostor.Server("235 2.7.0 ok\r\n");
    }
    EXPECT_EQ(impostor.Sent(), "");
    EXPECT_FALSE(impostor.session().authenticated());
    EXPECT_EQ(impostor.log().back(),
              "auth-refused 454 4.7.0 The server did not prove that it knows the password");
  }

  // One that has only a hash of another kind is asked by the password, as without SCRAM.
  ClientHarness other(Named(), /*tls=*/true);
  begin(other, "AUTH PLAIN SCRAM-SHA-256");
  (void)other.Sent();
  other.Server("535 5.7.8 no\r\n");
  EXPECT_EQ(other.Sent(), "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n");
  other.Server("235 2.7.0 ok\r\n");
  EXPECT_TRUE(other.session().authenticated());
  EXPECT_TRUE(other.session().scram_refused());

  // Work without bound is not done for a server.
  ClientHarness slow(Named(), /*tls=*/true);
  begin(slow, "AUTH SCRAM-SHA-256");
  (void)slow.Sent();
  slow.Server("334 " +
              mail::Base64Encode(StrCat("r=", kNonce,
                                        "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
                                        "i=999999")) +
              "\r\n");
  EXPECT_EQ(slow.Sent(), "*\r\n");
  slow.Server("501 5.0.0 cancelled\r\n");
  EXPECT_EQ(slow.log().back(), "auth-refused 501 5.0.0 cancelled");
}

TEST(ClientSession, WhatCannotBeCarriedIsNotSent) {
  ClientHarness client(Named());
  Greet(client, {"SIZE 5"});
  client.Message({"b"});
  EXPECT_EQ(client.Sent(), "");
  EXPECT_EQ(Fates(client), "552/mail!");
  OutgoingMessage message;
  message.reverse_path.smtputf8 = true;
  message.recipients.emplace_back().address = {"b", "example.org"};
  EXPECT_TRUE(client.session().SendMessage(std::move(message)));
  EXPECT_EQ(client.session().NextEvent(Instant{1}).results->at(0).reply.code, 553);
}

TEST(ClientSession, ParametersOnlyAsOffered) {
  for (const bool offered : {false, true}) {
    ClientHarness client(Named());
    Greet(client,
          offered ? std::vector<std::string>{"DSN", "8BITMIME", "SMTPUTF8", "SIZE", "PIPELINING"}
                  : std::vector<std::string>{"PIPELINING"});
    OutgoingMessage message;
    message.reverse_path.body = mail::BodyType::k8BitMime;
    message.reverse_path.declared_size_bytes = 7;
    message.reverse_path.dsn_return = mail::DsnReturn::kFull;
    message.reverse_path.dsn_envelope_id = "a+b";
    auto& recipient = message.recipients.emplace_back();
    recipient.address = {"b", "example.org"};
    recipient.dsn_notify = mail::kNotifySuccess | mail::kNotifyDelay;
    recipient.dsn_original_recipient = "rfc822;x+y@example.org";
    client.session().SendMessage(std::move(message));
    client.session().NextEvent(Instant{1});
    const std::string sent(client.session().PendingOutput());
    EXPECT_EQ(sent, offered ? "MAIL FROM:<> SIZE=7 BODY=8BITMIME RET=FULL ENVID=a+2Bb\r\n"
                              "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY "
                              "ORCPT=rfc822;x+2By@example.org\r\nDATA\r\n"
                            : "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
  }
}

// A server that goes away, at every point of the dialogue, in every way: each recipient has one
// fate, and only a reply to the final dot makes it a delivery.
TEST(ClientSession, TheServerDiesAnywhere) {
  const std::vector<std::string> script = {
      "220 mx\r\n", "250-mx\r\n250 SIZE\r\n", "250 ok\r\n", "550 5.1.1 no\r\n", "250 ok\r\n",
      "354 go\r\n", "250 taken\r\n"};
  for (const std::string how : {"end", "421 4.3.2 bye\r\n", "time", "garbage\r\n", "999 x\r\n"}) {
    for (size_t steps = 0; steps < script.size(); ++steps) {
      SCOPED_TRACE(StrCat(how, " behind ", steps));
      ClientHarness client(Named());
      bool begun = false;
      for (size_t step = 0; step < steps; ++step) {
        client.Server(script[step]);
        if (client.ready() && !begun) begun = client.Message({"b", "c"});
      }
      if (client.ready()) begun = client.Message({"b", "c"});
      if (how == "end") {
        client.End();
      } else if (how == "time") {
        client.Advance(absl::Minutes(10));
      } else {
        client.Server(how);
      }
      EXPECT_TRUE(client.closed());
      EXPECT_EQ(client.fault(), "");
      if (!begun) continue;
      ASSERT_EQ(client.results().size(), 2u);
      EXPECT_EQ(client.results()[0].reply.code, steps >= 4 ? 550 : how[0] == '4' ? 421 : 451);
      EXPECT_EQ(client.results()[1].reply.code, how[0] == '4' ? 421 : 451);
    }
  }
}

TEST(ClientSession, UnaskedRepliesCloseIt) {
  ClientHarness client(Named());
  Greet(client, {});
  client.Server("250 hello again\r\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(client.log().back(),
            "closed protocol-error at ready: 451 4.5.0 The server sent an unexpected reply: 250 "
            "hello again");
}

TEST(ClientSession, GreetingRefused) {
  ClientHarness client(Named());
  client.Server("554 no service\r\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(client.Sent(), "QUIT\r\n");
  EXPECT_EQ(client.log().back(), "closed greeting-refused at greeting: 554 no service");
}

TEST(ClientSession, WaitsForTheFinalReplyTenMinutes) {
  ClientHarness client(Named());
  Greet(client, {"PIPELINING"});
  client.Message({"b"});
  client.Server("250 ok\r\n250 ok\r\n354 go\r\n");
  client.Advance(absl::Seconds(599));
  EXPECT_FALSE(client.closed());
  client.Advance(absl::Seconds(1));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(Fates(client), "451/end-of-data!");
}

TEST(ClientSession, ATextThatCannotBeReadIsNotEnded) {
  ClientHarness client(Named());
  Greet(client, {"PIPELINING"});
  OutgoingMessage message;
  message.recipients.emplace_back().address = {"b", "example.org"};
  ClientSession& session = client.session();
  session.SendMessage(std::move(message));
  session.NextEvent(Instant{1});
  session.Wrote(session.PendingOutput().size());
  session.Feed("250 ok\r\n250 ok\r\n354 go\r\n");
  EXPECT_EQ(session.NextEvent(Instant{1}).kind, ClientEvent::Kind::kSendBody);
  session.Body("half");
  session.BodyFailed();
  EXPECT_EQ(session.NextEvent(Instant{1}).kind, ClientEvent::Kind::kMessageDone);
  EXPECT_EQ(session.PendingOutput(), "");
}

}  // namespace
}  // namespace postern::smtp
