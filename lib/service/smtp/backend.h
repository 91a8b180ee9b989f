// What the SMTP service asks about a session, a login, a recipient and a message. lib/server
// answers with the configuration's rules; tests answer as they like.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram.h"
#include "lib/core/smtp/server_options.h"
#include "lib/core/tls/config.h"
#include "lib/rt/stream.h"
#include "lib/rt/task.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::service {

// SmtpListener is what one listener asks of its sessions; shared by them and never changed.
struct SmtpListener {
  std::shared_ptr<const smtp::ServerOptions> options;
  // tls gives the certificates in force; null without TLS. It is called for each handshake, so that
  // a reload is seen.
  std::function<std::shared_ptr<const tls::ServerConfig>()> tls;
  // accept_proxy reads the PROXY header that connections begin with (`proxy-v2`) and gives the
  // stream with the client's addresses. Empty: there is none.
  std::function<rt::Task<StatusOr<std::unique_ptr<rt::Stream>>>(std::unique_ptr<rt::Stream>,
                                                                Instant)>
      accept_proxy;
  bool tls_from_start = false;  // port 465
  bool is_local_socket = false;
  // submission: missing Date and Message-ID are added (RFC 6409 §8)
  bool complete_messages = false;
  bool mask_source = false;         // Received does not tell where the client is
  bool received_auth = false;       // Received tells the login
  bool masquerade = false;          // From of who logged in is their envelope's sender
  bool wants_host_name = false;     // our name depends on the address that the client came to
  bool wants_reverse_name = false;  // the client's name is asked for before the greeting
  bool wants_confirmation = false;  // … and whether that name leads back to the client
  std::string tag;
  std::shared_ptr<const void> origin;  // the backend's own note of which listener it is
  std::string name;                    // for logs: "127.0.0.1:25"
  size_t max_header_bytes = 1 << 20;
  int max_received_fields = 100;
  Duration handshake_timeout = absl::Seconds(30);
  Duration proxy_timeout = absl::Seconds(10);  // for the PROXY header to come
};

// SmtpSessionFacts is what is known of a session. It lives as long as the session and changes
// between calls.
struct SmtpSessionFacts {
  std::string id;  // 16 hex digits
  std::shared_ptr<const SmtpListener> listener;
  Endpoint local;
  Endpoint remote;
  // the client's name by DNS; empty when it has none or was not asked for
  std::string reverse_name;
  bool reverse_confirmed = false;  // it leads back to the client; where the listener wants to know
  std::string helo;
  bool extended = false;  // EHLO
  std::optional<rt::TlsInfo> tls;
  std::string auth_user;             // empty before AUTH
  std::optional<uint32_t> peer_uid;  // of the client's process, on the local socket
};

// RecipientVerdict is the answer to one RCPT. `ticket` is the backend's own note of where the
// recipient goes.
struct RecipientVerdict {
  std::optional<mail::Reply> refusal;
  std::string reason;  // for the log
  std::shared_ptr<const void> ticket;
  size_t envelopes = 1;  // that the recipient will have in the queue
};

struct AcceptedRecipient {
  mail::ForwardPath path;
  std::shared_ptr<const void> ticket;
  // The last 32 bits of its envelopes' ids, where somebody was told of them; none: as you like.
  std::vector<uint32_t> envelopes = {};
};

// IncomingMessage takes a message's octets and makes them safe. Dropped without Finish it leaves
// nothing behind.
class IncomingMessage {
 public:
  virtual ~IncomingMessage() = default;
  // id is the message id that Received names.
  virtual const std::string& id() const = 0;
  // Append takes the next piece. After an error the message cannot be finished; kResourceExhausted
  // is a full disk.
  virtual rt::Task<Status> Append(std::string_view octets) = 0;
  // Quarantine asks that the message be kept and not delivered until somebody releases it; before
  // Finish.
  virtual void Quarantine(std::string reason) { (void)reason; }
  // Finish makes the message durable (or hands it to a hook) and returns the reply that the client
  // gets: 250 is a promise. It is not cancelled half-way.
  virtual rt::Task<mail::Reply> Finish(const SmtpSessionFacts& facts,
                                       const mail::ReversePath& sender,
                                       const std::vector<AcceptedRecipient>& recipients) = 0;
};

// SmtpBackend is asked on the session's loop, which is `loop` where it is given; sessions of
// several loops may ask at once.
class SmtpBackend {
 public:
  virtual ~SmtpBackend() = default;

  // Greet may refuse a connection before the greeting (too many, or the server is stopping).
  virtual std::optional<mail::Reply> Greet(const SmtpSessionFacts& facts) = 0;
  // Left tells that a greeted session is over.
  virtual void Left(const SmtpSessionFacts& facts) = 0;

  // HostName gives our name in a session with `facts.local`; empty: the listener's. It is asked
  // once, before the greeting, where the listener wants it.
  virtual rt::Task<std::string> HostName(rt::Executor&, const SmtpSessionFacts&) {
    co_return std::string();
  }

  // ReverseName finds the client's name: PTR, confirmed or not; empty when there is none.
  virtual rt::Task<std::string> ReverseName(rt::Executor& loop, IpAddress address) = 0;

  // ReverseNameLeadsBack tells whether `name` has `address` (RFC 8601 §2.7.3, iprev).
  virtual rt::Task<bool> ReverseNameLeadsBack(rt::Executor&, std::string /*name*/,
                                              IpAddress /*address*/) {
    co_return false;
  }

  // NewFilter gives what filters a session, asked at its start; null: nothing does.
  virtual std::unique_ptr<SessionFilter> NewFilter(rt::Executor&, const SmtpSessionFacts&) {
    return nullptr;
  }

  // Authenticate gives the login when the password is right, nullopt when it is not; an error is a
  // temporary failure.
  virtual rt::Task<StatusOr<std::optional<std::string>>> Authenticate(rt::Executor& loop,
                                                                      const SmtpSessionFacts& facts,
                                                                      std::string user,
                                                                      std::string password) = 0;

  // AuthenticateBy is Authenticate for every mechanism. SCRAM: `proven` tells whether the password
  // is right. EXTERNAL: the authorization id may name one of the certificate's names. OAUTHBEARER
  // and XOAUTH2: the password is the token, the name may be empty. kResourceExhausted: there were
  // too many wrong guesses; the session is cut. By default a name and password go to Authenticate,
  // and nothing else is known.
  virtual rt::Task<StatusOr<std::optional<std::string>>> AuthenticateBy(
      rt::Executor& loop, const SmtpSessionFacts& facts, sasl::Mechanism mechanism,
      sasl::Credentials credentials, bool proven);

  // ScramSecretOf gives what is stored of a user's password; for one who does not exist, something
  // that looks like it. kResourceExhausted as with AuthenticateBy.
  virtual rt::Task<StatusOr<sasl::ScramSecret>> ScramSecretOf(rt::Executor& loop,
                                                              const SmtpSessionFacts& facts,
                                                              sasl::Mechanism mechanism,
                                                              std::string user);

  // CheckSender may refuse MAIL FROM.
  virtual rt::Task<std::optional<mail::Reply>> CheckSender(rt::Executor& loop,
                                                           const SmtpSessionFacts& facts,
                                                           const mail::ReversePath& sender) = 0;

  // CheckRecipient says where a recipient goes, or why not.
  virtual rt::Task<RecipientVerdict> CheckRecipient(rt::Executor& loop,
                                                    const SmtpSessionFacts& facts,
                                                    const mail::ReversePath& sender,
                                                    const mail::ForwardPath& recipient) = 0;

  // NewMessage makes room for a message: kResourceExhausted is a full disk (452), anything else
  // 451.
  virtual rt::Task<StatusOr<std::unique_ptr<IncomingMessage>>> NewMessage(
      rt::Executor& loop, const SmtpSessionFacts& facts, const mail::ReversePath& sender) = 0;
};

}  // namespace postern::service
