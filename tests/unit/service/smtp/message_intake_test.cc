#include "lib/service/smtp/message_intake.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

constexpr char kReceived[] = "Received: here\r\n";

// Through pushes `message` in pieces of `step` octets and returns what would be stored.
std::string Through(MessageIntakeOptions options, std::string_view message, size_t step,
                    MessageIntake::Problem* problem) {
  MessageIntake intake(std::move(options));
  std::string stored;
  while (!message.empty()) {
    const std::string_view piece = message.substr(0, step);
    stored += intake.Push(piece);
    message.remove_prefix(piece.size());
  }
  stored += intake.Finish();
  if (problem != nullptr) *problem = intake.problem();
  return stored;
}

struct Case {
  const char* what;
  bool complete;
  const char* message;
  const char* stored;
};

constexpr Case kCases[] = {
    {"a relayed message is left as it is", false, "Subject: x\r\n\r\nbody\r\n",
     "Received: here\r\nSubject: x\r\n\r\nbody\r\n"},
    {"a submitted one gets what is missing", true, "Subject: x\r\n\r\nbody\r\n",
     "Received: here\r\nDate: today\r\nMessage-ID: <id>\r\nSubject: x\r\n\r\nbody\r\n"},
    {"what is there stays", true, "date: d\r\nMESSAGE-ID: m\r\n\r\nb",
     "Received: here\r\ndate: d\r\nMESSAGE-ID: m\r\n\r\nb"},
    {"Bcc goes, with its continuation lines", false,
     "To: a\r\nBcc: b,\r\n c\r\n\td\r\nCc: e\r\n\r\nBcc: stays\r\n",
     "Received: here\r\nTo: a\r\nCc: e\r\n\r\nBcc: stays\r\n"},
    {"a header alone", true, "Date: d\r\nMessage-ID: m\r\n",
     "Received: here\r\nDate: d\r\nMessage-ID: m\r\n"},
    {"an empty message", false, "", "Received: here\r\n"},
    {"an empty header", false, "\r\nbody\r\n", "Received: here\r\n\r\nbody\r\n"},
    {"text without a header becomes the body", false, "just text\r\nmore\r\n\r\nend\r\n",
     "Received: here\r\n\r\njust text\r\nmore\r\n\r\nend\r\n"},
    {"a Bcc in front, with its continuation", false, "Bcc: a,\r\n b\r\nTo: c\r\n\r\nbody\r\n",
     "Received: here\r\nTo: c\r\n\r\nbody\r\n"},
    {"a new message has no Return-Path yet", true,
     "Return-Path: <x@y>\r\nDate: d\r\nreturn-path : <a@b>\r\n (old)\r\nMessage-ID: "
     "m\r\n\r\nReturn-Path: "
     "stays\r\n",
     "Received: here\r\nDate: d\r\nMessage-ID: m\r\n\r\nReturn-Path: stays\r\n"},
    {"bare names of a new message get our domain", true,
     "Date: d\r\nFrom: Alice\r\n <alice>\r\nTO: bob, c@x\r\nMessage-ID: m\r\nReply-To: "
     "d\r\n\r\nTo: bob\r\n",
     "Received: here\r\nDate: d\r\nFrom: Alice\r\n <alice@us>\r\nTO: bob@us, c@x\r\n"
     "Message-ID: m\r\nReply-To: d\r\n\r\nTo: bob\r\n"},
    {"those of a relayed one stay", false, "To: bob\r\n\r\n", "Received: here\r\nTo: bob\r\n\r\n"},
    {"a relayed one keeps it", false, "Return-Path: <x@y>\r\nSubject: x\r\n\r\nbody\r\n",
     "Received: here\r\nReturn-Path: <x@y>\r\nSubject: x\r\n\r\nbody\r\n"},
    {"only a Bcc", false, "Bcc: a\r\n\r\nbody\r\n", "Received: here\r\n\r\nbody\r\n"},
};

TEST(MessageIntake, GivesTheSameHoweverTheMessageIsCut) {
  for (const Case& each : kCases) {
    for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1000}}) {
      MessageIntakeOptions options;
      options.received = kReceived;
      options.complete = each.complete;
      options.date = "today";
      options.message_id = "<id>";
      options.domain = "us";
      EXPECT_EQ(Through(options, each.message, step, nullptr), each.stored)
          << each.what << ", step " << step;
    }
  }
}

TEST(MessageIntake, CountsHops) {
  std::string message;
  for (int i = 0; i < 100; ++i) message += "Received: from somewhere\r\n\tby elsewhere\r\n";
  message += "\r\nbody\r\n";
  MessageIntakeOptions options;
  MessageIntake::Problem problem;
  EXPECT_EQ(Through(options, message, 4096, &problem), "");
  EXPECT_EQ(problem, MessageIntake::Problem::kLoop);
  options.max_received_fields = 101;
  EXPECT_NE(Through(options, message, 4096, &problem), "");
  EXPECT_EQ(problem, MessageIntake::Problem::kNone);
}

TEST(MessageIntake, AHeaderWithoutEndIsGivenUpAtItsBound) {
  MessageIntakeOptions options;
  options.max_header_bytes = 10'000;
  MessageIntake intake(options);
  size_t fed = 0;
  while (intake.problem() == MessageIntake::Problem::kNone && fed < 1'000'000) {
    EXPECT_EQ(intake.Push("X-Field: value\r\n"), "");
    fed += 16;
  }
  EXPECT_EQ(intake.problem(), MessageIntake::Problem::kHeaderTooBig);
  EXPECT_LT(fed, 10'100u);
  EXPECT_EQ(intake.Push("\r\n\r\nbody"), "");
}

TEST(MessageIntake, MasqueradeLeavesOneFrom) {
  const struct {
    const char* header;
    const char* stored;
  } cases[] = {
      {"From: bob@x.example\r\n", "From: me@a.example\r\n"},
      {"from: Bob <bob@x.example>\r\nTo: c\r\n", "From: Bob <me@a.example>\r\nTo: c\r\n"},
      {"From : \"Bob, the\" <bob@x.example>,\r\n\tEve <eve@x.example>\r\n",
       "From: \"Bob, the\" <me@a.example>\r\n"},
      {"From: =?utf-8?q?J=C3=BCrgen?= <j@x.example>\r\n",
       "From: =?utf-8?Q?J=C3=BCrgen?= <me@a.example>\r\n"},
      {"From: a@x.example\r\nFrom: b@x.example\r\n c\r\nTo: d\r\n",
       "From: me@a.example\r\nTo: d\r\n"},
      {"From: group: a@x.example;\r\n", "From: me@a.example\r\n"},
      {"From:\r\n", "From: me@a.example\r\n"},
      {"From: <<<\"\r\n", "From: me@a.example\r\n"},
      {"X-From: a@x.example\r\n", "X-From: a@x.example\r\n"},
  };
  for (const auto& each : cases) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      MessageIntakeOptions options;
      options.received = kReceived;
      options.masquerade = "me@a.example";
      EXPECT_EQ(Through(options, StrCat(each.header, "\r\nFrom: body\r\n"), step, nullptr),
                StrCat(kReceived, each.stored, "\r\nFrom: body\r\n"));
    }
  }
  // No display name makes a line that may not be sent.
  MessageIntakeOptions options;
  options.masquerade = "me@a.example";
  EXPECT_EQ(
      Through(options, StrCat("From: ", std::string(2000, 'x'), " <a@b>\r\n\r\n"), 100, nullptr),
      "From: me@a.example\r\n\r\n");
}

}  // namespace
}  // namespace postern::service
