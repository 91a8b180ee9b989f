// Filter programs that do well and that do not, over the simulated network: what becomes of the
// mail that they filter, and of the mail behind it.
#include "lib/service/filter/filter_program.h"

#include "tests/unit/service/filter/session_fixture.h"
#include "tests/unit/text_log.h"

#include <gmock/gmock.h>

#include "lib/service/filter/filter_chain.h"

namespace postern::service {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class PipeCompanion final : public rt::Companion {
 public:
  explicit PipeCompanion(std::unique_ptr<rt::Stream> stream) : stream_(std::move(stream)) {}
  rt::Stream& stream() override { return *stream_; }
  rt::Stream* errors() override { return nullptr; }
  void End() override { stream_->Close(); }
  bool Ended() override { return true; }

 private:
  std::unique_ptr<rt::Stream> stream_;
};

// Manner is how a test program behaves.
struct Manner {
  std::vector<std::string> registers = {"filter|smtp-in|data-line"};
  bool registers_ready = true;
  // answer gives what the program says to a request; data lines are echoed when it is empty.
  std::function<std::string(const filter::ServerLine& line)> answer;
  bool deaf_when_ready = false;
  bool echo = true;
  std::string said;  // at once, behind the registration
};

class FilterProgramTest : public SessionFixture {
 protected:
  FilterProgramTest() {
    pipes_ = *server_.world().network().Listen(server_.main_loop(), pipe_place_, {});
    programs_.Spawn(AcceptPipes());
    backend_.new_filter = [this] {
      std::vector<std::unique_ptr<SessionFilter>> members;
      SmtpSessionFacts facts;
      facts.id = Hex(++sessions_, 16);
      members.push_back(program_->NewSession(&server_.main_loop(), facts, [this](const auto& told) {
        StrAppend(reports_, told.filter, ": ", told.text, "\n");
      }));
      return std::make_unique<FilterChain>(std::move(members));
    };
  }
  ~FilterProgramTest() override {
    program_->Stop();
    pipes_->Close();
    simulation_.RunFor(absl::Minutes(30));
  }
  // NewProgram has a program of manner_ in place of the one of before.
  void NewProgram() {
    if (program_ != nullptr) program_->Stop();
    simulation_.RunFor(absl::Seconds(1));
    FilterProgramOptions options;
    options.name = "f";
    options.config = {{"protocol", "0.7"}};
    options.max_unread_bytes = 400 << 10;
    options.content_ahead_bytes = 64 << 10;
    options.max_untaken_bytes = 64 << 10;
    options.max_added_bytes = 100 << 10;
    options.max_stray_bytes = 500 << 10;
    program_ = std::make_shared<FilterProgram>(&server_.main_loop(), &server_.world().clock(),
                                               &text_log_, options, [this] { return Connect(); });
    text_log_.text.clear();
    starts_ = 0;
    tasks_.Spawn(program_->Run());
    simulation_.RunFor(absl::Seconds(1));
  }
  static std::string Proceed(const filter::ServerLine& line) {
    return Result(line, filter::Decision::kProceed, "");
  }
  static std::string Result(const filter::ServerLine& line, filter::Decision decision,
                            std::string_view text) {
    filter::ProgramLine answer;
    answer.kind = filter::ProgramLine::Kind::kResult;
    answer.session = line.session;
    answer.token = line.token;
    answer.decision = decision;
    answer.text = text;
    std::string out;
    filter::AppendProgramLine(answer, &out);
    return out;
  }
  static std::string DataLine(const filter::ServerLine& line, std::string_view text) {
    filter::ProgramLine answer;
    answer.kind = filter::ProgramLine::Kind::kDataLine;
    answer.session = line.session;
    answer.token = line.token;
    answer.text = text;
    std::string out;
    filter::AppendProgramLine(answer, &out);
    return out;
  }
  std::string Session(std::string_view text = "Subject: x\r\n\r\nbody\r\n") {
    return Says(StrCat("EHLO c\r\n", Mail(text), "QUIT\r\n"));
  }

  rt::Task<StatusOr<std::unique_ptr<rt::Companion>>> Connect() {
    ++starts_;
    rt::ConnectOptions options;
    StatusOr<std::unique_ptr<rt::Stream>> stream = co_await server_.world().network().Connect(
        server_.main_loop(), pipe_place_, options, Instant::Never());
    if (!stream.ok()) co_return stream.status();
    co_return std::unique_ptr<rt::Companion>(std::make_unique<PipeCompanion>(std::move(*stream)));
  }
  rt::Task<void> AcceptPipes() {
    for (;;) {
      StatusOr<std::unique_ptr<rt::Stream>> stream = co_await pipes_->Accept(server_.main_loop());
      if (!stream.ok()) co_return;
      programs_.Spawn(BeProgram(std::move(*stream)));
    }
  }
  rt::Task<void> BeProgram(std::unique_ptr<rt::Stream> stream) {
    const Manner manner = manner_;
    filter::LineReader reader(1 << 20);
    std::string out;
    for (const std::string& each : manner.registers) StrAppend(out, "register|", each, "\n");
    if (manner.registers_ready) out += "register|ready\n";
    out += manner.said;
    (void)co_await stream->Write(out, Instant::Never());
    char buffer[8192];
    for (;;) {
      if (manner_.deaf_when_ready) {
        rt::Event never(&server_.main_loop());
        (void)co_await never.Wait(server_.main_loop().Now() + absl::Minutes(20));
        break;
      }
      const StatusOr<size_t> got =
          co_await rt::ReadSome(*stream, std::span<char>(buffer), Instant::Never());
      if (!got.ok() || *got == 0) break;
      reader.Feed(std::string_view(buffer, *got));
      out.clear();
      while (const std::optional<std::string_view> text = reader.Next()) {
        StrAppend(heard_lines_, *text, "\n");
        const StatusOr<filter::ServerLine> line = filter::ParseServerLine(*text);
        if (!line.ok() || line->kind != filter::ServerLine::Kind::kRequest) continue;
        if (line->name == "data-line") {
          if (manner_.echo) out += DataLine(*line, line->fields);
          if (!manner_.answer) continue;
        }
        // From one line to the next it may mend its ways.
        std::string answer = manner_.answer ? manner_.answer(*line) : Proceed(*line);
        if (answer == "die") {
          stream->Close();
          co_return;
        }
        out += answer;
      }
      const Status written = co_await stream->Write(out, Instant::Never());
      if (!written.ok()) break;
    }
    stream->Close();
  }

  Endpoint pipe_place_{IpAddress::V4(192, 0, 2, 1), 999, ""};
  std::unique_ptr<rt::Listener> pipes_;
  rt::TaskGroup programs_;
  Manner manner_;
  TextLog text_log_;
  std::shared_ptr<FilterProgram> program_;
  uint64_t sessions_ = 0;
  int starts_ = 0;
  std::string heard_lines_;
  std::string reports_;
};

constexpr char kFine[] = "220 250 250 250 354 250 221";

TEST_F(FilterProgramTest, AsksTellsAndStreams) {
  manner_.registers = {"report|smtp-in|*",         "report|smtp-out|tx-mail",
                       "filter|smtp-in|ehlo",      "filter|smtp-in|rcpt-to",
                       "filter|smtp-in|data-line", "filter|smtp-in|commit"};
  manner_.answer = [](const filter::ServerLine& line) {
    if (line.name == "data-line") {
      return line.fields == "Subject: x" ? DataLine(line, "X-Seen: yes") : std::string();
    }
    std::string report;
    filter::ProgramLine told;
    told.kind = filter::ProgramLine::Kind::kReport;
    told.session = line.session;
    told.text = "seen";
    if (line.name == "commit") filter::AppendProgramLine(told, &report);
    if (line.name == "rcpt-to") return Result(line, filter::Decision::kRewrite, "<z@x.example>");
    return report + Proceed(line);
  };
  NewProgram();
  EXPECT_EQ(Session("Subject: x\r\n\r\n..dot\r\nlast\r\n"), kFine);
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_THAT(backend_.kept[0].content, StartsWith("Received: from c "));
  EXPECT_THAT(backend_.kept[0].content,
              EndsWith("\r\nSubject: x\r\nX-Seen: yes\r\n\r\n.dot\r\nlast\r\n"));
  EXPECT_EQ(backend_.kept[0].recipients, "z@x.example");
  EXPECT_EQ(reports_, "f: seen\n");
  std::string plain;
  for (const std::string_view line : Split(heard_lines_, '\n')) {
    std::string kept;
    int field = 0;
    for (const std::string_view each : Split(line, '|')) {
      ++field;
      // Times differ, tokens too.
      const bool is_time = field == 3 && line.substr(0, 6) != "config";
      const bool is_token = field == 7 && line.substr(0, 7) == "filter|";
      StrAppend(kept, kept.empty() ? "" : "|", is_time ? "T" : is_token ? "N" : each);
    }
    if (line.find("|protocol-server|") == std::string_view::npos &&
        line.find("Received") == std::string_view::npos &&
        line.find("data-line") == std::string_view::npos) {
      StrAppend(plain, kept, "\n");
    }
  }
  EXPECT_THAT(plain, HasSubstr("config|protocol|0.7\nconfig|ready\n"
                               "report|0.7|T|smtp-in|link-connect|0000000000000001|client.example|"
                               "fail|192.0.2.2:"));
  EXPECT_THAT(plain,
              HasSubstr("|192.0.2.1:25\n"
                        "report|0.7|T|smtp-in|link-greeting|0000000000000001|mx.example.org\n"
                        "report|0.7|T|smtp-in|protocol-client|0000000000000001|EHLO c\n"
                        "filter|0.7|T|smtp-in|ehlo|0000000000000001|N|c\n"
                        "report|0.7|T|smtp-in|filter-response|0000000000000001|ehlo|proceed\n"
                        "report|0.7|T|smtp-in|link-identify|0000000000000001|EHLO|c\n"));
  EXPECT_THAT(plain,
              HasSubstr("report|0.7|T|smtp-in|tx-begin|0000000000000001|0badcafe\n"
                        "report|0.7|T|smtp-in|tx-mail|0000000000000001|0badcafe|ok|a@b.example\n"));
  EXPECT_THAT(plain, HasSubstr("filter-response|0000000000000001|rcpt-to|rewrite|<z@x.example>\n"
                               "report|0.7|T|smtp-in|tx-envelope|0000000000000001|0badcafe|"
                               "0badcafe"));
  EXPECT_THAT(plain, HasSubstr("report|0.7|T|smtp-in|tx-rcpt|0000000000000001|0badcafe|ok|"
                               "z@x.example\n"));
  EXPECT_THAT(plain, HasSubstr("report|0.7|T|smtp-in|tx-commit|0000000000000001|0badcafe|"));
  EXPECT_THAT(plain, HasSubstr("|tx-reset|0000000000000001|0badcafe\n"));
  EXPECT_THAT(plain, EndsWith("report|0.7|T|smtp-in|link-disconnect|0000000000000001\n\n"));
}

// The table of outcomes: what a program does in a phase, and what the client hears.
TEST_F(FilterProgramTest, EachFailureInEachPhase) {
  const struct {
    const char* phase;
    const char* heard;
  } rows[] = {
      {"connect", "451 503 503 503 503 221"},    {"ehlo", "220 451 503 503 503 221"},
      {"mail-from", "220 250 451 503 503 221"},  {"rcpt-to", "220 250 250 451 503 221"},
      {"data", "220 250 250 250 451 221"},       {"data-line", "220 250 250 250 354 451 221"},
      {"commit", "220 250 250 250 354 451 221"},
  };
  for (const auto& row : rows) {
    for (const char* manner : {"died", "mute", "nonsense", "liar"}) {
      SCOPED_TRACE(StrCat(row.phase, " ", manner));
      const std::string phase = row.phase;
      const std::string how = manner;
      const bool content = phase == "data-line";
      manner_ = Manner();
      manner_.registers = {StrCat("filter|smtp-in|", phase)};
      manner_.echo = false;
      manner_.answer = [how, content](const filter::ServerLine& line) -> std::string {
        if (how == "died") return "die";
        if (how == "nonsense") return "what?\n";
        if (how == "mute") return "";
        // The token of another question, and a session that is not there.
        filter::ServerLine other = line;
        ++other.token;
        const std::string lie = content ? DataLine(other, ".") : Proceed(other);
        other = line;
        other.session += 77;
        return lie + (content ? DataLine(other, ".") : Proceed(other));
      };
      NewProgram();
      const size_t kept = backend_.kept.size();
      const bool whole = content || phase == "commit";
      EXPECT_EQ(Says(whole ? StrCat("EHLO c\r\n", Mail(), "QUIT\r\n")
                           : "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nQUIT\r\n"),
                row.heard);
      EXPECT_EQ(backend_.kept.size(), kept) << "nothing is let through";
      // One that does well takes its place, without anybody's help.
      if (how == "liar") continue;
      EXPECT_GT(starts_, 1);
      manner_ = Manner();
      simulation_.RunFor(absl::Minutes(3));
      EXPECT_EQ(Session(), kFine);
    }
  }
}

TEST_F(FilterProgramTest, WhoDoesNotReadIsKilled) {
  manner_.registers = {"report|smtp-in|*", "filter|smtp-in|data-line"};
  manner_.deaf_when_ready = true;
  NewProgram();
  std::string text(8 << 20, 'x');
  for (size_t i = 70; i < text.size(); i += 72) text[i] = '\r', text[i + 1] = '\n';
  text = "Subject: x\r\n\r\n" + text;
  EXPECT_EQ(Session(text + "\r\n"), "220 250 250 250 354 451 221");
  EXPECT_THAT(text_log_.text, HasSubstr("program-ended filter=f reason="));
  EXPECT_EQ(backend_.kept.size(), 0u);
  manner_ = Manner();
  // The one that took its place is as deaf for its twenty minutes.
  simulation_.RunFor(absl::Minutes(30));
  EXPECT_EQ(Session(text + "\r\n"), kFine) << text_log_.text;
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_THAT(backend_.kept[0].content, EndsWith(text + "\r\n"));
}

TEST_F(FilterProgramTest, AFloodIsNoMessage) {
  manner_.answer = [](const filter::ServerLine& line) {
    std::string flood;
    for (int i = 0; i < 2000; ++i) flood += DataLine(line, std::string(100, 'y'));
    return flood;
  };
  NewProgram();
  EXPECT_EQ(Session(), "220 250 250 250 354 451 221");
  EXPECT_THAT(text_log_.text, HasSubstr("it makes a message too large"));
  EXPECT_EQ(backend_.kept.size(), 0u);
}

TEST_F(FilterProgramTest, AFloodThatNobodyAskedForEndsIt) {
  manner_.registers = {"filter|smtp-in|rcpt-to"};
  manner_.answer = [](const filter::ServerLine& line) {
    std::string flood;
    for (int i = 0; i < 6000; ++i) flood += DataLine(line, std::string(100, 'y'));
    return flood;
  };
  NewProgram();
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n"), "220 250 250 451 221");
  EXPECT_THAT(text_log_.text, HasSubstr("it says much that nobody asked for"));
}

TEST_F(FilterProgramTest, WhatIsWrongWithARegistration) {
  for (const char* wrong : {"filter|smtp-in|no-such-phase", "report|smtp-in|no-such-event"}) {
    manner_ = Manner();
    manner_.registers = {wrong};
    NewProgram();
    EXPECT_EQ(Says("EHLO c\r\nQUIT\r\n"), "421") << wrong;
    EXPECT_THAT(text_log_.text, HasSubstr("it registers for what there is not"));
  }
  manner_ = Manner();
  manner_.registers_ready = false;
  NewProgram();
  EXPECT_EQ(Says("EHLO c\r\nQUIT\r\n", absl::Minutes(1)), "421");
  EXPECT_THAT(text_log_.text, HasSubstr("it does not register"));
  manner_ = Manner();
  manner_.said = "register|ready\n";
  NewProgram();
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_THAT(text_log_.text, HasSubstr("it registers twice"));
}

// A session that saw its program die is sent away, as the next one knows nothing of it.
TEST_F(FilterProgramTest, ANewProgramIsNotAskedAboutOldSessions) {
  manner_.registers = {"filter|smtp-in|mail-from", "filter|smtp-in|noop"};
  manner_.answer = [](const filter::ServerLine& line) {
    return line.name == "noop" ? std::string("die") : Proceed(line);
  };
  NewProgram();
  EXPECT_EQ(Says("EHLO c\r\nNOOP\r\nMAIL FROM:<a@b>\r\nQUIT\r\n"), "220 250 451 421");
}

TEST_F(FilterProgramTest, StartsAreApart) {
  manner_.registers_ready = false;
  manner_.registers = {"what?"};
  NewProgram();
  simulation_.RunFor(absl::Minutes(5));
  // 1 + 2 + 4 + 8 + 16 + 32 + 60 s …
  EXPECT_GE(starts_, 8);
  EXPECT_LE(starts_, 12);
}

// ReadyOf waits for the program as a start does; `*after` is how long that took.
rt::Task<void> ReadyOf(FilterProgram* program, rt::Executor* loop, bool* ready, Duration* after) {
  const Instant begun = loop->Now();
  const Instant deadline = begun + absl::Seconds(20);
  *ready = co_await program->Ready(deadline);
  *after = loop->Now() - begun;
}

TEST_F(FilterProgramTest, AStartWaitsForWhoMayComeAndForNobodyElse) {
  struct Row {
    const char* what;
    bool registers_ready, is_there, ready;
    Duration least, most;
  };
  for (const Row& row : {
           Row{"registers", true, true, true, absl::ZeroDuration(), absl::Seconds(1)},
           Row{"says nothing", false, true, false, absl::Seconds(19), absl::Seconds(21)},
           Row{"is missing", true, false, false, absl::ZeroDuration(), absl::Seconds(1)},
       }) {
    SCOPED_TRACE(row.what);
    manner_.registers_ready = row.registers_ready;
    if (!row.is_there) pipes_->Close();
    FilterProgramOptions options;
    options.name = "f";
    if (program_ != nullptr) program_->Stop();
    simulation_.RunFor(absl::Seconds(1));
    program_ = std::make_shared<FilterProgram>(&server_.main_loop(), &server_.world().clock(),
                                               &text_log_, options, [this] { return Connect(); });
    bool ready = !row.ready;
    Duration after = absl::InfiniteDuration();
    tasks_.Spawn(program_->Run());
    tasks_.Spawn(ReadyOf(program_.get(), &server_.main_loop(), &ready, &after));
    simulation_.RunFor(absl::Seconds(25));
    EXPECT_EQ(ready, row.ready);
    EXPECT_GE(after, row.least);
    EXPECT_LE(after, row.most);
  }
}

}  // namespace
}  // namespace postern::service
