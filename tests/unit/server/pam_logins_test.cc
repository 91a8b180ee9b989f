// How long logins by PAM may take, how many there are at once, and what silence means.
#include "lib/server/pam_logins.h"

#include <algorithm>
#include <deque>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::server {
namespace {

// Reply is what becomes of a question, and after how long.
struct Reply {
  Duration after;
  StatusOr<rt::PamAnswer> answer;
};

class FakeAnswer final : public rt::HelperAnswer {
 public:
  FakeAnswer(rt::Executor* loop, Reply reply, int* under_way)
      : loop_(loop),
        due_(loop->Now() + reply.after),
        reply_(std::move(reply)),
        under_way_(under_way) {
    ++*under_way_;
  }
  ~FakeAnswer() override { --*under_way_; }
  int descriptor() const override { return -1; }
  bool Take() override { return loop_->Now() >= due_; }
  void Wait(Duration) override {}
  StatusOr<std::string> Result() const override {
    if (loop_->Now() < due_) return DeadlineExceeded("not yet");
    const StatusCode code = reply_.answer.status().code();
    if (code == StatusCode::kInternal) return reply_.answer.status();
    return rt::EncodePamAnswer(reply_.answer);
  }

 private:
  rt::Executor* loop_;
  Instant due_;
  Reply reply_;
  int* under_way_;
};

// FakeHelper answers one question after the other as it was told to, the last reply again and
// again.
class FakeHelper final : public rt::Helper {
 public:
  explicit FakeHelper(rt::Executor* loop) : loop_(loop) {}
  StatusOr<std::unique_ptr<rt::HelperAnswer>> BeginPam(const rt::PamQuestion& question,
                                                       Duration) override {
    users.push_back(question.user);
    Reply reply = replies.front();
    if (replies.size() > 1) replies.pop_front();
    auto answer = std::make_unique<FakeAnswer>(loop_, std::move(reply), &under_way);
    most = std::max(most, under_way);
    return std::unique_ptr<rt::HelperAnswer>(std::move(answer));
  }
  Status AllowPam(const rt::PamService&) override { return OkStatus(); }

  StatusOr<std::unique_ptr<rt::HelperAnswer>> Begin(const rt::HelperCall&) override {
    return Unimplemented("");
  }
  StatusOr<std::unique_ptr<rt::File>> OpenNamed(const std::string&) override {
    return Unimplemented("");
  }
  StatusOr<int> OpenLog(const std::string&) override { return Unimplemented(""); }
  StatusOr<std::string> FindPasswordHash(const std::string&) override { return Unimplemented(""); }
  Status BindSocket(int, const Endpoint&) override { return Unimplemented(""); }
  StatusOr<std::unique_ptr<rt::Companion>> Accompany(rt::Executor&, const std::string&) override {
    return Unimplemented("");
  }
  Status AllowPort(uint16_t) override { return OkStatus(); }
  Status AllowFile(const std::string&) override { return OkStatus(); }
  Status AllowLog(const std::string&) override { return OkStatus(); }
  Status AllowPairs(const std::vector<std::pair<uint32_t, uint32_t>>&) override {
    return OkStatus();
  }
  Status AllowProgram(const std::string&, const rt::ProcessSpec&) override { return OkStatus(); }
  Status AllowPasswords() override { return OkStatus(); }
  Status Seal() override { return OkStatus(); }

  std::deque<Reply> replies;
  std::vector<std::string> users;
  int under_way = 0;
  int most = 0;

 private:
  rt::Executor* loop_;
};

class WorldWithHelper final : public rt::World {
 public:
  WorldWithHelper(rt::World* inner, rt::Helper* helper) : inner_(inner), helper_(helper) {}
  rt::Clock& clock() override { return inner_->clock(); }
  rt::Random& random() override { return inner_->random(); }
  rt::Files& files() override { return inner_->files(); }
  rt::Network& network() override { return inner_->network(); }
  rt::Processes& processes() override { return inner_->processes(); }
  rt::Helper* login_helper() override { return helper_; }
  size_t worker_count() const override { return inner_->worker_count(); }
  rt::Executor& worker(size_t index) override { return inner_->worker(index); }

 private:
  rt::World* inner_;
  rt::Helper* helper_;
};

class KeptLog final : public LogSink {
 public:
  void Write(const LogRecord& record) override {
    lines.push_back(record.event);
    for (const LogField& field : record.fields)
      StrAppend(lines.back(), " ", field.name, "=", field.value);
  }
  std::vector<std::string> lines;
};

const StatusOr<rt::PamAnswer> kIn = rt::PamAnswer{true, ""};
const StatusOr<rt::PamAnswer> kNo = rt::PamAnswer{false, "pam_authenticate: wrong"};
const StatusOr<rt::PamAnswer> kAway = Unavailable("the directory is away");
const StatusOr<rt::PamAnswer> kUnclear = Error(StatusCode::kAborted, "a system error");
const StatusOr<rt::PamAnswer> kDead = Internal("");

class PamLoginsTest : public ::testing::Test {
 protected:
  rt::Task<StatusOr<bool>> Check(std::string user = "ann") {
    rt::PamQuestion question;
    question.service.name = "smtpd";
    question.user = std::move(user);
    question.password = "x";
    return pam_.Check(&host_.main_loop(), std::move(question), limits_);
  }
  // Try says "in", "no" or the error, and after how many milliseconds.
  std::string Try() {
    const Instant begun = host_.main_loop().Now();
    const StatusOr<bool> in = simulation_.Await(host_.main_loop(), Check());
    const int64_t ms = absl::ToInt64Milliseconds(host_.main_loop().Now() - begun);
    return StrCat(in.ok() ? (*in ? "in" : "no") : std::string(Message(in.status())), " ", ms);
  }
  void Sleep(Duration time) {
    const auto sleep = [](rt::Executor* loop, Duration for_time) -> rt::Task<bool> {
      rt::Event never(loop);
      const bool woken = co_await never.Wait(loop->Now() + for_time);
      co_return woken;
    };
    (void)simulation_.Await(host_.main_loop(), sleep(&host_.main_loop(), time));
  }

  rt::sim::Simulation simulation_{7};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  FakeHelper helper_{&host_.main_loop()};
  WorldWithHelper world_{&host_.world(), &helper_};
  KeptLog log_;
  PamLogins pam_{&world_, &log_};
  PamLimits limits_;
};

TEST_F(PamLoginsTest, RefusalsTakeTheSameTime) {
  const Duration ms = absl::Milliseconds(1);
  helper_.replies = {{0 * ms, kNo}, {250 * ms, kNo}, {500 * ms, kNo}, {500 * ms, kIn}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Try(), "no 1000");
  EXPECT_EQ(Try(), "in 500") << "who is let in does not wait";
  EXPECT_EQ(log_.lines[0],
            "pam refused service=smtpd user=ann address= "
            "reason=pam_authenticate: wrong");
  EXPECT_EQ(log_.lines.size(), 3u);
  // A machine that is slow has a longer step from then on.
  helper_.replies = {{1250 * ms, kIn}, {0 * ms, kNo}, {1250 * ms, kNo}};
  EXPECT_EQ(Try(), "in 1250");
  EXPECT_EQ(Try(), "no 2000");
  EXPECT_EQ(Try(), "no 2000");
}

TEST_F(PamLoginsTest, WhatMayBeARefusalTakesAsLongAsOne) {
  helper_.replies = {{absl::Milliseconds(250), kUnclear}};
  EXPECT_EQ(Try(), "PAM's service smtpd: a system error 1000");
  EXPECT_TRUE(log_.lines.empty()) << "who asked tells of it";
}

TEST_F(PamLoginsTest, SilenceAndErrorsAreTemporary) {
  helper_.replies = {{absl::ZeroDuration(), kAway}};
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Try(), "PAM's service smtpd: the directory is away 0") << "an answer all the same";
  helper_.replies = {{absl::ZeroDuration(), kDead}};
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(Try(), "PAM's service smtpd: the process that asked PAM died 0");
  const size_t asked = helper_.users.size();
  EXPECT_TRUE(Try().starts_with("PAM has left 3 questions in a row without an answer"));
  EXPECT_EQ(helper_.users.size(), asked) << "it is not asked in the pause";
  ASSERT_EQ(log_.lines.size(), 1u);
  EXPECT_TRUE(log_.lines[0].ends_with(" pause=1s")) << log_.lines[0];
  // Each that is not answered doubles the pause, up to a minute.
  for (const int pause : {1, 2, 4, 8, 16, 32, 60, 60}) {
    Sleep(absl::Seconds(pause) - absl::Milliseconds(1));
    EXPECT_TRUE(Try().starts_with("PAM has left ")) << pause;
    Sleep(absl::Milliseconds(1));
    EXPECT_TRUE(Try().starts_with("PAM's service ")) << pause;
  }
  EXPECT_EQ(helper_.users.size(), asked + 8);
  Sleep(absl::Minutes(1));
  helper_.replies = {{absl::ZeroDuration(), kIn}, {absl::ZeroDuration(), kDead}};
  EXPECT_EQ(Try(), "in 0");
  EXPECT_TRUE(Try().starts_with("PAM's service ")) << "one answer, and all is forgotten";
  EXPECT_TRUE(Try().starts_with("PAM's service "));
}

TEST_F(PamLoginsTest, OneThatHangs) {
  limits_.answer = absl::Seconds(5);
  helper_.replies = {{absl::Hours(1), kIn}};
  // The helper ends it at the limit; here nobody does.
  EXPECT_EQ(Try(), "PAM's service smtpd: PAM did not answer within 5s 15000");
  EXPECT_EQ(helper_.under_way, 0) << "nobody awaits it any more";
}

TEST_F(PamLoginsTest, NoMoreAtOnceThanMayBe) {
  limits_.max_at_once = 2;
  helper_.replies = {{absl::Seconds(4), kIn}};
  rt::TaskGroup group;
  std::vector<std::string> ends;
  const auto one = [](rt::Task<StatusOr<bool>> check,
                      std::vector<std::string>* into) -> rt::Task<void> {
    const StatusOr<bool> in = co_await std::move(check);
    into->push_back(in.ok() ? "in" : std::string(Message(in.status())));
  };
  for (int i = 0; i < 7; ++i) group.Spawn(one(Check(), &ends));
  Sleep(absl::Seconds(30));
  EXPECT_EQ(helper_.most, 2);
  EXPECT_EQ(std::count(ends.begin(), ends.end(), "in"), 6) << "three turns within the patience";
  EXPECT_EQ(std::count(ends.begin(), ends.end(), "too many logins wait for PAM"), 1);
}

TEST_F(PamLoginsTest, TheEndOfTheServerIsNotWaitedFor) {
  helper_.replies = {{absl::Hours(1), kIn}};
  pam_.Stop();
  EXPECT_EQ(Try(), "PAM's service smtpd: the server stops 0");
}

}  // namespace
}  // namespace postern::server
