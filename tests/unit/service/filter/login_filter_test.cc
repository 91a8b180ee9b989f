// What filters see of logins, by whatever mechanism.
#include "tests/unit/service/filter/session_fixture.h"

#include "lib/core/mail/base64.h"
#include "lib/core/sasl/scram_client.h"

namespace postern::service {
namespace {

class LoginWatcher final : public SessionFilter {
 public:
  LoginWatcher(std::string* told, bool refuses) : told_(told), refuses_(refuses) {}
  uint32_t phases() const override { return PhaseBit(SmtpPhase::kAuth); }
  uint32_t events() const override { return EventBit(SessionEvent::kLinkAuth); }
  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    StrAppend(*told_, "?", question.argument, "\n");
    FilterVerdict verdict;
    if (refuses_) {
      verdict.kind = FilterVerdict::Kind::kReject;
      verdict.reply = mail::Reply(535, {5, 7, 8}, "not now");
    }
    co_return verdict;
  }
  void Report(const FilterReport& report) override {
    const std::string_view result = report.result == StepResult::kOk         ? " in"
                                    : report.result == StepResult::kPermFail ? " refused"
                                                                             : " later";
    StrAppend(*told_, report.text, result, "\n");
  }

 private:
  std::string* told_;
  bool refuses_;
};

// Ask gives the last line of the reply to `line`.
rt::Task<std::string> Ask(rt::Stream* stream, std::string line) {
  if (!line.empty()) (void)co_await stream->Write(line, Instant::Never());
  std::string heard;
  char buffer[4096];
  for (;;) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(*stream, std::span<char>(buffer), Instant::Never());
    if (!got.ok() || *got == 0) break;
    heard.append(buffer, *got);
    if (!heard.ends_with("\r\n")) continue;
    const size_t before = heard.rfind('\n', heard.size() - 2);
    const std::string last = before == std::string::npos ? heard : heard.substr(before + 1);
    if (last.size() > 5 && last[3] == ' ') co_return last.substr(0, last.size() - 2);
  }
  co_return std::string();
}

// LogInByScram gives the code that the login ends with.
rt::Task<void> LogInByScram(rt::World* world, Endpoint server, std::string password,
                            std::string* code) {
  rt::ConnectOptions options;
  StatusOr<std::unique_ptr<rt::Stream>> stream =
      co_await world->network().Connect(world->main_loop(), server, options, Instant::Never());
  if (!stream.ok()) co_return;
  sasl::Credentials credentials;
  credentials.authentication_id = "alice";
  credentials.password = std::move(password);
  sasl::ScramClient client(sasl::Mechanism::kScramSha256, std::move(credentials),
                           "abcdefghijklmnopqrstuvwx", {}, false);
  std::string heard = co_await Ask(stream->get(), "");
  heard = co_await Ask(stream->get(), "EHLO c\r\n");
  std::string line = StrCat("AUTH SCRAM-SHA-256 ", mail::Base64Encode(client.First()), "\r\n");
  heard = co_await Ask(stream->get(), line);
  if (heard.starts_with("334 ")) {
    const std::optional<std::string> proof =
        client.Last(mail::Base64Decode(heard.substr(4)).value_or(""));
    EXPECT_TRUE(proof.has_value()) << heard;
    line = StrCat(mail::Base64Encode(proof.value_or("")), "\r\n");
    heard = co_await Ask(stream->get(), line);
  }
  if (heard.starts_with("334 ")) heard = co_await Ask(stream->get(), "\r\n");
  *code = heard.substr(0, 3);
  (*stream)->Close();
}

class LoginFilterTest : public SessionFixture {
 protected:
  LoginFilterTest() {
    backend_.new_filter = [this] { return std::make_unique<LoginWatcher>(&told_, refuses_); };
  }
  std::string Scram(const std::string& password) {
    told_.clear();
    std::string code;
    tasks_.Spawn(LogInByScram(&client_.world(), endpoint_, password, &code));
    simulation_.RunFor(absl::Minutes(10));
    return code;
  }
  std::string Says(const std::string& login) {
    told_.clear();
    return SessionFixture::Says(StrCat("EHLO c\r\n", login, "QUIT\r\n"));
  }
  std::string told_;
  bool refuses_ = false;
};

TEST_F(LoginFilterTest, EachIsAskedAboutOnceAndToldOf) {
  EXPECT_EQ(Says("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"), "220 250 235 221");
  EXPECT_EQ(told_, "?PLAIN AGFsaWNlAHNlY3JldA==\nalice in\n");
  EXPECT_EQ(Says("AUTH LOGIN YWxpY2U=\r\nd3Jvbmc=\r\n"), "220 250 334 535 221");
  EXPECT_EQ(told_, "?LOGIN YWxpY2U=\nalice refused\n");
  EXPECT_EQ(Scram("secret"), "235");
  EXPECT_EQ(told_, "?SCRAM-SHA-256 YWxpY2U=\nalice in\n");
  EXPECT_EQ(Scram("wrong"), "535");
  EXPECT_EQ(told_, "?SCRAM-SHA-256 YWxpY2U=\nalice refused\n");
  // Of a token that names nobody there is nothing to show. "n,,\x01" "auth=Bearer x\x01\x01".
  EXPECT_EQ(Says("AUTH OAUTHBEARER biwsAWF1dGg9QmVhcmVyIHgBAQ==\r\nAQ==\r\n"),
            "220 250 334 535 221");
  EXPECT_EQ(told_, "?OAUTHBEARER =\n refused\n");
}

TEST_F(LoginFilterTest, ARefusedOneIsNotJudged) {
  refuses_ = true;
  EXPECT_EQ(Says("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"), "220 250 535 221");
  EXPECT_EQ(told_, "?PLAIN AGFsaWNlAHNlY3JldA==\n");
  EXPECT_EQ(Scram("secret"), "535");
  EXPECT_EQ(told_, "?SCRAM-SHA-256 YWxpY2U=\n");
  EXPECT_EQ(backend_.secrets_asked, 0);
}

TEST_F(LoginFilterTest, TooManyGuessesAreToldOf) {
  backend_.guessed = true;
  EXPECT_EQ(Scram("secret"), "421");
  EXPECT_EQ(told_, "?SCRAM-SHA-256 YWxpY2U=\nalice refused\n");
}

}  // namespace
}  // namespace postern::service
