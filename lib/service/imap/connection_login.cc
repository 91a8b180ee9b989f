// The logins of a session.
#include <array>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/service/imap/connection.h"
#include "lib/service/imap/service.h"

namespace postern::service {

using imap::Event;

namespace {

constexpr size_t kScramNonceOctets = 18;

}  // namespace

rt::Task<StatusOr<ImapLogin>> ImapBackend::LoginBy(const ImapSessionFacts& facts,
                                                   sasl::Mechanism mechanism,
                                                   sasl::Credentials credentials, bool) {
  if ((sasl::kPasswordMechanisms & sasl::BitOf(mechanism)) == 0) co_return ImapLogin();
  std::string user = credentials.authentication_id;
  std::string password = credentials.password;
  StatusOr<ImapLogin> login = co_await Login(facts, std::move(user), std::move(password));
  co_return login;
}

rt::Task<StatusOr<sasl::ScramSecret>> ImapBackend::ScramSecretOf(const ImapSessionFacts&,
                                                                 sasl::Mechanism, std::string) {
  co_return Unimplemented("no SCRAM here");
}

sasl::Channel ImapConnection::ChannelNow() const {
  if (!facts_.tls_info.has_value()) return {};
  const rt::TlsInfo& tls = *facts_.tls_info;
  return {.exporter = tls.channel_exporter,
          .end_point = tls.channel_end_point,
          .certificate = tls.peer_verified && !tls.peer_certificate_der.empty()};
}

rt::Task<void> ImapConnection::OnSecret(std::string user, sasl::Mechanism mechanism) {
  StatusOr<sasl::ScramSecret> secret =
      co_await service_->backend_->ScramSecretOf(facts_, mechanism, user);
  if (!secret.ok()) {
    RefuseLogin(user, mechanism, secret.status());
    co_return;
  }
  std::array<uint8_t, kScramNonceOctets> octets;
  service_->world_->random().Fill(octets);
  const std::string nonce = mail::Base64Encode(
      std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
  session_->GiveSecret(std::move(*secret), nonce, loop().Now());
}

rt::Task<void> ImapConnection::OnCredentials(const Event event) {
  sasl::Credentials given = std::move(*event.credentials);
  const std::string user = given.authentication_id;
  const sasl::Mechanism mechanism = event.mechanism;
  const std::string name(sasl::MechanismName(mechanism));
  // RFC 4616 §2: acting for another needs a right that nobody can be given here.
  const bool for_another = mechanism != sasl::Mechanism::kExternal &&
                           !given.authorization_id.empty() && given.authorization_id != user;
  StatusOr<ImapLogin> login =
      co_await service_->backend_->LoginBy(facts_, mechanism, std::move(given), event.proven);
  if (!login.ok()) {
    RefuseLogin(user, mechanism, login.status());
    co_return;
  }
  if (login->store == nullptr || for_another) {
    Log(LogLevel::kInfo, "authentication",
        {{"user", user}, {"mechanism", name}, {"result", "permfail"}});
    const Duration pause =
        service_->options_.max_login_failure_pause * service_->world_->random().Unit();
    rt::Event never(&loop());
    const bool set = co_await never.Wait(loop().Now() + pause);
    (void)set;
    session_->Decide(imap::AuthDecision::kReject, loop().Now());
    co_return;
  }
  store_ = std::move(login->store);
  facts_.user = std::move(login->user);
  Log(LogLevel::kInfo, "authentication",
      {{"user", facts_.user}, {"mechanism", name}, {"result", "ok"}});
  session_->Decide(imap::AuthDecision::kAccept, loop().Now());
}

void ImapConnection::RefuseLogin(const std::string& user, sasl::Mechanism mechanism,
                                 const Status& failure) {
  const bool guessed = failure.code() == StatusCode::kResourceExhausted;
  Log(guessed ? LogLevel::kInfo : LogLevel::kWarning, "authentication",
      {{"user", user},
       {"mechanism", std::string(sasl::MechanismName(mechanism))},
       {"result", guessed ? "refused" : "tempfail"},
       {"reason", std::string(Message(failure))}});
  session_->Decide(imap::AuthDecision::kUnavailable, loop().Now());
  if (guessed) session_->Bye("UNAVAILABLE", "Too many failed logins, try again later");
}

}  // namespace postern::service
