// LoginGate judges the logins of all listeners, SMTP's and IMAP's alike: against their tables, by
// certificates, by an embedder's hook for tokens, by PAM; and it keeps count of who guesses.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "lib/core/base/log.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/guess_guard.h"
#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram.h"
#include "lib/rt/stream.h"
#include "lib/rt/world.h"
#include "lib/server/hooks.h"
#include "lib/server/pam_logins.h"
#include "lib/server/runtime.h"

namespace postern::server {

// LoginPlace is where somebody wants to log in.
struct LoginPlace {
  rt::Executor* loop = nullptr;
  std::shared_ptr<const Runtime> runtime;  // that the listener serves under
  int listener = policy::kNoIndex;         // into its Config::listeners
  Endpoint remote;
  std::optional<rt::TlsInfo> tls;
};

class LoginGate {
 public:
  // `hooks` and `pam` outlive the gate; without `pam` (null) its listeners' logins fail for now.
  // One gate serves all loops.
  explicit LoginGate(const Hooks* hooks, PamLogins* pam = nullptr)
      : hooks_(hooks), pam_(pam), guard_(sasl::GuessLimits()) {}

  // Judge gives the login, or nullopt when it is refused. An error is a temporary failure;
  // kResourceExhausted: there were too many wrong guesses, and nothing was looked at. It takes the
  // time that the hash asks for, and longer for who guessed before. EXTERNAL: the certificate's
  // mailboxes, then its names, are looked up as logins, and the first that is one is it; an
  // authorization id must be among them. SCRAM: `proven`, after SecretOf counted the attempt.
  rt::Task<StatusOr<std::optional<std::string>>> Judge(LoginPlace place, sasl::Mechanism mechanism,
                                                       sasl::Credentials credentials, bool proven);

  // SecretOf gives what is stored for SCRAM of `user`, or what looks like it.
  rt::Task<StatusOr<sasl::ScramSecret>> SecretOf(LoginPlace place, sasl::Mechanism mechanism,
                                                 std::string user);

 private:
  using Login = std::optional<std::string>;

  rt::Task<Status> Begin(LoginPlace place, std::string account);
  rt::Task<StatusOr<Login>> JudgePassword(LoginPlace place, sasl::Credentials credentials);
  // AskPam asks the PAM of the listener about one login; with no password, whether its account may
  // be used.
  rt::Task<StatusOr<bool>> AskPam(LoginPlace place, std::string user,
                                  std::optional<std::string> password);
  rt::Task<StatusOr<Login>> JudgeCertificate(LoginPlace place, std::string authorization_id);
  rt::Task<StatusOr<Login>> JudgeToken(LoginPlace place, sasl::Mechanism mechanism,
                                       sasl::Credentials credentials);
  // End tells the guard how an attempt went that it counted.
  void End(const LoginPlace& place, const std::string& account, const StatusOr<Login>& login);

  const Hooks* hooks_;
  PamLogins* pam_;
  std::mutex mutex_;  // guards the guard
  sasl::GuessGuard guard_;
};

}  // namespace postern::server
