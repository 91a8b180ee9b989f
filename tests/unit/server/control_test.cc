// The control socket of a whole server, and mail that was handed in while it was down.
#include "tests/unit/server/server_test.h"
#include <algorithm>

#include "lib/server/control_gate.h"
#include "lib/server/offline_mail.h"
#include "lib/service/control/client.h"

namespace postern::server {
namespace {

struct Answer {
  Status status;
  int exit_status = -1;
  std::string output;
  std::string error;
};

class ControlTest : public ServerTest {
 protected:
  static rt::Task<void> Put(rt::Task<StatusOr<int>> asking, Answer* answer, bool* done) {
    const StatusOr<int> exit_status = co_await std::move(asking);
    answer->status = exit_status.status();
    if (exit_status.ok()) answer->exit_status = *exit_status;
    *done = true;
  }

  // Ask asks in `words`, and gives up after a minute.
  Answer Ask(std::string_view words, bool json = false, const std::string* input = nullptr) {
    control::Request request;
    for (const std::string_view word : SplitWords(words)) request.words.emplace_back(word);
    request.json = json;
    auto answer = std::make_shared<Answer>();
    bool done = false;
    const auto output = [answer](bool error, std::string_view text) {
      (error ? answer->error : answer->output).append(text);
    };
    tasks_.Spawn(Put(service::AskControl(&host_.world(), "/spool/control.sock", request,
                                         input != nullptr, input == nullptr ? "" : *input, output),
                     answer.get(), &done));
    for (int i = 0; i < 60 && !done; ++i) simulation_.RunFor(absl::Seconds(1));
    EXPECT_TRUE(done) << words;
    return *answer;
  }
  std::string QueuedId() {
    const std::string output = Ask("show queue").output;
    return output.substr(0, output.find('|'));
  }

  rt::TaskGroup tasks_;
};

TEST_F(ControlTest, TheQueueIsShownPausedScheduledAndEmptied) {
  Start();
  EXPECT_EQ(Ask("pause mda").output, "command succeeded\n");
  EXPECT_EQ(Ask("show status").output, "MDA paused\nMTA running\nSMTP running\n");
  EXPECT_EQ(Submit({"alice@example.org"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(1));
  const std::string line = Ask("show queue").output;
  EXPECT_EQ(std::count(line.begin(), line.end(), '|'), 13) << line;
  EXPECT_NE(line.find("|local|mda|auth|alice@example.org|alice@example.org|"), std::string::npos)
      << line;
  const std::string id = QueuedId();
  EXPECT_EQ(id.size(), 16u);
  EXPECT_NE(Ask("show message " + id).output.find("Subject: hello\n\nbody\n"), std::string::npos);
  EXPECT_NE(Ask("show envelope " + id).output.find("dispatcher: here\n"), std::string::npos);
  EXPECT_EQ(Ask("pause envelope " + id).output, "1 envelope paused\n");
  EXPECT_EQ(Ask("pause envelope " + id).output, "0 envelope paused\n");
  EXPECT_NE(Ask("show queue").output.find("|auth,suspend|"), std::string::npos);
  EXPECT_EQ(Ask("resume envelope all").output, "1 envelope resumed\n");
  EXPECT_EQ(Ask("schedule " + id.substr(0, 8)).output, "1 envelope scheduled\n");
  EXPECT_EQ(Ask("discover " + id).output, "1 envelope discovered\n");
  EXPECT_EQ(FilesIn("/mail/alice/new"), 0u);
  EXPECT_EQ(Ask("resume mda").output, "command succeeded\n");
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
  EXPECT_EQ(Ask("show queue").output, "");
  (void)Ask("pause mda");
  EXPECT_EQ(Submit({"alice@example.org"}).reply.code, 250);
  EXPECT_EQ(Submit({"alice@example.org"}).reply.code, 250);
  EXPECT_EQ(Ask("remove all").output, "2 envelopes removed\n");
  simulation_.RunFor(absl::Minutes(1));
  (void)Ask("resume mda");
  simulation_.RunFor(absl::Minutes(5));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
}

TEST_F(ControlTest, TheConfigurationNamesTheSocket) {
  Start(StrCat("control socket \"/elsewhere.sock\"\n", kConfig));
  control::Request request;
  request.words = {"show", "status"};
  Answer answer;
  bool done = false;
  tasks_.Spawn(Put(service::AskControl(&host_.world(), "/elsewhere.sock", request, false, "",
                                       [&](bool, std::string_view text) { answer.output = text; }),
                   &answer, &done));
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(answer.output, "MDA running\nMTA running\nSMTP running\n");
  EXPECT_TRUE(done);
}

// Somebody who connects and says nothing does not hold up the end of the server.
TEST_F(ControlTest, AStopDoesNotWaitForWhoSaysNothing) {
  Start();
  std::unique_ptr<rt::Stream> stream;
  Endpoint at;
  at.unix_path = "/spool/control.sock";
  StatusOr<std::unique_ptr<rt::Stream>> connected = simulation_.Await(
      host_.main_loop(),
      host_.world().network().Connect(host_.main_loop(), at, {}, Instant::Never()));
  ASSERT_TRUE(connected.ok());
  simulation_.RunFor(absl::Seconds(1));
  const Instant before = host_.main_loop().Now();
  Stop();
  EXPECT_LT(host_.main_loop().Now() - before, absl::Milliseconds(500));
  (*connected)->Close();
}

TEST_F(ControlTest, WhatIsNotKnownGetsThePossibilities) {
  Start();
  const Answer answer = Ask("show ho");
  EXPECT_EQ(answer.exit_status, 1);
  EXPECT_EQ(answer.error, "possibilities are:\nshow hosts\nshow hoststats\n");
  EXPECT_EQ(Ask("show message 00000001").exit_status, 1);
  EXPECT_EQ(Ask("resume route 99").exit_status, 1);
}

TEST_F(ControlTest, NumbersAndMetricsAreThose) {
  Start();
  EXPECT_EQ(Submit({"alice@example.org"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(1));
  const std::string stats = Ask("show stats").output;
  EXPECT_NE(stats.find("scheduler.delivery.ok=1\n"), std::string::npos) << stats;
  EXPECT_NE(stats.find("\nuptime.human="), std::string::npos);
  EXPECT_NE(Ask("metrics").output.find("postern_deliveries_total{by=\"mda\",result=\"ok\"} 1\n"),
            std::string::npos);
  EXPECT_EQ(Ask("show stats", true).output[0], '{');
}

TEST_F(ControlTest, AUserHandsInMailUnderHisOwnNumber) {
  Start();
  const std::string input = "Subject: from a program\n\nbody\n";
  const Answer answer = Ask("submit -f alice -- alice@example.org", false, &input);
  EXPECT_EQ(answer.exit_status, 0) << answer.error;
  EXPECT_NE(answer.output.find("Message accepted for delivery"), std::string::npos);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
  const auto files = host_.world().files().List("/mail/alice/new");
  const StatusOr<std::string> text =
      rt::ReadFile(host_.world().files(), "/mail/alice/new/" + files->front().name, 1 << 20);
  EXPECT_NE(text->find("Received: (from localhost, uid 0)"), std::string::npos) << *text;
  EXPECT_NE(text->find("Return-Path: <alice@mx.example.org>"), std::string::npos) << *text;
  const Answer refused = Ask("submit -f alice -- nobody@example.org", false, &input);
  EXPECT_NE(refused.exit_status, 0);
  EXPECT_NE(refused.error.find("524"), std::string::npos) << refused.error;
  EXPECT_EQ(Ask("submit -f alice --", false, &input).exit_status, 64);
}

TEST_F(ControlTest, MailOfTheTimeWithoutAServerIsTakenUpAtTheStart) {
  rt::Files& files = host_.world().files();
  ASSERT_TRUE(rt::MakeDirectories(files, "/spool/offline", 0733).ok());
  const auto put = [&files](const std::string& name, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(files, "/spool/offline/" + name, text, 0644).ok());
  };
  put("1.aa", "postern offline 1\nf: alice\nl: root\nt: alice@example.org\n\nSubject: x\n\nbody\n");
  put("2.bb",
      "postern offline 1\nf: alice@example.org\nt: nobody@example.org\nt: "
      "alice@example.org\n\nSubject: y\n\nbody\n");
  put("3.cc", "something else\n");
  put("4.dd",
      "postern offline 1\nf: alice@example.org\nt: alice@example.org\n\nSubject: z\n\nbody\n");
  ASSERT_TRUE(files.Link("/spool/offline/4.dd", "/spool/second").ok());
  put("new.ee", "postern offline 1\n");
  Start();
  simulation_.RunFor(absl::Minutes(2));
  // The first, the second's good recipient, and the notice about the other.
  EXPECT_EQ(FilesIn("/mail/alice/new"), 3u);
  std::vector<std::string> left;
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List("/spool/offline");
  for (const rt::DirectoryEntry& each : *entries) left.push_back(each.name);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"bad.3.cc", "bad.4.dd", "new.ee"}));
}

TEST_F(ControlTest, ATraceFollowsOneAddressAndNoOther) {
  Start();
  control::Request request;
  request.words = {"trace", "nowhere.example"};
  auto seen = std::make_shared<std::string>();
  auto answer = std::make_shared<Answer>();
  bool done = false;
  tasks_.Spawn(Put(service::AskControl(&host_.world(), "/spool/control.sock", request, false, "",
                                       [seen](bool, std::string_view text) { seen->append(text); }),
                   answer.get(), &done));
  simulation_.RunFor(absl::Seconds(2));
  EXPECT_EQ(Submit({"alice@example.org"}, "").reply.code, 250);
  EXPECT_EQ(Submit({"someone@nowhere.example"}, "").reply.code, 250);
  simulation_.RunFor(absl::Minutes(2));
  EXPECT_NE(seen->find("to=<someone@nowhere.example>"), std::string::npos) << *seen;
  EXPECT_EQ(seen->find("alice"), std::string::npos) << *seen;
  EXPECT_FALSE(done);
  Stop();
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(done);
}

rt::Task<SubmissionResult> TakeAllButLater(Submission submission, std::vector<std::string>* taken) {
  SubmissionResult result;
  const bool later = submission.recipients.front() == "later@example.org";
  result.reply = later ? mail::Reply(451, {4, 3, 0}, "Later") : mail::Reply(250, {2, 0, 0}, "Ok");
  if (!later) taken->push_back(submission.recipients.front());
  co_return result;
}

// Anybody may hand in what is refused for now again and again.
TEST_F(ControlTest, WhatWaitsOfflineKeepsNobodyElsesMail) {
  Start();
  rt::Files& files = host_.world().files();
  simulation_.RunFor(absl::Seconds(1));  // the server makes the folder
  ASSERT_TRUE(files.Stat("/spool/offline").ok());
  for (const auto& [name, to] : {std::pair("1", "later@example.org"), {"2", "alice@example.org"}}) {
    const std::string text = StrCat("postern offline 1\nf: a@b.test\nt: ", to, "\n\nbody\n");
    ASSERT_TRUE(rt::WriteFileDurably(files, StrCat("/spool/offline/", name), text, 0600).ok());
  }
  std::vector<std::string> taken;
  OfflineMail mail(&host_.world(), &log_, "/spool", 1 << 20, "mx.example.org",
                   [&](Submission one) { return TakeAllButLater(std::move(one), &taken); });
  tasks_.Spawn(mail.Run());
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(taken, std::vector<std::string>{"alice@example.org"});
  EXPECT_TRUE(files.Stat("/spool/offline/1").ok());
  EXPECT_FALSE(files.Stat("/spool/offline/2").ok());
  mail.Stop();
  simulation_.RunFor(absl::Seconds(1));
}

rt::Task<SubmissionResult> ByName(Submission submission, std::vector<std::string>* notices,
                                  std::map<std::string, int>* taken, const bool* now) {
  SubmissionResult result;
  result.message_id = "0badcafe";
  result.reply = mail::Reply(250, {2, 0, 0}, "Ok");
  for (const std::string& each : submission.recipients) {
    if (each == "unknown") result.reply = mail::Reply(550, {5, 1, 1}, "Nobody has that name");
    if (each == "later@example.org" && !*now) result.reply = mail::Reply(451, {4, 3, 0}, "Later");
    if (!result.reply.IsPositive()) co_return result;
  }
  for (const std::string& each : submission.recipients) ++(*taken)[each];
  if (submission.reverse_path.empty()) notices->push_back(std::string(submission.content));
  co_return result;
}

// One who is unknown and one who must wait keep it from nobody else, and only the first is told.
TEST_F(ControlTest, EachRecipientOfWhatWasHandedInOfflineCountsAlone) {
  Start();
  rt::Files& files = host_.world().files();
  simulation_.RunFor(absl::Seconds(1));
  const std::string text =
      "postern offline 1\nf: me\nt: unknown\nt: later@example.org\nt: alice@example.org\n\n"
      "From: \"Me\" <me>\nSubject: s\n\nbody\n";
  ASSERT_TRUE(rt::WriteFileDurably(files, "/spool/offline/1", text, 0600).ok());
  std::vector<std::string> notices;
  std::map<std::string, int> taken;
  bool now = false;
  // Between two looks of the server's own.
  OfflineOptions options;
  options.interval = absl::Seconds(1);
  OfflineMail mail(
      &host_.world(), &log_, "/spool", 1 << 20, "mx.example.org",
      [&](Submission one) { return ByName(std::move(one), &notices, &taken, &now); }, options);
  tasks_.Spawn(mail.Run());
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(taken["alice@example.org"], 1);
  EXPECT_EQ(taken["later@example.org"], 0);
  EXPECT_TRUE(files.Stat("/spool/offline/1").ok());
  ASSERT_EQ(notices.size(), 1u);
  for (const char* part : {"Final-Recipient: rfc822; unknown@mx.example.org\r\n",
                           "Status: 5.1.1\r\n", "From: \"Me\" <me@mx.example.org>\r\n"})
    EXPECT_NE(notices[0].find(part), std::string::npos) << notices[0];
  EXPECT_EQ(notices[0].find("later@"), std::string::npos) << notices[0];
  now = true;
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(taken["later@example.org"], 1);
  EXPECT_EQ(taken["alice@example.org"], 1);
  EXPECT_EQ(notices.size(), 1u);
  EXPECT_FALSE(files.Stat("/spool/offline/1").ok());
  mail.Stop();
  simulation_.RunFor(absl::Seconds(1));
}

TEST(ParseOffline, RefusesWhatIsNoSuchFile) {
  Submission submission;
  EXPECT_TRUE(ParseOffline("postern offline 1\nf: a@b\nt: c@d\n\ntext\n", &submission).ok());
  EXPECT_EQ(submission.content, "text\n");
  for (const char* const text :
       {"", "postern offline 2\n\n", "postern offline 1\nt: c@d\n", "postern offline 1\nx: c@d\n\n",
        "postern offline 1\nf: a\n\n", "postern offline 1\nno line\n\n"}) {
    Submission other;
    EXPECT_FALSE(ParseOffline(text, &other).ok()) << text;
  }
}

}  // namespace
}  // namespace postern::server
