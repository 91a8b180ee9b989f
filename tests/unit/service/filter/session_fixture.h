// An SMTP service over the simulated network whose sessions have the filters that a test gives.
#pragma once

#include "tests/unit/service/smtp/smtp_sessions.h"
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace postern::service {

// FilteredBackend takes everything but mail for nobody@, and keeps what it took.
class FilteredBackend final : public SmtpBackend {
 public:
  struct Kept {
    std::string content;
    std::string sender;
    std::string recipients;  // a blank between them
    std::string quarantine;
  };

  std::optional<mail::Reply> Greet(const SmtpSessionFacts&) override { return std::nullopt; }
  void Left(const SmtpSessionFacts&) override {}
  rt::Task<std::string> ReverseName(rt::Executor&, IpAddress) override {
    co_return "client.example";
  }
  std::unique_ptr<SessionFilter> NewFilter(rt::Executor&, const SmtpSessionFacts&) override {
    return new_filter();
  }
  rt::Task<StatusOr<std::optional<std::string>>> Authenticate(rt::Executor&,
                                                              const SmtpSessionFacts&,
                                                              std::string user,
                                                              std::string password) override {
    if (password != "secret") co_return std::optional<std::string>();
    co_return std::optional<std::string>(user);
  }
  rt::Task<StatusOr<std::optional<std::string>>> AuthenticateBy(rt::Executor& loop,
                                                                const SmtpSessionFacts& facts,
                                                                sasl::Mechanism mechanism,
                                                                sasl::Credentials credentials,
                                                                bool proven) override {
    if (sasl::IsScram(mechanism) && proven)
      co_return std::optional<std::string>(credentials.authentication_id);
    StatusOr<std::optional<std::string>> login = co_await SmtpBackend::AuthenticateBy(
        loop, facts, mechanism, std::move(credentials), proven);
    co_return login;
  }
  rt::Task<StatusOr<sasl::ScramSecret>> ScramSecretOf(rt::Executor&, const SmtpSessionFacts&,
                                                      sasl::Mechanism, std::string) override {
    ++secrets_asked;
    if (guessed) co_return ResourceExhausted("too many guesses");
    co_return sasl::DeriveScramSecret(sasl::ScramHash::kSha256, "secret", "saltsaltsaltsalt", 4096);
  }
  rt::Task<std::optional<mail::Reply>> CheckSender(rt::Executor&, const SmtpSessionFacts&,
                                                   const mail::ReversePath&) override {
    co_return std::optional<mail::Reply>();
  }
  rt::Task<RecipientVerdict> CheckRecipient(rt::Executor&, const SmtpSessionFacts&,
                                            const mail::ReversePath&,
                                            const mail::ForwardPath& recipient) override {
    RecipientVerdict verdict;
    if (recipient.address.local_part == "nobody")
      verdict.refusal = mail::Reply(550, {5, 1, 1}, "Invalid recipient");
    co_return verdict;
  }
  rt::Task<StatusOr<std::unique_ptr<IncomingMessage>>> NewMessage(
      rt::Executor&, const SmtpSessionFacts&, const mail::ReversePath&) override {
    std::unique_ptr<IncomingMessage> message = std::make_unique<Message>(this);
    co_return message;
  }

  std::function<std::unique_ptr<SessionFilter>()> new_filter;
  std::vector<Kept> kept;
  int secrets_asked = 0;
  bool guessed = false;  // too much, for SCRAM

 private:
  class Message final : public IncomingMessage {
   public:
    explicit Message(FilteredBackend* backend) : backend_(backend) {}
    const std::string& id() const override { return id_; }
    rt::Task<Status> Append(std::string_view octets) override {
      content_.append(octets);
      co_return OkStatus();
    }
    void Quarantine(std::string reason) override { quarantine_ = std::move(reason); }
    rt::Task<mail::Reply> Finish(const SmtpSessionFacts&, const mail::ReversePath& sender,
                                 const std::vector<AcceptedRecipient>& recipients) override {
      Kept taken{content_, sender.address.ToString(), "", quarantine_};
      for (const AcceptedRecipient& each : recipients) {
        if (!taken.recipients.empty()) taken.recipients += ' ';
        taken.recipients += each.path.address.ToString();
      }
      backend_->kept.push_back(std::move(taken));
      co_return mail::Reply(250, {2, 0, 0}, "kept");
    }

   private:
    FilteredBackend* backend_;
    std::string id_ = "0badcafe";
    std::string content_;
    std::string quarantine_;
  };
};

class SessionFixture : public SmtpSessions<FilteredBackend> {
 protected:
  SessionFixture()
      : SmtpSessions(
            sasl::BitOf(sasl::Mechanism::kScramSha256) | sasl::BitOf(sasl::Mechanism::kOAuthBearer),
            /*wants_reverse_name=*/true) {}

  static std::string Mail(std::string_view text = "Subject: x\r\n\r\nbody\r\n",
                          std::string_view recipient = "c@x.example") {
    return StrCat("MAIL FROM:<a@b.example>\r\nRCPT TO:<", recipient, ">\r\nDATA\r\n", text,
                  ".\r\n");
  }
};

}  // namespace postern::service
