// What the IMAP service asks of whoever built it: how a listener speaks, and who may log in.
// lib/server answers with the configuration's accounts; tests answer as they like.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/imap/server_session.h"
#include "lib/core/mailbox/mailbox.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram.h"
#include "lib/rt/stream.h"
#include "lib/rt/task.h"

namespace postern::service {

// ImapListener is what one listener asks of its sessions; shared by them and never changed.
struct ImapListener {
  std::shared_ptr<const imap::ServerOptions>
      options;  // offer_starttls false when accept_tls is empty
  // accept_tls does the server's handshake on a plain stream until the deadline (rt::TlsAccept with
  // the certificates in force, so that a reload is seen). Empty without TLS.
  std::function<rt::Task<StatusOr<std::unique_ptr<rt::Stream>>>(std::unique_ptr<rt::Stream>,
                                                                Instant)>
      accept_tls;
  // accept_proxy reads the PROXY header that connections begin with (`proxy-v2`) and gives the
  // stream with the client's addresses. Empty: there is none.
  std::function<rt::Task<StatusOr<std::unique_ptr<rt::Stream>>>(std::unique_ptr<rt::Stream>,
                                                                Instant)>
      accept_proxy;
  bool tls_from_start = false;         // port 993 (RFC 8314 §3.2)
  std::string name;                    // for logs: "127.0.0.1:993"
  std::shared_ptr<const void> origin;  // the backend's own note of which listener it is
  Duration handshake_timeout = absl::Seconds(30);
  Duration proxy_timeout = absl::Seconds(10);  // for the PROXY header to come
};

// ImapSessionFacts is what is known of a session. It lives as long as the session and changes
// between calls.
struct ImapSessionFacts {
  std::string id;  // 16 hex digits
  std::shared_ptr<const ImapListener> listener;
  Endpoint local;
  Endpoint remote;
  bool tls = false;
  std::optional<rt::TlsInfo> tls_info;
  std::string user;  // empty before the login
};

// ImapLogin is the answer to a login: `store` is null when the password is wrong. Sessions of one
// account may share a store.
struct ImapLogin {
  std::shared_ptr<mailbox::MailStore> store;
  std::string user;  // the name under which the account is known
};

class ImapBackend {
 public:
  virtual ~ImapBackend() = default;
  // Login judges a name and password. An error is a temporary failure. `facts` lives until the call
  // ends.
  virtual rt::Task<StatusOr<ImapLogin>> Login(const ImapSessionFacts& facts, std::string user,
                                              std::string password) = 0;

  // LoginBy is Login for every mechanism. SCRAM: `proven` tells whether the password is right.
  // EXTERNAL: the authorization id may name one of the certificate's names. OAUTHBEARER and
  // XOAUTH2: the password is the token, the name may be empty. kResourceExhausted: there were too
  // many wrong guesses; the session is cut. By default a name and password go to Login, and nothing
  // else is known.
  virtual rt::Task<StatusOr<ImapLogin>> LoginBy(const ImapSessionFacts& facts,
                                                sasl::Mechanism mechanism,
                                                sasl::Credentials credentials, bool proven);

  // ScramSecretOf gives what is stored of a user's password; for one who does not exist, something
  // that looks like it. kResourceExhausted as with LoginBy.
  virtual rt::Task<StatusOr<sasl::ScramSecret>> ScramSecretOf(const ImapSessionFacts& facts,
                                                              sasl::Mechanism mechanism,
                                                              std::string user);
};

}  // namespace postern::service
