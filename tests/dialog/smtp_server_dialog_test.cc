// Runs the transcripts of tests/dialog/smtp against the server's core: each whole, byte by byte,
// and cut at random.
#include "tests/dialog/smtp_server_harness.h"
#include "tests/dialog/smtp_transcript.h"
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

// SubjectOf names what an event that wants a decision is about.
std::string SubjectOf(const ServerEvent& event) {
  if (event.kind == ServerEvent::Kind::kMailFrom) return event.reverse_path->address.local_part;
  if (event.kind == ServerEvent::Kind::kRcptTo) return event.forward_path->address.local_part;
  if (event.kind == ServerEvent::Kind::kAuthenticate) return event.credentials->authentication_id;
  if (event.kind == ServerEvent::Kind::kHello) return std::string(event.text);
  return "*";
}

class Runner {
 public:
  using Cutter = std::function<size_t()>;

  Runner(const std::filesystem::path& path, Cutter cutter)
      : transcript_(ReadTranscript(path)), cutter_(std::move(cutter)) {}

  void Run() {
    ASSERT_TRUE(transcript_.mistakes.empty()) << StrJoin(transcript_.mistakes, "\n");
    ServerHarness harness(transcript_.options, transcript_.tls_from_start);
    harness.set_decider([this](const ServerEvent& event) {
      const auto found =
          transcript_.decisions.find(StrCat(EventKindName(event.kind), " ", SubjectOf(event)));
      return found == transcript_.decisions.end() ? Decision::Accept() : found->second;
    });
    harness.Run();
    std::string pending;
    for (const Step& step : transcript_.steps) {
      SCOPED_TRACE(StrCat("line ", step.line_number, ": ", step.kind, " ", step.text));
      if (step.kind == "C:" || step.kind == "C=") {
        pending += step.kind == "C:" ? step.text + "\r\n" : Unescape(step.text);
        continue;
      }
      SendPending(harness, pending);
      CheckStep(harness, step);
      ASSERT_EQ(harness.fault(), "");
      if (::testing::Test::HasFatalFailure()) return;
    }
    SendPending(harness, pending);
    Collect(harness);
    EXPECT_TRUE(lines_.empty()) << "unexpected reply: " << lines_.front();
  }

 private:
  void SendPending(ServerHarness& harness, std::string& pending) {
    std::string_view rest = pending;
    while (!rest.empty()) {
      const std::string_view piece = rest.substr(0, cutter_());
      harness.Send(piece);
      rest.remove_prefix(piece.size());
    }
    pending.clear();
  }

  void Collect(ServerHarness& harness) {
    for (std::string& line : harness.TakeReplyLines()) lines_.push_back(std::move(line));
  }

  void CheckStep(ServerHarness& harness, const Step& step) {
    Collect(harness);
    if (step.kind == "S:" || step.kind == "S~") {
      ASSERT_FALSE(lines_.empty()) << "no reply";
      const std::string line = lines_.front();
      lines_.erase(lines_.begin());
      ASSERT_TRUE(LineMatches(step, line)) << line;
    } else if (step.kind == "E:") {
      const auto& log = harness.log();
      while (log_at_ < log.size() && log[log_at_] != step.text) ++log_at_;
      ASSERT_LT(log_at_, log.size()) << "no such event in:\n" << StrJoin(log, "\n");
      ++log_at_;
    } else if (step.kind == "M:") {
      ASSERT_FALSE(harness.messages().empty());
      ASSERT_EQ(Escape(harness.messages().back(), 100'000), step.text);
    } else if (step.kind == "@") {
      const std::vector<std::string_view> words = SplitWords(step.text);
      if (words[0] == "tls") {
        ASSERT_TRUE(harness.awaiting_tls());
        harness.EstablishTls();
      } else if (words[0] == "advance") {
        harness.Advance(absl::Seconds(*ParseUint(words[1])));
      } else if (words[0] == "end") {
        harness.End();
      } else if (words[0] == "shutdown") {
        harness.session().RequestShutdown();
        harness.Run();
      } else if (words[0] == "open") {
        ASSERT_FALSE(harness.closed());
      } else if (words[0] == "closed") {
        ASSERT_TRUE(harness.closed());
        ASSERT_EQ(harness.log().back(), StrCat("closed ", words[1]));
      } else if (words[0] == "messages") {
        ASSERT_EQ(harness.messages().size(), *ParseUint(words[1]));
      } else if (words[0] == "quiet") {
        ASSERT_TRUE(lines_.empty()) << lines_.front();
      }
    } else {
      FAIL() << "what is " << step.kind;
    }
  }

  Transcript transcript_;
  Cutter cutter_;
  std::vector<std::string> lines_;
  size_t log_at_ = 0;
};

class SmtpServerDialog : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(SmtpServerDialog, Whole) {
  Runner(GetParam(), [] { return size_t{1} << 30; }).Run();
}

TEST_P(SmtpServerDialog, ByteByByte) {
  Runner(GetParam(), [] { return size_t{1}; }).Run();
}

TEST_P(SmtpServerDialog, RandomCuts) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937 random(seed);
    Runner(GetParam(), [&random] { return size_t{1} + random() % 40; }).Run();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SmtpServerDialog,
                         ::testing::ValuesIn(Transcripts(POSTERN_DIALOG_DIR)),
                         [](const auto& param) { return TestName(param.param); });

}  // namespace
}  // namespace postern::smtp
