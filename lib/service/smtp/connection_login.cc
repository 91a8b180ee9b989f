// The logins of a session.
#include <array>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/service/smtp/connection.h"

namespace postern::service {

using smtp::Decision;

namespace {

constexpr size_t kScramNonceOctets = 18;

// AuthCommandName is what log tools know a refused login by.
std::string AuthCommandName(sasl::Mechanism mechanism) {
  if (mechanism == sasl::Mechanism::kLogin) return "AUTH LOGIN (password)";
  return StrCat("AUTH ", sasl::MechanismName(mechanism), " (...)");
}

}  // namespace

rt::Task<StatusOr<std::optional<std::string>>> SmtpBackend::AuthenticateBy(
    rt::Executor& loop, const SmtpSessionFacts& facts, sasl::Mechanism mechanism,
    sasl::Credentials credentials, bool) {
  if ((sasl::kPasswordMechanisms & sasl::BitOf(mechanism)) == 0)
    co_return std::optional<std::string>();
  std::string user = credentials.authentication_id;
  std::string password = credentials.password;
  StatusOr<std::optional<std::string>> login =
      co_await Authenticate(loop, facts, std::move(user), std::move(password));
  co_return login;
}

rt::Task<StatusOr<sasl::ScramSecret>> SmtpBackend::ScramSecretOf(rt::Executor&,
                                                                 const SmtpSessionFacts&,
                                                                 sasl::Mechanism, std::string) {
  co_return Unimplemented("no SCRAM here");
}

rt::Task<bool> SmtpConnection::FilterLogin(const sasl::Credentials* credentials,
                                           sasl::Mechanism mechanism) {
  if (!Asks(SmtpPhase::kAuth)) co_return false;
  const std::string argument = AuthArgument(*credentials, mechanism);
  const std::string& login = credentials->authentication_id.empty()
                                 ? credentials->authorization_id
                                 : credentials->authentication_id;
  const FilterQuestion question{.phase = SmtpPhase::kAuth, .argument = argument, .login = login};
  const bool refused = co_await Filter(question, AuthCommandName(mechanism), nullptr, &junk_);
  co_return refused;
}

rt::Task<void> SmtpConnection::OnAuthSecret(const sasl::Credentials* credentials,
                                            sasl::Mechanism mechanism) {
  // The exchange proves the password itself, so that this is the last moment before it.
  const bool refused = co_await FilterLogin(credentials, mechanism);
  if (refused) co_return;
  const std::string user = credentials->authentication_id;
  StatusOr<sasl::ScramSecret> secret =
      co_await service_->backend_->ScramSecretOf(stream_->executor(), facts_, mechanism, user);
  if (!secret.ok()) {
    RefuseLogin(user, mechanism, secret.status());
    co_return;
  }
  std::array<uint8_t, kScramNonceOctets> octets;
  service_->world_->random().Fill(octets);
  const std::string nonce = mail::Base64Encode(
      std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
  session_->GiveSecret(std::move(*secret), nonce);
}

rt::Task<void> SmtpConnection::OnAuthenticate(const sasl::Credentials* credentials,
                                              sasl::Mechanism mechanism, bool proven) {
  // Filters were asked about a SCRAM when it began.
  if (!sasl::IsScram(mechanism)) {
    const bool refused = co_await FilterLogin(credentials, mechanism);
    if (refused) co_return;
  }
  sasl::Credentials given;
  given.authorization_id = credentials->authorization_id;
  given.authentication_id = credentials->authentication_id;
  given.password = credentials->password;
  const std::string user = given.authentication_id;
  // RFC 4616 §2: acting for another needs a right that nobody can be given here.
  const bool for_another = mechanism != sasl::Mechanism::kExternal &&
                           !given.authorization_id.empty() && given.authorization_id != user;
  StatusOr<std::optional<std::string>> login = co_await service_->backend_->AuthenticateBy(
      stream_->executor(), facts_, mechanism, std::move(given), proven);
  if (!login.ok()) {
    RefuseLogin(user, mechanism, login.status());
    co_return;
  }
  const std::string name(sasl::MechanismName(mechanism));
  if (!login->has_value() || for_another) {
    Log(LogLevel::kInfo, "authentication",
        {{"user", user}, {"result", "permfail"}, {"mechanism", name}});
    mail::Reply reply(535, {5, 7, 8}, "Authentication failed");
    LogRefusal(AuthCommandName(mechanism), reply, "");
    ReportLogin(user, StepResult::kPermFail);
    const Duration pause =
        service_->options_.max_auth_failure_pause * service_->world_->random().Unit();
    rt::Event never(&stream_->executor());
    (void)co_await never.Wait(stream_->executor().Now() + pause);
    session_->Decide(Decision::Refuse(std::move(reply)));
    co_return;
  }
  facts_.auth_user = std::move(**login);
  Log(LogLevel::kInfo, "authentication",
      {{"user", facts_.auth_user}, {"result", "ok"}, {"mechanism", name}});
  ReportLogin(facts_.auth_user, StepResult::kOk);
  session_->Decide(Decision::Accept());
}

void SmtpConnection::RefuseLogin(const std::string& user, sasl::Mechanism mechanism,
                                 const Status& failure) {
  const bool guessed = failure.code() == StatusCode::kResourceExhausted;
  Log(guessed ? LogLevel::kInfo : LogLevel::kWarning, "authentication",
      {{"user", user},
       {"result", guessed ? "refused" : "tempfail"},
       {"mechanism", std::string(sasl::MechanismName(mechanism))},
       {"reason", std::string(Message(failure))}});
  mail::Reply reply = guessed
                          ? mail::Reply(421, {4, 7, 0}, "Too many failed logins, try again later")
                          : mail::Reply(454, {4, 7, 0}, "Temporary authentication failure");
  LogRefusal(AuthCommandName(mechanism), reply, "");
  ReportLogin(user, guessed ? StepResult::kPermFail : StepResult::kTempFail);
  session_->Decide(guessed ? Decision::Disconnect(std::move(reply))
                           : Decision::Refuse(std::move(reply)));
}

}  // namespace postern::service
