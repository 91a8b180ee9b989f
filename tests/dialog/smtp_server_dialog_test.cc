// Runs the transcripts of tests/dialog/smtp against the server's core: each whole, byte by byte,
// and cut at random.
#include "tests/dialog/smtp_server_harness.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

struct Step {
  int line_number;
  std::string kind;  // "C:", "C=", "S:", "S~", "E:", "M:", "@"
  std::string text;
};

std::vector<Step> ReadDialog(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::vector<Step> steps;
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    const size_t skip = line[0] == '@' ? 1 : 2;
    Step step{number, line.substr(0, skip), line.size() > skip ? line.substr(skip) : ""};
    if (!step.text.empty() && step.text[0] == ' ') step.text.erase(0, 1);
    steps.push_back(step);
  }
  return steps;
}

// Unescape reads \r \n \0 \\ \xHH, and \{TEXT*COUNT} for repetition.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char c = text[++i];
    if (c == 'r') out.push_back('\r');
    if (c == 'n') out.push_back('\n');
    if (c == '0') out.push_back('\0');
    if (c == '\\') out.push_back('\\');
    if (c == 'x') {
      out.append(HexDecode(text.substr(i + 1, 2)).value());
      i += 2;
    }
    if (c == '{') {
      const size_t star = text.find('*', i);
      const size_t close = text.find('}', star);
      const std::string piece = Unescape(text.substr(i + 1, star - i - 1));
      for (uint64_t n = ParseUint(text.substr(star + 1, close - star - 1)).value(); n > 0; --n)
        out.append(piece);
      i = close;
    }
  }
  return out;
}

bool SetOption(ServerOptions& options, const std::string& name, const std::string& value) {
  const std::map<std::string, bool*> flags = {
      {"tls_available", &options.tls_available},
      {"tls_required", &options.tls_required},
      {"auth_available", &options.auth_available},
      {"auth_required", &options.auth_required},
      {"auth_without_tls", &options.auth_without_tls},
      {"refuse_bare_line_ends", &options.refuse_bare_line_ends},
      {"close_after_bare_line_ends", &options.close_after_bare_line_ends},
      {"accept_bare_lf_in_commands", &options.accept_bare_lf_in_commands},
  };
  const std::map<std::string, uint64_t*> numbers = {
      {"max_message_bytes", &options.max_message_bytes},
      {"max_recipients", &options.max_recipients},
      {"max_messages", &options.max_messages},
      {"max_command_line_bytes", &options.max_command_line_bytes},
      {"max_auth_line_bytes", &options.max_auth_line_bytes},
      {"max_text_line_bytes", &options.max_text_line_bytes},
      {"max_overlong_line_bytes", &options.max_overlong_line_bytes},
      {"max_discard_bytes", &options.max_discard_bytes},
      {"max_errors", &options.max_errors},
      {"max_refused_recipients", &options.max_refused_recipients},
      {"max_auth_failures", &options.max_auth_failures},
      {"max_idle_commands", &options.max_idle_commands},
  };
  if (const auto flag = flags.find(name); flag != flags.end())
    return *flag->second = value == "1", true;
  if (const auto number = numbers.find(name); number != numbers.end())
    return *number->second = *ParseUint(value), true;
  if (name == "hostname") return options.hostname = value, true;
  if (name == "qualify_domain") return options.qualify_domain = value, true;
  if (name == "without") {
    const std::map<std::string, Extension> bits = {
        {"SIZE", kExtensionSize},
        {"CHUNKING", kExtensionChunking},
        {"DSN", kExtensionDsn},
        {"SMTPUTF8", kExtensionSmtpUtf8},
        {"ENHANCEDSTATUSCODES", kExtensionEnhancedCodes}};
    return options.extensions &= ~static_cast<uint32_t>(bits.at(value)), true;
  }
  return false;
}

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

  Runner(std::vector<Step> steps, Cutter cutter)
      : steps_(std::move(steps)), cutter_(std::move(cutter)) {}

  void Run() {
    ServerOptions options;
    options.hostname = "mx.example.org";
    bool tls = false;
    for (const Step& step : steps_) {
      const std::vector<std::string_view> words = SplitWords(step.text);
      if (step.kind != "@" || words.empty()) continue;
      if (words[0] == "option") {
        ASSERT_TRUE(SetOption(options, std::string(words[1]), std::string(words[2])))
            << "line " << step.line_number;
      } else if (words[0] == "in-tls") {
        tls = true;
      } else if (words[0] == "refuse" || words[0] == "disconnect" || words[0] == "accept") {
        const size_t reply_at =
            static_cast<size_t>(words[2].data() + words[2].size() - step.text.data());
        const mail::Reply reply =
            *mail::Reply::FromText(std::string_view(step.text).substr(reply_at), true);
        Decision decision =
            words[0] == "accept" ? Decision::Accept(reply) : Decision::Refuse(reply);
        if (words[0] == "disconnect") decision = Decision::Disconnect(reply);
        decisions_.emplace(StrCat(words[1], " ", words[2]), decision);
      }
    }
    ServerHarness harness(options, tls);
    harness.set_decider([this](const ServerEvent& event) {
      const auto found = decisions_.find(StrCat(EventKindName(event.kind), " ", SubjectOf(event)));
      return found == decisions_.end() ? Decision::Accept() : found->second;
    });
    harness.Run();
    std::string pending;
    for (const Step& step : steps_) {
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
      if (step.kind == "S~") {
        ASSERT_TRUE(std::regex_match(line, std::regex(step.text))) << line;
      } else if (step.text.size() >= 3 && step.text.substr(step.text.size() - 3) == "...") {
        ASSERT_EQ(line.substr(0, step.text.size() - 3), step.text.substr(0, step.text.size() - 3))
            << line;
      } else {
        ASSERT_EQ(line, step.text);
      }
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

  std::vector<Step> steps_;
  Cutter cutter_;
  std::map<std::string, Decision> decisions_;
  std::vector<std::string> lines_;
  size_t log_at_ = 0;
};

std::vector<std::filesystem::path> Dialogs() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(POSTERN_DIALOG_DIR)) {
    if (entry.path().extension() == ".dialog") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class SmtpServerDialog : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(SmtpServerDialog, Whole) {
  Runner(ReadDialog(GetParam()), [] { return size_t{1} << 30; }).Run();
}

TEST_P(SmtpServerDialog, ByteByByte) {
  Runner(ReadDialog(GetParam()), [] { return size_t{1}; }).Run();
}

TEST_P(SmtpServerDialog, RandomCuts) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937 random(seed);
    Runner(ReadDialog(GetParam()), [&random] { return size_t{1} + random() % 40; }).Run();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SmtpServerDialog, ::testing::ValuesIn(Dialogs()),
                         [](const auto& param) {
                           std::string name = param.param.stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace postern::smtp
