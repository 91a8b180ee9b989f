#include "lib/core/milter/server.h"

#include "tests/unit/core/milter/packets.h"

#include <gtest/gtest.h>

#include "lib/core/milter/client.h"

namespace postern::milter {
namespace {

TEST(MilterServer, AnswersTheNegotiation) {
  auto options = std::make_shared<ServerOptions>();
  options->actions = kMayAddHeaders | kMayChangeFrom;
  options->steps = kNoUnknown | kNoReplyHeader | kCanSkip;
  options->symbols[0] = std::vector<std::string>{"j"};
  Server server(options);
  server.Feed(Optneg(6, 0x1ff, 0x1fffff));
  EXPECT_EQ(server.NextEvent().command, Command::kNegotiate);
  EXPECT_EQ(server.PendingOutput(), Optneg(6, 0x41, 0x580, Be32(0) + "j\0"s));
  // what an old mail server does not offer is not asked for
  Server old(options);
  old.Feed(Optneg(2, 0x3f, 0x7f));
  old.NextEvent();
  EXPECT_EQ(old.PendingOutput(), Optneg(2, 0x01, 0));
}

TEST(MilterServer, WhatIsWrongIsRefused) {
  for (const std::string& wire :
       {Pk('C', "a\0U"s), Optneg(1, 0, 0), Optneg(6, 0, 0) + Optneg(6, 0, 0),
        Optneg(6, 0, 0) + Pk('Z'), Optneg(6, 0, 0) + Pk('H', "a"), Optneg(6, 0, 0) + Pk('M', ""),
        Optneg(6, 0, 0) + Pk('C', "a\0004\0"s), Optneg(6, 0, 0) + Pk('D', "Ci"),
        Optneg(6, 0, 0) + Be32(0)}) {
    Server server(std::make_shared<ServerOptions>());
    server.Feed(wire);
    ServerEvent event = server.NextEvent();
    while (event.kind == ServerEvent::Kind::kCommand) event = server.NextEvent();
    EXPECT_EQ(event.kind, ServerEvent::Kind::kFailed) << wire;
  }
}

TEST(MilterServer, OneWhoHasNotAnsweredHearsNoMore) {
  Server server(std::make_shared<ServerOptions>());
  server.Feed(Optneg(6, 0, 0) + Pk('H', "a\0"s) + Pk('H', "b\0"s));
  server.NextEvent();
  EXPECT_EQ(server.NextEvent().text, "a");
  EXPECT_EQ(server.NextEvent().kind, ServerEvent::Kind::kNeedInput);
  EXPECT_TRUE(server.Respond(Response::kContinue));
  EXPECT_FALSE(server.Respond(Response::kContinue));
  EXPECT_EQ(server.NextEvent().text, "b");
}

// Both sides against each other: a message that is signed, so to say.
TEST(MilterServer, AndClientUnderstandEachOther) {
  auto server_options = std::make_shared<ServerOptions>();
  server_options->actions = kAllActions;
  server_options->steps = kLeadingSpace | kNoReplyHeader;
  Server server(server_options);
  Client client(std::make_shared<ClientOptions>(), Instant{});
  std::string log;
  const auto run = [&] {
    for (;;) {
      const std::string out(client.PendingOutput());
      client.Wrote(out.size());
      server.Feed(out);
      for (ServerEvent event = server.NextEvent(); event.kind == ServerEvent::Kind::kCommand;
           event = server.NextEvent()) {
        log.push_back(static_cast<char>(event.command));
        if (event.command == Command::kHeader)
          log.append(event.name).append(":").append(event.value).append(";");
        if (event.command == Command::kRcpt) {
          log.append(event.args->front()).append(*server.macros().Find("rcpt_mailer"));
          server.RespondReply(mail::Reply(550, {5, 1, 1}, "100% no"));
          continue;
        }
        if (event.command == Command::kEndOfMessage) {
          Change change;
          change.kind = Change::Kind::kInsertHeader;
          change.index = 1;
          change.name = "X-Seen";
          change.value = " by\r\n\tme";
          EXPECT_TRUE(server.Modify(change));
          EXPECT_TRUE(server.Progress());
        }
        if (event.wants_response) server.Respond(Response::kContinue);
      }
      const std::string back(server.PendingOutput());
      server.Wrote(back.size());
      client.Feed(back);
      const ClientEvent event = client.NextEvent(Instant{});
      if (event.kind == ClientEvent::Kind::kNeedInput) continue;
      if (event.kind == ClientEvent::Kind::kReady) return;
      if (event.kind == ClientEvent::Kind::kFailed) {
        ADD_FAILURE() << event.reason;
        return;
      }
      if (event.kind == ClientEvent::Kind::kChange)
        log.append("<").append(event.change->name).append(event.change->value).append(">");
      if (event.kind == ClientEvent::Kind::kVerdict &&
          event.verdict->kind == Verdict::Kind::kRefuse)
        log.append(event.verdict->reply.ToString());
      if (event.kind == ClientEvent::Kind::kVerdict) {
        // the last one asked for a change: nothing else is pending
        if (client.NextEvent(Instant{}).kind == ClientEvent::Kind::kReady) return;
      }
    }
  };
  const Instant now;
  run();
  client.macros().Set("{rcpt_mailer}", "local");
  client.Connect("a.test", Family::kInet, 25, "192.0.2.1", now);
  run();
  client.Helo("a.test", now);
  run();
  client.Mail("<s@a.test>", {"SIZE=5"}, now);
  run();
  client.Rcpt("<r@b.test>", {}, now);
  run();
  client.Data(now);
  run();
  client.Header("Subject", " hi\r\n there", now);
  run();
  client.EndOfHeaders(now);
  run();
  client.Body("text\r\n", now);
  run();
  client.EndOfMessage(now);
  run();
  client.Quit(false);
  const std::string out(client.PendingOutput());
  EXPECT_EQ(out, Pk('Q'));
  EXPECT_EQ(log,
            "OCHMR<r@b.test>local550 5.1.1 100% noTLSubject: hi\n there;NBE<X-Seen by\r\n\tme>");
}

}  // namespace
}  // namespace postern::milter
