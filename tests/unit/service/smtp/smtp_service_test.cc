// The SMTP service over the simulated network, with a backend that says what each test wants.
#include "tests/unit/service/smtp/smtp_sessions.h"

namespace postern::service {
namespace {

using rt::Task;

class FakeBackend final : public SmtpBackend {
 public:
  class Message final : public IncomingMessage {
   public:
    explicit Message(FakeBackend* backend) : backend_(backend) {}
    const std::string& id() const override { return id_; }
    Task<Status> Append(std::string_view octets) override {
      if (content_.size() + octets.size() > backend_->room)
        co_return ResourceExhausted("disk full");
      content_.append(octets);
      co_return OkStatus();
    }
    Task<mail::Reply> Finish(const SmtpSessionFacts&, const mail::ReversePath& sender,
                             const std::vector<AcceptedRecipient>& recipients) override {
      backend_->accepted_bodies.push_back(sender.body);
      backend_->accepted.push_back(content_);
      backend_->accepted_recipients.push_back(recipients.size());
      co_return mail::Reply(250, {2, 0, 0}, "kept");
    }

   private:
    FakeBackend* backend_;
    std::string id_ = "0badcafe";
    std::string content_;
  };

  std::optional<mail::Reply> Greet(const SmtpSessionFacts&) override {
    ++greeted;
    return greeting_refusal;
  }
  void Left(const SmtpSessionFacts&) override { ++left; }
  Task<std::string> ReverseName(rt::Executor&, IpAddress) override { co_return "client.example"; }
  Task<StatusOr<std::optional<std::string>>> Authenticate(rt::Executor&, const SmtpSessionFacts&,
                                                          std::string user,
                                                          std::string password) override {
    if (password == "broken") co_return Unavailable("table");
    if (password != "secret") co_return std::optional<std::string>();
    co_return std::optional<std::string>(user);
  }
  Task<std::optional<mail::Reply>> CheckSender(rt::Executor&, const SmtpSessionFacts&,
                                               const mail::ReversePath&) override {
    co_return std::optional<mail::Reply>();
  }
  Task<RecipientVerdict> CheckRecipient(rt::Executor&, const SmtpSessionFacts&,
                                        const mail::ReversePath&,
                                        const mail::ForwardPath& recipient) override {
    RecipientVerdict verdict;
    if (recipient.address.local_part == "nobody")
      verdict.refusal = mail::Reply(550, {5, 1, 1}, "Invalid recipient");
    co_return verdict;
  }
  Task<StatusOr<std::unique_ptr<IncomingMessage>>> NewMessage(rt::Executor&,
                                                              const SmtpSessionFacts&,
                                                              const mail::ReversePath&) override {
    std::unique_ptr<IncomingMessage> message = std::make_unique<Message>(this);
    co_return message;
  }

  std::optional<mail::Reply> greeting_refusal;
  size_t room = 1 << 20;
  int greeted = 0;
  int left = 0;
  std::vector<std::string> accepted;
  std::vector<size_t> accepted_recipients;
  std::vector<mail::BodyType> accepted_bodies;
};

using SmtpServiceTest = SmtpSessions<FakeBackend>;

TEST_F(SmtpServiceTest, TakesAMessageForTheRecipientsThatItKnows) {
  EXPECT_EQ(Says("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT "
                 "TO:<nobody@x.example>\r\nRCPT TO:<c@x.example>\r\n"
                 "DATA\r\nSubject: hello\r\n\r\n..dot\r\n.\r\nQUIT\r\n"),
            "220 250 250 550 250 354 250 221");
  ASSERT_EQ(backend_.accepted.size(), 1u);
  EXPECT_EQ(backend_.accepted_recipients[0], 1u);
  EXPECT_NE(backend_.accepted[0].find("with ESMTP id 0badcafe"), std::string::npos);
  EXPECT_NE(backend_.accepted[0].find("Subject: hello\r\n\r\n.dot\r\n"), std::string::npos);
  EXPECT_EQ(backend_.greeted, 1);
  EXPECT_EQ(backend_.left, 1);
}

// RFC 6152 §3: what the next server is told is what there is, whatever the client announced.
TEST_F(SmtpServiceTest, EightBitsAreKnownWithoutAnnouncement) {
  std::string script = "EHLO client.example\r\n";
  for (const char* body : {"plain", "caf\xc3\xa9"}) {
    script += StrCat("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\nSubject: ", body,
                     "\r\n\r\ntext\r\n.\r\n");
    script += StrCat("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@x.example>\r\nBDAT ",
                     std::string_view(body).size() + 4, " LAST\r\n\r\n", body, "\r\n");
  }
  EXPECT_EQ(Says(script + "QUIT\r\n"),
            "220 250 250 250 354 250 250 250 250 250 250 354 250 250 250 250 221");
  using mail::BodyType;
  EXPECT_EQ(backend_.accepted_bodies,
            (std::vector<BodyType>{BodyType::k7Bit, BodyType::k7Bit, BodyType::k8BitMime,
                                   BodyType::k8BitMime}));
}

TEST_F(SmtpServiceTest, AFullDiskIs452AndTheSessionGoesOn) {
  backend_.room = 1000;
  EXPECT_EQ(Says("EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT "
                 "TO:<c@x.example>\r\nDATA\r\nSubject: big\r\n\r\n" +
                 std::string(5000, 'x') +
                 "\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT "
                 "TO:<c@x.example>\r\nDATA\r\n\r\nsmall\r\n.\r\nQUIT\r\n"),
            "220 250 250 250 354 452 250 250 354 250 221");
  EXPECT_EQ(backend_.accepted.size(), 1u);
}

TEST_F(SmtpServiceTest, ALoopIs554AndTheSessionGoesOn) {
  std::string fields;
  for (int i = 0; i < 101; ++i) fields += "Received: from a by b\r\n";
  EXPECT_EQ(Says("EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n" +
                 fields + "\r\nround and round\r\n.\r\nQUIT\r\n"),
            "220 250 250 250 354 554 221");
  EXPECT_EQ(backend_.accepted.size(), 0u);
}

TEST_F(SmtpServiceTest, LogsInOrNot) {
  // "\0alice\0secret", "\0alice\0wrong", "\0alice\0broken"
  EXPECT_EQ(
      Says("EHLO c.example\r\nAUTH PLAIN AGFsaWNlAHdyb25n\r\nAUTH PLAIN AGFsaWNlAGJyb2tlbg==\r\n"
           "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nQUIT\r\n"),
      "220 250 535 454 235 221");
  // "bob\0alice\0secret": alice may not act for bob.
  EXPECT_EQ(Says("EHLO c.example\r\nAUTH PLAIN Ym9iAGFsaWNlAHNlY3JldA==\r\nQUIT\r\n"),
            "220 250 535 221");
}

TEST_F(SmtpServiceTest, ASilentClientIsSentAwayAtTheDeadline) {
  EXPECT_EQ(Says("EHLO c.example\r\n"), "220 250 421");
  EXPECT_EQ(service_.sessions(), 0u);
}

TEST_F(SmtpServiceTest, RefusesAtTheDoor) {
  backend_.greeting_refusal = mail::Reply(421, {4, 3, 2}, "Too many connections");
  EXPECT_EQ(Says("EHLO c.example\r\n"), "421");
  EXPECT_EQ(backend_.left, 0);
}

TEST_F(SmtpServiceTest, StopTellsIdleSessionsAndWaitsForAMessageInFlight) {
  std::string idle, busy;
  tasks_.Spawn(Talk(&client_.world(), endpoint_, "EHLO c.example\r\n", &idle));
  tasks_.Spawn(Talk(
      &client_.world(), endpoint_,
      "EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\nSubj", &busy));
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(service_.sessions(), 2u);
  const Instant begun = simulation_.now();
  Stop(absl::Seconds(20));
  EXPECT_EQ(service_.sessions(), 0u);
  EXPECT_GE(simulation_.now() - begun, absl::Seconds(20)) << "the message in flight had its grace";
  EXPECT_NE(idle.find("421 4.3.2"), std::string::npos) << idle;
}

}  // namespace
}  // namespace postern::service
