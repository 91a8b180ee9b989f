// The server's side of a SASL exchange (RFC 4422) for the mechanisms that hand over a password:
// PLAIN (RFC 4616) and LOGIN (the old two-question mechanism of draft-murchison-sasl-login). SMTP
// AUTH, IMAP AUTHENTICATE and POP3 AUTH share it: they carry base64 lines, which go in and come out
// here as they stand on the wire, without CRLF and without the "334 " or "+ ".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/credentials.h"

namespace postern::sasl {

enum class Mechanism : uint8_t { kPlain, kLogin };

// MechanismName gives the registered name: "PLAIN", "LOGIN".
std::string_view MechanismName(Mechanism mechanism);
// FindMechanism knows the names in either case; nullopt for any other.
std::optional<Mechanism> FindMechanism(std::string_view name);

// ServerExchange runs one exchange. It never decides whether a password is right: at kDone the
// caller takes the credentials and judges them. One thread at a time. Everything it held is wiped
// when it dies.
class ServerExchange {
 public:
  enum class Progress : uint8_t {
    kChallenge,  // send challenge() and give the answer to Respond
    kDone,       // credentials() is complete
    kCancelled,  // the client sent "*" (RFC 4954 §4): SMTP 501 5.7.0, IMAP BAD
    kMalformed,  // not base64, or not what the mechanism says: error() tells; SMTP 501 5.5.2, IMAP
                 // BAD
  };

  // max_name_bytes and max_password_bytes bound what a name and a password may be; longer is
  // kMalformed.
  struct Limits {
    size_t max_name_bytes = 1024;
    size_t max_password_bytes = 4096;
  };

  explicit ServerExchange(Mechanism mechanism) : ServerExchange(mechanism, Limits()) {}
  ServerExchange(Mechanism mechanism, Limits limits) : mechanism_(mechanism), limits_(limits) {}

  // Begin starts with the initial response as the client wrote it in its command: nullopt when
  // there was none, "=" for one that is empty (RFC 4954 §4), else base64.
  Progress Begin(std::optional<std::string_view> initial_response);

  // Respond takes one line from the client: base64, empty for an empty response, or "*".
  Progress Respond(std::string_view line);

  // challenge lends what to send after "334 " or "+ ", already in base64; empty for an empty
  // challenge.
  std::string_view challenge() const { return challenge_; }
  // error lends one line on what was wrong, after kMalformed.
  std::string_view error() const { return error_; }
  Mechanism mechanism() const { return mechanism_; }
  // credentials lends what was gathered, after kDone; the caller may move it away.
  Credentials& credentials() { return credentials_; }

 private:
  enum class Step : uint8_t { kFirst, kName, kPassword, kOver };

  Progress Take(std::string_view octets);
  Progress TakePlain(std::string_view octets);
  Progress Malformed(std::string_view error);

  Mechanism mechanism_;
  Limits limits_;
  Step step_ = Step::kFirst;
  std::string_view challenge_;
  std::string_view error_;
  Credentials credentials_;
};

}  // namespace postern::sasl
