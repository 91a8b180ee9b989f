#include "lib/server/login_gate.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/password.h"
#include "lib/core/tls/certificate.h"
#include "lib/server/logins.h"
#include "lib/server/pam_services.h"

namespace postern::server {
namespace {

// LimitsOf puts what the configuration says in place of the defaults.
sasl::GuessLimits LimitsOf(const policy::SmtpSettings& settings) {
  sasl::GuessLimits limits;
  if (settings.max_auth_failures_address > 0)
    limits.most_failures = static_cast<double>(settings.max_auth_failures_address);
  if (settings.max_auth_failures_account > 0)
    limits.most_account_failures = static_cast<double>(settings.max_auth_failures_account);
  if (settings.max_auth_memory > 0)
    limits.max_entries = static_cast<size_t>(settings.max_auth_memory);
  limits.window = settings.timeouts.auth_window.value_or(limits.window);
  limits.trust = settings.timeouts.auth_trust.value_or(limits.trust);
  return limits;
}

sasl::ScramHash HashOf(sasl::Mechanism mechanism) {
  return (sasl::kScramSha1Mechanisms & sasl::BitOf(mechanism)) != 0 ? sasl::ScramHash::kSha1
                                                                    : sasl::ScramHash::kSha256;
}

// MayWaitFor tells whether a question about logins has to wait for somebody else.
bool MayWaitFor(const Runtime& runtime, policy::TableId table) {
  const policy::Table* const logins = runtime.tables().Get(table);
  return logins != nullptr && logins->Blocks();
}

// PamOf gives the service of PAM that judges the logins of `place`; one without a name: none does.
rt::PamService PamOf(const LoginPlace& place) {
  const std::vector<policy::Listener>& listeners = place.runtime->config().listeners;
  if (place.listener < 0 || static_cast<size_t>(place.listener) >= listeners.size()) return {};
  return PamServiceOf(listeners[static_cast<size_t>(place.listener)]);
}

// NamesOf lists whom a client's certificate names, in the order in which they count.
std::vector<std::string> NamesOf(const rt::TlsInfo& tls) {
  std::vector<std::string> names;
  if (!tls.peer_verified || tls.peer_certificate_der.empty()) return names;
  StatusOr<tls::CertificateInfo> info = tls::DescribeCertificate(tls.peer_certificate_der);
  if (!info.ok()) return names;
  names = std::move(info->mailboxes);
  for (std::string& name : info->names) {
    // "*" in a certificate is for servers.
    if (name.find('*') == std::string::npos) names.push_back(std::move(name));
  }
  constexpr size_t kMostNames = 20;
  if (names.size() > kMostNames) names.resize(kMostNames);
  return names;
}

}  // namespace

rt::Task<Status> LoginGate::Begin(LoginPlace place, std::string account) {
  const Instant now = place.loop->Now();
  const IpAddress address = place.remote.address;
  const bool own = place.remote.is_unix() || place.runtime->IsOwnAddress(address);
  sasl::GuessGuard::Verdict verdict;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    guard_.SetLimits(LimitsOf(place.runtime->config().smtp));
    verdict = guard_.Begin(now, address, own, account);
  }
  if (!verdict.allowed) co_return ResourceExhausted(std::string(verdict.reason));
  if (verdict.delay > absl::ZeroDuration()) {
    rt::Event never(place.loop);
    (void)co_await never.Wait(now + verdict.delay);
  }
  co_return OkStatus();
}

void LoginGate::End(const LoginPlace& place, const std::string& account,
                    const StatusOr<Login>& login) {
  const Instant now = place.loop->Now();
  const IpAddress address = place.remote.address;
  const bool own = place.remote.is_unix() || place.runtime->IsOwnAddress(address);
  const std::lock_guard<std::mutex> lock(mutex_);
  // kAborted: PAM's, and it may have been a wrong password.
  if (login.status().code() == StatusCode::kAborted) return;
  if (!login.ok()) {
    guard_.Unjudged(now, address, own, account);
  } else if (login->has_value()) {
    guard_.Succeeded(now, address, own, account);
  }
}

rt::Task<StatusOr<std::optional<std::string>>> LoginGate::Judge(LoginPlace place,
                                                                sasl::Mechanism mechanism,
                                                                sasl::Credentials credentials,
                                                                bool proven) {
  std::string account = credentials.authentication_id;
  if (sasl::IsScram(mechanism)) {
    // SecretOf has counted it.
    StatusOr<Login> judged = proven ? Login(account) : Login();
    End(place, account, judged);
    co_return judged;
  }
  if (mechanism == sasl::Mechanism::kExternal) {
    // There is nothing to guess: the handshake proved the certificate.
    std::string authorization_id = credentials.authorization_id;
    StatusOr<Login> judged =
        co_await JudgeCertificate(std::move(place), std::move(authorization_id));
    co_return judged;
  }
  const Status begun = co_await Begin(place, account);
  if (!begun.ok()) co_return begun;
  StatusOr<Login> judged = Login();
  if (sasl::IsToken(mechanism)) {
    judged = co_await JudgeToken(place, mechanism, std::move(credentials));
  } else {
    judged = co_await JudgePassword(place, std::move(credentials));
  }
  End(place, account, judged);
  co_return judged;
}

rt::Task<StatusOr<std::optional<std::string>>> LoginGate::JudgePassword(
    LoginPlace place, sasl::Credentials credentials) {
  if (!PamOf(place).name.empty()) {
    std::string user = credentials.authentication_id;
    std::optional<std::string> password = std::move(credentials.password);
    const StatusOr<bool> in =
        co_await AskPam(std::move(place), std::move(user), std::move(password));
    if (!in.ok()) co_return in.status();
    if (!*in) co_return Login();
    co_return Login(credentials.authentication_id);
  }
  const policy::TableId table = place.runtime->AuthTable(place.listener);
  const auto work = [&] {
    return CheckLogin(*place.runtime, table, credentials.authentication_id, credentials.password);
  };
  // A table that asks a program may have to wait for it; the hashing of passwords is our own work.
  StatusOr<bool> right = Unavailable("not checked");
  if (MayWaitFor(*place.runtime, table)) {
    auto check = place.loop->RunOutside(work);
    right = co_await check;
  } else {
    auto check = place.loop->RunBlocking(work);
    right = co_await check;
  }
  if (!right.ok()) co_return right.status();
  if (!*right) co_return Login();
  co_return Login(credentials.authentication_id);
}

rt::Task<StatusOr<bool>> LoginGate::AskPam(LoginPlace place, std::string user,
                                           std::optional<std::string> password) {
  if (pam_ == nullptr) co_return FailedPrecondition("PAM is not asked here");
  rt::PamQuestion question;
  question.service = PamOf(place);
  question.user = SystemUserOf(*place.runtime, user);
  question.password = std::move(password);
  if (!place.remote.is_unix()) question.remote = place.remote.address.ToString();
  const PamLimits limits = PamLimitsOf(place.runtime->config().smtp);
  StatusOr<bool> in = co_await pam_->Check(place.loop, std::move(question), limits);
  co_return in;
}

rt::Task<StatusOr<std::optional<std::string>>> LoginGate::JudgeCertificate(
    LoginPlace place, std::string authorization_id) {
  if (!place.tls.has_value()) co_return Login();
  std::vector<std::string> names = NamesOf(*place.tls);
  const std::string wanted = AsciiLower(authorization_id);
  if (!wanted.empty())
    std::erase_if(names, [&](const std::string& name) { return name != wanted; });
  if (names.empty()) co_return Login();
  if (!PamOf(place).name.empty()) {
    for (const std::string& name : names) {
      LoginPlace same = place;
      std::string user = name;
      std::optional<std::string> no_password;
      const StatusOr<bool> in =
          co_await AskPam(std::move(same), std::move(user), std::move(no_password));
      if (!in.ok()) co_return in.status();
      if (*in) co_return Login(name);
    }
    co_return Login();
  }
  const policy::TableId table = place.runtime->AuthTable(place.listener);
  const auto work = [&]() -> StatusOr<Login> {
    for (const std::string& name : names) {
      const StatusOr<bool> known = KnowsLogin(*place.runtime, table, name);
      if (!known.ok()) return known.status();
      if (*known) return Login(name);
    }
    return Login();
  };
  if (MayWaitFor(*place.runtime, table)) {
    auto find = place.loop->RunOutside(work);
    StatusOr<Login> found = co_await find;
    co_return found;
  }
  auto find = place.loop->RunBlocking(work);
  StatusOr<Login> found = co_await find;
  co_return found;
}

rt::Task<StatusOr<std::optional<std::string>>> LoginGate::JudgeToken(
    LoginPlace place, sasl::Mechanism mechanism, sasl::Credentials credentials) {
  if (!hooks_->on_token) co_return Login();
  const auto work = [&] {
    return hooks_->on_token(TokenView{.mechanism = sasl::MechanismName(mechanism),
                                      .user = credentials.authentication_id,
                                      .token = credentials.password,
                                      .remote = place.remote});
  };
  auto ask = place.loop->RunOutside(work);
  TokenVerdict verdict = co_await ask;
  if (verdict.kind == TokenVerdict::Kind::kUnavailable)
    co_return Unavailable("the token could not be judged");
  if (verdict.kind != TokenVerdict::Kind::kAccepted || verdict.user.empty()) co_return Login();
  // RFC 7628 §3.1: a token opens no account but its own.
  const std::string& wanted = credentials.authentication_id;
  if (!wanted.empty() && !EqualsIgnoreCase(wanted, verdict.user)) co_return Login();
  co_return Login(std::move(verdict.user));
}

rt::Task<StatusOr<sasl::ScramSecret>> LoginGate::SecretOf(LoginPlace place,
                                                          sasl::Mechanism mechanism,
                                                          std::string user) {
  const sasl::ScramHash hash = HashOf(mechanism);
  const Runtime::ScramSamples& samples = place.runtime->ScramSamplesOf(place.listener);
  const std::optional<sasl::ScramSecret>& sample =
      hash == sasl::ScramHash::kSha1 ? samples.sha1 : samples.sha256;
  const policy::TableId table = place.runtime->AuthTable(place.listener);
  policy::Table* const logins = place.runtime->tables().Get(table);
  if (!sample || logins == nullptr) co_return FailedPrecondition("no SCRAM secrets here");
  const Status begun = co_await Begin(place, user);
  if (!begun.ok()) co_return begun;
  const auto work = [&] { return policy::FindScramSecret(*logins, user, hash); };
  StatusOr<std::optional<sasl::ScramSecret>> found = Unavailable("not looked up");
  if (logins->Blocks()) {
    auto find = place.loop->RunOutside(work);
    found = co_await find;
  } else {
    found = work();
  }
  if (!found.ok()) {
    End(place, user, found.status());
    co_return found.status();
  }
  // Made for everybody: who is known takes the same time as who is not. The key of what is made up
  // is a secret that stays the same as long as the table does.
  const std::string key = StrCat(sample->stored_key, sample->server_key);
  sasl::ScramSecret fake = sasl::FakeScramSecret(*sample, key, AsciiLower(user));
  if (found->has_value()) co_return std::move(**found);
  co_return std::move(fake);
}

}  // namespace postern::server
