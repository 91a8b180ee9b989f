#include "lib/core/sasl/server_exchange.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"

namespace postern::sasl {
namespace {

// The two questions of LOGIN, "Username:" and "Password:": clients compare them, so they are
// spelled as everybody does.
constexpr std::string_view kAskName = "VXNlcm5hbWU6";
constexpr std::string_view kAskPassword = "UGFzc3dvcmQ6";

}  // namespace

std::string_view MechanismName(Mechanism mechanism) {
  return mechanism == Mechanism::kPlain ? "PLAIN" : "LOGIN";
}

std::optional<Mechanism> FindMechanism(std::string_view name) {
  for (const Mechanism mechanism : {Mechanism::kPlain, Mechanism::kLogin}) {
    if (EqualsIgnoreCase(name, MechanismName(mechanism))) return mechanism;
  }
  return std::nullopt;
}

ServerExchange::Progress ServerExchange::Begin(std::optional<std::string_view> initial_response) {
  if (initial_response.has_value()) {
    // RFC 4954 §4: a single "=" is the initial response of no octets; an empty one cannot be
    // written otherwise.
    if (*initial_response == "=") return Take("");
    if (initial_response->empty()) return Malformed("the initial response is missing");
    return Respond(*initial_response);
  }
  if (mechanism_ == Mechanism::kLogin) {
    step_ = Step::kName;
    challenge_ = kAskName;
  } else {
    challenge_ = {};
  }
  return Progress::kChallenge;
}

ServerExchange::Progress ServerExchange::Respond(std::string_view line) {
  if (step_ == Step::kOver) return Malformed("the exchange is over");
  if (line == "*") {
    step_ = Step::kOver;
    credentials_.Wipe();
    return Progress::kCancelled;
  }
  std::optional<std::string> octets = mail::Base64Decode(line);
  if (!octets.has_value()) return Malformed("not base64");
  const Progress progress = Take(*octets);
  WipeString(*octets);
  return progress;
}

ServerExchange::Progress ServerExchange::Take(std::string_view octets) {
  if (mechanism_ == Mechanism::kPlain) return TakePlain(octets);
  if (octets.find('\0') != std::string_view::npos) return Malformed("NUL in a LOGIN response");
  if (step_ != Step::kPassword) {
    if (octets.empty()) return Malformed("the name is empty");
    if (octets.size() > limits_.max_name_bytes) return Malformed("the name is too long");
    credentials_.authentication_id.assign(octets);
    step_ = Step::kPassword;
    challenge_ = kAskPassword;
    return Progress::kChallenge;
  }
  if (octets.empty()) return Malformed("the password is empty");
  if (octets.size() > limits_.max_password_bytes) return Malformed("the password is too long");
  credentials_.password.assign(octets);
  step_ = Step::kOver;
  return Progress::kDone;
}

// RFC 4616 §2: message = [authzid] UTF8NUL authcid UTF8NUL passwd, none of them with a NUL, the
// last two not empty.
ServerExchange::Progress ServerExchange::TakePlain(std::string_view octets) {
  const size_t first = octets.find('\0');
  if (first == std::string_view::npos) return Malformed("a PLAIN response without NUL");
  const size_t second = octets.find('\0', first + 1);
  if (second == std::string_view::npos) return Malformed("a PLAIN response with one NUL");
  const std::string_view authorization_id = octets.substr(0, first);
  const std::string_view authentication_id = octets.substr(first + 1, second - first - 1);
  const std::string_view password = octets.substr(second + 1);
  if (password.find('\0') != std::string_view::npos)
    return Malformed("a PLAIN response with more than two NULs");
  if (authentication_id.empty()) return Malformed("the name is empty");
  if (password.empty()) return Malformed("the password is empty");
  if (authorization_id.size() > limits_.max_name_bytes ||
      authentication_id.size() > limits_.max_name_bytes) {
    return Malformed("the name is too long");
  }
  if (password.size() > limits_.max_password_bytes) return Malformed("the password is too long");
  credentials_.authorization_id.assign(authorization_id);
  credentials_.authentication_id.assign(authentication_id);
  credentials_.password.assign(password);
  step_ = Step::kOver;
  return Progress::kDone;
}

ServerExchange::Progress ServerExchange::Malformed(std::string_view error) {
  error_ = error;
  step_ = Step::kOver;
  credentials_.Wipe();
  return Progress::kMalformed;
}

}  // namespace postern::sasl
