// The server's side of a SASL exchange (RFC 4422), for every mechanism of mechanism.h. SMTP AUTH,
// IMAP AUTHENTICATE and POP3 AUTH share it: they carry base64 lines, which go in and come out here
// as they stand on the wire, without CRLF and without the "334 " or "+ ".
//
//   PLAIN, LOGIN           a name and a password: judged by the caller
//   SCRAM-*                a name; the caller gives what is stored of the password (kNeedSecret),
//                          the exchange itself sees whether the proof fits: proven()
//   EXTERNAL               an authorization id or none: the caller knows the certificate
//   OAUTHBEARER, XOAUTH2   a name or none, and a token as the password: judged by the caller, whose
//                          no goes through Refuse
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram_server.h"

namespace postern::sasl {

// ServerExchange runs one exchange. One thread at a time. Everything it held is wiped when it dies.
class ServerExchange {
 public:
  enum class Progress : uint8_t {
    kChallenge,   // send challenge() and give the answer to Respond
    kNeedSecret,  // SCRAM: GiveSecret with what is stored for credentials().authentication_id
    kDone,        // credentials() is complete; SCRAM: proven() tells
    kCancelled,   // the client sent "*" (RFC 4954 §4): SMTP 501 5.7.0, IMAP BAD
    kMalformed,   // not base64, or not what the mechanism says: error() tells; SMTP 501 5.5.2, IMAP
                  // BAD
    kRefused,     // the client took note of Refuse
  };

  // A name, password or token that is longer is kMalformed.
  struct Limits {
    size_t max_name_bytes = 1024;
    size_t max_password_bytes = 4096;
    size_t max_token_bytes = 9 * 1024;  // what a line of RFC 4954 §4.1 can carry
  };

  explicit ServerExchange(Mechanism mechanism) : ServerExchange(mechanism, Limits()) {}
  ServerExchange(Mechanism mechanism, Limits limits, Channel channel = {},
                 bool bound_is_offered = false);

  // Begin starts with the initial response as the client wrote it in its command: nullopt when
  // there was none, "=" for one that is empty (RFC 4954 §4), else base64.
  Progress Begin(std::optional<std::string_view> initial_response);

  // Respond takes one line from the client: base64, empty for an empty response, or "*".
  Progress Respond(std::string_view line);

  // GiveSecret answers kNeedSecret; kChallenge follows. `nonce` as ScramServer::Ask wants it.
  Progress GiveSecret(ScramSecret secret, std::string_view nonce);

  // Refuse tells the exchange, after kDone, that the credentials are refused. Where the mechanism
  // says so to the client first (RFC 7628 §3.2.2), kChallenge; else kRefused.
  Progress Refuse();

  // challenge lends what to send after "334 " or "+ ", already in base64; empty for an empty
  // challenge.
  std::string_view challenge() const { return challenge_; }
  // error lends one line on what was wrong, after kMalformed, and why a proof was not right.
  std::string_view error() const { return error_; }
  Mechanism mechanism() const { return mechanism_; }
  // credentials lends what was gathered, after kDone; the caller may move it away.
  Credentials& credentials() { return credentials_; }
  // proven tells, after kDone of a SCRAM mechanism, that the client knows the password.
  bool proven() const { return proven_; }

 private:
  enum class Step : uint8_t { kFirst, kPassword, kSecret, kProof, kVerified, kRefused, kOver };

  Progress Take(std::string_view octets);
  Progress TakePlain(std::string_view octets);
  Progress TakeLogin(std::string_view octets);
  Progress TakeScram(std::string_view octets);
  Progress TakeExternal(std::string_view octets);
  Progress TakeToken(std::string_view octets);
  Progress Challenge(std::string_view octets);
  Progress Done();
  Progress Malformed(std::string_view error);

  Mechanism mechanism_;
  Limits limits_;
  Step step_ = Step::kFirst;
  bool proven_ = false;
  std::string challenge_;
  std::string_view error_;
  Credentials credentials_;
  std::unique_ptr<ScramServer> scram_;
};

}  // namespace postern::sasl
