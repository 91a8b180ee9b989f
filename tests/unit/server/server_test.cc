// A whole server in the simulated world: from a configuration's text to mail in a Maildir.
#include "lib/server/server.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::server {
namespace {

constexpr char kConfig[] = R"(
mailname "mx.example.org"
spool "/spool"
resolver zone "/zone"
table addresses { "alice@example.org" = "alice", "loop@example.org" = "loop@example.org" }
table accounts { alice = "0:0:/home/alice" }
listen on 192.0.2.1 port 25
action "here" maildir "/mail/%{user.username}" virtual <addresses> userbase <accounts>
action "away" relay
match from any for domain "example.org" action "here"
match for any action "away"
)";

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    EXPECT_TRUE(rt::WriteFileDurably(host_.world().files(), "/zone", "nowhere.example. MX 0 .\n", 0644).ok());
  }
  void Start(const std::string& config = kConfig) {
    ServerOptions options;
    options.config_text = config;
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    ASSERT_NE(loaded.runtime, nullptr) << (loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].ToString());
    server_ = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
    const Status started = simulation_.Await(host_.main_loop(), server_->Start());
    ASSERT_TRUE(started.ok()) << Text(started);
  }
  void TearDown() override {
    if (server_ != nullptr) simulation_.Await(host_.main_loop(), server_->Stop(absl::Seconds(1)));
    server_.reset();
  }
  SubmissionResult Submit(std::vector<std::string> recipients, std::string sender = "alice@example.org") {
    Submission submission;
    submission.reverse_path = std::move(sender);
    submission.recipients = std::move(recipients);
    submission.content = "Subject: hello\n\nbody\n";
    return simulation_.Await(host_.main_loop(), server_->Submit(std::move(submission)));
  }
  size_t FilesIn(const std::string& path) {
    const StatusOr<std::vector<rt::DirectoryEntry>> found = host_.world().files().List(path);
    return found.ok() ? found->size() : 0;
  }

  rt::sim::Simulation simulation_{11};
  rt::sim::Host& host_ = simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  NullLogSink log_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, ASubmissionReachesItsMaildirOnce) {
  Start();
  const SubmissionResult result = Submit({"alice@example.org"});
  EXPECT_EQ(result.reply.code, 250) << result.reply.ToString() << Text(result.status);
  EXPECT_EQ(result.message_id.size(), 8u);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
}

TEST_F(ServerTest, RefusalsAreTheRulesOwn) {
  Start();
  EXPECT_EQ(Submit({"nobody@example.org"}).reply.code, 524);
  EXPECT_EQ(Submit({"loop@example.org"}).reply.code, 524);
  EXPECT_EQ(Submit({"not an address"}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Submit({}).status.code(), StatusCode::kInvalidArgument);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 0u);
}

TEST_F(ServerTest, MailThatNobodyTakesComesBackAsANotice) {
  Start();
  // RFC 7505: nowhere.example takes no mail at all.
  EXPECT_EQ(Submit({"someone@nowhere.example"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
  // A notice of a notice is never sent.
  EXPECT_EQ(Submit({"someone@nowhere.example"}, "").reply.code, 250);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
}

TEST_F(ServerTest, AnAddressInUseIsToldWithItsLineAndNothingIsOpened) {
  auto taken = host_.world().network().Listen(host_.main_loop(), Endpoint{IpAddress::V4(192, 0, 2, 1), 25, ""}, {});
  ASSERT_TRUE(taken.ok());
  ServerOptions options;
  options.config_text = kConfig;
  LoadedConfig loaded = LoadConfig(host_.world(), options);
  ASSERT_NE(loaded.runtime, nullptr);
  const std::unique_ptr<Server> server = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
  const Status started = simulation_.Await(host_.main_loop(), server->Start());
  EXPECT_EQ(started.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Message(started).substr(0, 9), "<text>:7:") << Message(started);
  EXPECT_EQ(host_.world().files().Stat("/spool").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace postern::server
