#include "lib/service/deliver/program.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace postern::deliver {
namespace {

using Outcome = schedule::DeliveryResult::Outcome;

queue::Envelope ToBob() {
  queue::Envelope envelope;
  envelope.id = 7;
  envelope.sender.address = {"joe", "example.net"};
  envelope.recipient = {"robert", "example.org"};
  envelope.destination = {"bob+lists", "example.org"};
  envelope.user = "bob";
  envelope.sub_address = "lists";
  return envelope;
}

LocalTarget Target(const queue::Envelope& envelope, std::string_view command) {
  policy::FormatContext context;
  context.sender = envelope.sender.address;
  context.recipient = envelope.recipient;
  context.destination = envelope.destination;
  context.user_name = envelope.user;
  context.home = "/home/bob";
  LocalTarget target;
  target.kind = LocalTarget::Kind::kProgram;
  target.command = *policy::MakeShellCommand(command, "", context);
  target.user = "bob";
  target.home = "/home/bob";
  return target;
}

TEST(Program, IsStartedAsTheManualSays) {
  const queue::Envelope envelope = ToBob();
  rt::ProcessSpec spec = ProgramFor(envelope, Target(envelope, "procmail -d %{user.username}"), {});
  EXPECT_EQ(spec.argv, (std::vector<std::string>{"/bin/sh", "-c", "procmail -d \"${POSTERN_1}\""}));
  std::sort(spec.environment.begin(), spec.environment.end());
  EXPECT_EQ(
      spec.environment,
      (std::vector<std::string>{
          "DOMAIN=example.org", "EXTENSION=lists", "HOME=/home/bob", "LOCAL=robert", "LOGNAME=bob",
          "ORIGINAL_RECIPIENT=robert@example.org", "PATH=/usr/local/bin:/usr/bin:/bin",
          "POSTERN_1=bob", "RECIPIENT=bob+lists@example.org", "SENDER=joe@example.net",
          "SHELL=/bin/sh", "USER=bob"}));
  EXPECT_EQ(spec.directory, "/home/bob");
  EXPECT_EQ(spec.time_limit, absl::Seconds(300));
}

TEST(Program, ItsEnvironmentIsSafeForAnyProgram) {
  queue::Envelope envelope = ToBob();
  envelope.sender.address = {"() { :;}; touch x", "example.net"};
  envelope.destination.local_part = "a\nPATH=x\x1b";
  envelope.recipient = {"b\nPATH=y\x1b", ""};
  envelope.sub_address = "() { :;};";
  const rt::ProcessSpec spec = ProgramFor(envelope, Target(envelope, "p %{sender.user:raw}"), {});
  for (const std::string& each : spec.environment) {
    EXPECT_EQ(each.find_first_of("\n\x1b"), std::string::npos) << each;
    const std::string value = each.substr(each.find('=') + 1);
    EXPECT_FALSE(value.starts_with("()")) << each;
  }
}

TEST(Program, WhatItsEndMeans) {
  struct Row {
    int exit_code;
    int signal;
    bool timed_out, read_all;
    const char* output;
    Outcome outcome;
    const char* text;
  };
  const Row rows[] = {
      {0, 0, false, true, "chatter\n", Outcome::kDelivered, "Delivered"},
      {0, 0, false, false, "", Outcome::kTemporary, "mda exited prematurely"},
      {75, 0, false, true, "one\nquota \x1b[1mfull\n\n", Outcome::kTemporary, "quota ?[1mfull"},
      {71, 0, false, true, "", Outcome::kTemporary, "exited abnormally (71)"},
      {1, 0, false, true, "no such mailbox", Outcome::kPermanent, "no such mailbox"},
      {67, 0, false, false, "", Outcome::kPermanent, "exited abnormally (67)"},
      {127, 0, false, true, "sh: 1: x: not found\n", Outcome::kPermanent, "sh: 1: x: not found"},
      {0, 11, false, true, "x\n", Outcome::kTemporary, "terminated; signal 11"},
      {0, 9, true, true, "x\n", Outcome::kTemporary, "terminated; timeout"},
  };
  const queue::Envelope envelope = ToBob();
  for (const Row& row : rows) {
    rt::ProcessResult end;
    end.exit_code = row.exit_code;
    end.signal = row.signal;
    end.timed_out = row.timed_out;
    end.read_all_input = row.read_all;
    end.output = row.output;
    const schedule::DeliveryResult result = ProgramResult(envelope, end, {});
    EXPECT_EQ(result.outcome, row.outcome) << row.text;
    EXPECT_EQ(result.text, row.text);
    EXPECT_EQ(result.id, 7u);
  }
}

TEST(Program, TheLastLine) {
  EXPECT_EQ(LastLine("", 10), "");
  EXPECT_EQ(LastLine("\n \n", 10), "");
  EXPECT_EQ(LastLine("a\nbcdefgh\r\n\n", 4), "bcde");
}

}  // namespace
}  // namespace postern::deliver
