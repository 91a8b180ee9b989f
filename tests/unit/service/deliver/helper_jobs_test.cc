#include "lib/service/deliver/helper_jobs.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/service/deliver/program.h"
#include "lib/store/queue/memory_body.h"

namespace postern::deliver {
namespace {

namespace fs = std::filesystem;

class HelperJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-jobs-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    envelope_.id = queue::MakeEnvelopeId(0xabcdef01, 0x23456789);
    envelope_.sender.address = {"s", "example.org"};
    envelope_.destination = {"u", "example.com"};
    envelope_.created = absl::FromUnixSeconds(1700000000);
    delivery_.envelope = &envelope_;
    delivery_.body = std::make_shared<store::MemoryBody>("Subject: x\r\n\r\nhello\r\n");
    delivery_.target.run_as = rt::Credentials{};
  }
  void TearDown() override { fs::remove_all(root_); }
  // Do does a call here, as the helper's child would.
  std::string Do(const rt::HelperCall& call) {
    const std::string path = root_ + "/payload";
    std::ofstream(path, std::ios::binary) << call.payload;
    const StatusOr<std::unique_ptr<rt::File>> payload = files_.Open(path, rt::OpenOptions());
    rt::HelperTask task;
    task.request = call.request;
    task.files = &files_;
    task.payload = payload.ok() ? payload->get() : nullptr;
    task.run = [this](const rt::ProcessSpec& spec) -> StatusOr<rt::ProcessResult> {
      ran_ = spec;
      rt::ProcessResult end;
      end.exit_code = 75;
      end.output = "later\n";
      return end;
    };
    return DoDelivery(task);
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  rt::PosixFiles files_;
  std::string root_;
  queue::Envelope envelope_;
  Delivery delivery_;
  std::optional<rt::ProcessSpec> ran_;
};

TEST_F(HelperJobsTest, AMailbox) {
  std::string text;
  delivery_.target.path = root_ + "/Maildir";
  for (int turn = 0; turn < 2; ++turn) {
    const StatusOr<rt::HelperCall> call = MaildirCall({&delivery_}, "mx", &text);
    ASSERT_TRUE(call.ok());
    EXPECT_TRUE(MaildirOutcomes(Do(*call), 1)[0].ok());
  }
  size_t letters = 0;
  for (const auto& entry : fs::directory_iterator(root_ + "/Maildir/new")) {
    ++letters;
    EXPECT_EQ(Read(entry.path()),
              "Return-Path: <s@example.org>\nDelivered-To: u@example.com\nSubject: x\n\nhello\n");
  }
  EXPECT_EQ(letters, 1u) << "the second attempt finds the first";

  delivery_.target.kind = LocalTarget::Kind::kMbox;
  delivery_.target.path = root_ + "/mbox";
  EXPECT_TRUE(MboxOutcome(Do(*MboxCall(delivery_, &text))).ok());
  EXPECT_TRUE(Read(root_ + "/mbox").starts_with("From s@example.org "));
  delivery_.target.path = root_ + "/none/mbox";
  const Status missing = MboxOutcome(Do(*MboxCall(delivery_, &text)));
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(ErrnoOf(missing), 0);
}

TEST_F(HelperJobsTest, ManyMaildirsOfOneAccount) {
  std::vector<queue::Envelope> envelopes(3, envelope_);
  std::vector<Delivery> deliveries(3, delivery_);
  std::vector<Delivery*> all;
  for (size_t i = 0; i < 3; ++i) {
    envelopes[i].id += i;
    deliveries[i].envelope = &envelopes[i];
    deliveries[i].body =
        std::make_shared<store::MemoryBody>(StrCat("Subject: ", i, "\r\n\r\n", i, "\r\n"));
    deliveries[i].target.path = StrCat(root_, "/box", i);
    all.push_back(&deliveries[i]);
  }
  deliveries[1].target.path = "relative";
  std::string text;
  const StatusOr<rt::HelperCall> call = MaildirCall(all, "mx", &text);
  ASSERT_TRUE(call.ok());
  const std::vector<Status> outcomes = MaildirOutcomes(Do(*call), 3);
  EXPECT_TRUE(outcomes[0].ok()) << Text(outcomes[0]);
  EXPECT_EQ(outcomes[1].code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(outcomes[2].ok()) << Text(outcomes[2]);
  for (const size_t i : {0, 2}) {
    for (const auto& entry : fs::directory_iterator(StrCat(root_, "/box", i, "/new"))) {
      EXPECT_EQ(Read(entry.path()), StrCat("Return-Path: <s@example.org>\nDelivered-To: "
                                           "u@example.com\nSubject: ",
                                           i, "\n\n", i, "\n"));
    }
  }
  EXPECT_EQ(MaildirOutcomes(Internal("dead"), 2)[1].code(), StatusCode::kInternal);
  EXPECT_EQ(MaildirOutcomes(std::string(), 2)[1].code(), StatusCode::kUnavailable);
}

TEST_F(HelperJobsTest, WhatIsKnownOfNames) {
  rt::DurableNames names(4);
  names.Know("/a/b/c");
  for (const char* path : {"/a/b/c", "/a/b", "/a"}) EXPECT_TRUE(names.Knows(path)) << path;
  EXPECT_FALSE(names.Knows("/a/b/d"));
  names.Forget("/a/b");
  EXPECT_TRUE(names.Knows("/a/b/c"));
  EXPECT_FALSE(names.Knows("/a/b"));
  EXPECT_FALSE(names.Knows("/a"));
  // A folder that is made anew is not what was known.
  delivery_.names_known = true;
  delivery_.target.path = root_ + "/Maildir";
  std::string text;
  const StatusOr<rt::HelperCall> call = MaildirCall({&delivery_}, "mx", &text);
  ASSERT_TRUE(call.ok());
  EXPECT_TRUE(MaildirOutcomes(Do(*call), 1)[0].ok());
}

TEST_F(HelperJobsTest, AProgramOfMailAndNoOther) {
  LocalTarget target;
  target.command = *policy::MakeShellCommand("procmail %{sender}", "", {});
  target.home = root_;
  rt::ProcessSpec spec = ProgramFor(envelope_, target, {});
  spec.run_as = rt::Credentials{};
  spec.input = "text";
  const StatusOr<rt::ProcessResult> end = ProgramOutcome(Do(ProgramCall(spec)));
  ASSERT_TRUE(end.ok()) << Text(end.status());
  EXPECT_EQ(end->exit_code, 75);
  EXPECT_EQ(end->output, "later\n");
  ASSERT_TRUE(ran_.has_value());
  EXPECT_EQ(ran_->argv, spec.argv);
  EXPECT_EQ(ran_->environment, spec.environment);
  EXPECT_EQ(ran_->directory, root_);
  EXPECT_EQ(ran_->input, "text");
  EXPECT_EQ(ran_->time_limit, absl::Seconds(300));
  ran_.reset();
  for (const std::vector<std::string>& argv : {std::vector<std::string>{"/bin/ls"},
                                               {"/bin/sh", "-s", "x"},
                                               {"/bin/bash", "-c", "x"},
                                               {}}) {
    spec.argv = argv;
    EXPECT_FALSE(ProgramOutcome(Do(ProgramCall(spec))).ok());
    EXPECT_FALSE(ran_.has_value());
  }
}

TEST_F(HelperJobsTest, WhatIsNoRequest) {
  rt::HelperCall call;
  for (const std::vector<std::string>& fields :
       {std::vector<std::string>{},
        {"maildirs"},
        {"maildirs", "mx", "/x"},
        {"program", "/", "1", "1", "0", "99"},
        {"program", "/", "1", "1", "0", "-1", "x"},
        {"program", "/", "1", "1", "999999999999", "0"},
        {"other", "x"},
        {"mbox", "relative", "", "0000000100000001", queue::EncodeEnvelope(envelope_), "0"},
        {"mbox", "/x", "", "1", queue::EncodeEnvelope(envelope_), "0"},
        {"mbox", "/x", "", "0000000100000001", "junk", "0"},
        {"maildirs", "mx", "/x", "", "0000000100000001", queue::EncodeEnvelope(envelope_), "99"}}) {
    call.request = rt::EncodeFields(fields);
    EXPECT_FALSE(MboxOutcome(Do(call)).ok());
    EXPECT_FALSE(ran_.has_value());
  }
  call.request = "\xff\xff";
  EXPECT_FALSE(MboxOutcome(Do(call)).ok());
}

TEST_F(HelperJobsTest, WhichMailboxOfTheSpool) {
  std::string text;
  delivery_.target.kind = LocalTarget::Kind::kMbox;
  delivery_.target.in_mail_spool = true;
  const auto mailbox = [&](const std::string& path) {
    delivery_.target.path = path;
    return SpoolMailboxOf(MboxCall(delivery_, &text)->request);
  };
  EXPECT_EQ(mailbox("/var/mail/bob"), "bob");
  EXPECT_EQ(mailbox("/var/mail/../bob"), "");
  EXPECT_EQ(mailbox("/home/bob/mbox"), "");
  delivery_.target.in_mail_spool = false;
  EXPECT_EQ(mailbox("/var/mail/bob"), "");
  delivery_.target.kind = LocalTarget::Kind::kMaildir;
  delivery_.target.in_mail_spool = true;
  EXPECT_EQ(SpoolMailboxOf(MaildirCall({&delivery_}, "mx", &text)->request), "");
}

}  // namespace
}  // namespace postern::deliver
