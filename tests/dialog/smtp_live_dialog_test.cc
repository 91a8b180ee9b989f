// Runs the transcripts of tests/dialog/smtp live: a client and the SMTP service, each on a machine
// of the simulation, over its network and its clock. What only the core tells (the events of "E:")
// is the business of smtp_server_dialog_test.cc.
#include "tests/dialog/smtp_transcript.h"
#include "tests/unit/core/tls/make_certificate.h"
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/service/smtp/service.h"

namespace postern::service {
namespace {

using rt::Task;
using smtp::Decision;
using StreamPtr = std::unique_ptr<rt::Stream>;

// A round trip and what the service does with it; no transcript counts time so closely.
constexpr Duration kTurn = absl::Milliseconds(100);

// ScriptedBackend answers with the transcript's decisions.
class ScriptedBackend final : public SmtpBackend {
 public:
  explicit ScriptedBackend(const smtp::Transcript* transcript) : transcript_(transcript) {}

  std::optional<mail::Reply> Greet(const SmtpSessionFacts&) override {
    return Refusal("connected", "*");
  }
  void Left(const SmtpSessionFacts&) override {}
  Task<std::string> ReverseName(rt::Executor&, IpAddress) override { co_return "client.example"; }
  Task<StatusOr<std::optional<std::string>>> Authenticate(rt::Executor&, const SmtpSessionFacts&,
                                                          std::string user, std::string) override {
    const std::optional<mail::Reply> refusal = Refusal("authenticate", user);
    if (!refusal.has_value()) co_return std::optional<std::string>(user);
    if (refusal->code == 454) co_return Unavailable("the table is away");
    co_return std::optional<std::string>();
  }
  Task<std::optional<mail::Reply>> CheckSender(rt::Executor&, const SmtpSessionFacts&,
                                               const mail::ReversePath& sender) override {
    co_return Refusal("mail-from", sender.address.local_part);
  }
  Task<RecipientVerdict> CheckRecipient(rt::Executor&, const SmtpSessionFacts&,
                                        const mail::ReversePath&,
                                        const mail::ForwardPath& recipient) override {
    RecipientVerdict verdict;
    verdict.refusal = Refusal("rcpt-to", recipient.address.local_part);
    co_return verdict;
  }
  Task<StatusOr<std::unique_ptr<IncomingMessage>>> NewMessage(rt::Executor&,
                                                              const SmtpSessionFacts&,
                                                              const mail::ReversePath&) override {
    if (Refusal("data-begin", "*").has_value()) co_return ResourceExhausted("the disk is full");
    std::unique_ptr<IncomingMessage> message = std::make_unique<Message>(this);
    co_return message;
  }

  std::vector<std::string> messages;

 private:
  class Message final : public IncomingMessage {
   public:
    explicit Message(ScriptedBackend* backend) : backend_(backend) {}
    const std::string& id() const override { return id_; }
    Task<Status> Append(std::string_view octets) override {
      text_.append(octets);
      co_return OkStatus();
    }
    Task<mail::Reply> Finish(const SmtpSessionFacts&, const mail::ReversePath&,
                             const std::vector<AcceptedRecipient>&) override {
      const auto found = backend_->transcript_->decisions.find("message-end *");
      if (found == backend_->transcript_->decisions.end()) {
        backend_->messages.push_back(text_);
        co_return mail::Reply(250, {2, 0, 0}, "Message accepted for delivery");
      }
      if (found->second.kind == Decision::Kind::kAccept) backend_->messages.push_back(text_);
      co_return found->second.reply;
    }

   private:
    ScriptedBackend* backend_;
    std::string id_ = "0badcafe";
    std::string text_;
  };

  std::optional<mail::Reply> Refusal(std::string_view event, std::string_view subject) const {
    const auto found = transcript_->decisions.find(StrCat(event, " ", subject));
    if (found == transcript_->decisions.end()) return std::nullopt;
    return found->second.reply;
  }

  const smtp::Transcript* transcript_;
};

// LastReason remembers why the last session ended.
class LastReason final : public LogSink {
 public:
  void Write(const LogRecord& record) override {
    if (record.event != "disconnected") return;
    for (const LogField& field : record.fields)
      if (field.name == "reason")
        reason = field.value == "disconnect" ? "peer-closed" : field.value;
  }
  std::string reason;
};

// What a transcript can ask of the core and the service asks nobody: it cannot be run live.
std::string NotAsked(const smtp::Transcript& transcript) {
  for (const auto& [about, decision] : transcript.decisions) {
    const bool accepts = decision.kind == Decision::Kind::kAccept;
    if (about.starts_with("hello ")) return StrCat("the service asks nobody: ", about);
    if (accepts && about != "message-end *") return StrCat("the service words it: ", about);
    const bool disconnects = decision.kind == Decision::Kind::kDisconnect;
    if (disconnects != (about == "connected *")) return StrCat("a reply does not end it: ", about);
  }
  return "";
}

Task<void> Listen(rt::Listener* listener, rt::Executor* loop, SmtpService* service,
                  std::shared_ptr<const SmtpListener> settings) {
  for (;;) {
    StatusOr<StreamPtr> stream = co_await listener->Accept(*loop);
    if (!stream.ok()) co_return;
    service->Serve(std::move(*stream), settings);
  }
}

class Live {
 public:
  explicit Live(const std::filesystem::path& path) : transcript_(smtp::ReadTranscript(path)) {
    const tls_test::Made made = tls_test::MakeCertificate({"mx.example.org", {"mx.example.org"}});
    tls::ServerOptions tls_options;
    tls_options.key_pairs = {{"", made.certificate_pem, made.key_pem}};
    server_tls_ = *tls::ServerConfig::Make(tls_options);
    client_tls_ = *tls::ClientConfig::Make({});
    auto settings = std::make_shared<SmtpListener>();
    settings->options = std::make_shared<const smtp::ServerOptions>(transcript_.options);
    settings->tls_from_start = transcript_.tls_from_start;
    settings->tls = [config = server_tls_] { return config; };
    SmtpServiceOptions options;
    options.max_auth_failure_pause = absl::ZeroDuration();
    service_ = std::make_unique<SmtpService>(&server_.world(), &server_.main_loop(), &backend_,
                                             &log_, options);
    listener_ = *server_.world().network().Listen(server_.main_loop(), endpoint_, {});
    tasks_.Spawn(Listen(listener_.get(), &server_.main_loop(), service_.get(), settings));
  }

  ~Live() {
    if (stream_ != nullptr) stream_->Close();
    simulation_.Await(server_.main_loop(), service_->Stop(absl::ZeroDuration()));
    listener_->Close();
    simulation_.RunFor(absl::Seconds(1));
  }

  const smtp::Transcript& transcript() const { return transcript_; }

  void Run() {
    rt::Executor& loop = client_.main_loop();
    StatusOr<StreamPtr> connected = simulation_.Await(
        loop, client_.world().network().Connect(loop, endpoint_, {}, Instant::Never()));
    ASSERT_TRUE(connected.ok());
    stream_ = std::move(*connected);
    if (transcript_.tls_from_start) Secure();
    std::string pending;
    for (const smtp::Step& step : transcript_.steps) {
      SCOPED_TRACE(StrCat("line ", step.line_number, ": ", step.kind, " ", step.text));
      if (step.kind == "C:" || step.kind == "C=") {
        pending += step.kind == "C:" ? step.text + "\r\n" : smtp::Unescape(step.text);
        continue;
      }
      Say(std::exchange(pending, {}));
      Check(step);
      if (::testing::Test::HasFatalFailure()) return;
    }
    Say(std::move(pending));
    EXPECT_TRUE(lines_.empty()) << "unexpected reply: " << lines_.front();
  }

 private:
  // Say writes, gives the server its turn, and takes in what it answers. A server that has closed
  // need not listen.
  void Say(std::string octets) {
    if (!octets.empty() && !ended_)
      (void)simulation_.Await(stream_->executor(), stream_->Write(octets, Instant::Never()));
    simulation_.RunFor(kTurn);
    Hear();
  }

  void Hear() {
    char octets[4096];
    while (!ended_) {
      const StatusOr<size_t> got = stream_->TryRead(octets);
      if (!got.ok() && rt::IsWouldBlock(got.status())) break;
      ended_ = !got.ok() || *got == 0;
      if (!ended_) heard_.append(octets, *got);
    }
    for (size_t end; (end = heard_.find("\r\n")) != std::string::npos; heard_.erase(0, end + 2))
      lines_.push_back(heard_.substr(0, end));
  }

  void Secure() {
    StatusOr<StreamPtr> secured = simulation_.Await(
        client_.main_loop(), rt::TlsConnect(std::move(stream_), client_tls_, "mx.example.org",
                                            simulation_.wall_now(), Instant::Never()));
    ASSERT_TRUE(secured.ok()) << Text(secured.status());
    stream_ = std::move(*secured);
  }

  void Check(const smtp::Step& step) {
    if (step.kind == "E:") return;
    if (step.kind == "S:" || step.kind == "S~") {
      ASSERT_FALSE(lines_.empty()) << "no reply";
      const std::string line = lines_.front();
      lines_.erase(lines_.begin());
      ASSERT_TRUE(LineMatches(step, line)) << line;
      return;
    }
    if (step.kind == "M:") {
      ASSERT_FALSE(backend_.messages.empty());
      const std::string& message = backend_.messages.back();
      ASSERT_TRUE(message.starts_with("Received: ")) << message;
      ASSERT_TRUE(message.ends_with(smtp::Unescape(step.text))) << message;
      return;
    }
    ASSERT_EQ(step.kind, "@");
    const std::vector<std::string_view> words = SplitWords(step.text);
    if (words[0] == "tls") {
      Secure();
    } else if (words[0] == "advance") {
      // The turns before have taken their time too, so a deadline that is meant to have come has.
      simulation_.RunFor(absl::Seconds(*ParseUint(words[1])));
      Hear();
    } else if (words[0] == "end") {
      (void)simulation_.Await(stream_->executor(), stream_->ShutdownWrite(Instant::Never()));
      Say("");
    } else if (words[0] == "shutdown") {
      tasks_.Spawn(service_->Stop(absl::Seconds(10)));
      Say("");
    } else if (words[0] == "open") {
      ASSERT_FALSE(ended_);
    } else if (words[0] == "closed") {
      ASSERT_TRUE(ended_);
      ASSERT_EQ(log_.reason, words[1]);
    } else if (words[0] == "messages") {
      ASSERT_EQ(backend_.messages.size(), *ParseUint(words[1]));
    } else if (words[0] == "quiet") {
      ASSERT_TRUE(lines_.empty()) << lines_.front();
    }
  }

  smtp::Transcript transcript_;
  rt::sim::Simulation simulation_{25};
  rt::sim::Host& server_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 25)}});
  rt::sim::Host& client_ =
      simulation_.AddHost({.name = "client.example", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  Endpoint endpoint_{IpAddress::V4(192, 0, 2, 25), 25, ""};
  ScriptedBackend backend_{&transcript_};
  LastReason log_;
  std::shared_ptr<const tls::ServerConfig> server_tls_;
  std::shared_ptr<const tls::ClientConfig> client_tls_;
  std::unique_ptr<SmtpService> service_;
  std::unique_ptr<rt::Listener> listener_;
  rt::TaskGroup tasks_;
  StreamPtr stream_;
  std::string heard_;
  std::vector<std::string> lines_;
  bool ended_ = false;
};

class SmtpLiveDialog : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(SmtpLiveDialog, Live) {
  Live live(GetParam());
  ASSERT_TRUE(live.transcript().mistakes.empty());
  const std::string reason = NotAsked(live.transcript());
  if (!reason.empty()) GTEST_SKIP() << reason;
  live.Run();
}

INSTANTIATE_TEST_SUITE_P(All, SmtpLiveDialog,
                         ::testing::ValuesIn(smtp::Transcripts(POSTERN_DIALOG_DIR)),
                         [](const auto& param) { return smtp::TestName(param.param); });

}  // namespace
}  // namespace postern::service
