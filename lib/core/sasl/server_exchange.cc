#include "lib/core/sasl/server_exchange.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/sasl/bearer_message.h"

namespace postern::sasl {
namespace {

// The two questions of LOGIN: clients compare them, so they are spelled as everybody does.
constexpr std::string_view kAskName = "Username:";
constexpr std::string_view kAskPassword = "Password:";
// RFC 7628 §3.2.2
constexpr std::string_view kTokenRefused = "{\"status\":\"invalid_token\"}";
// XOAUTH2's clients look for the status of HTTP.
constexpr std::string_view kXOAuth2Refused = "{\"status\":\"401\",\"schemes\":\"bearer\"}";

}  // namespace

ServerExchange::ServerExchange(Mechanism mechanism, Limits limits, Channel channel,
                               bool bound_is_offered)
    : mechanism_(mechanism), limits_(limits) {
  if (IsScram(mechanism))
    scram_ = std::make_unique<ScramServer>(mechanism, std::move(channel), bound_is_offered);
}

ServerExchange::Progress ServerExchange::Begin(std::optional<std::string_view> initial_response) {
  if (initial_response.has_value()) {
    // RFC 4954 §4: a single "=" is the initial response of no octets; an empty one cannot be
    // written otherwise.
    if (*initial_response == "=") return Take("");
    if (initial_response->empty()) return Malformed("the initial response is missing");
    return Respond(*initial_response);
  }
  return Challenge(mechanism_ == Mechanism::kLogin ? kAskName : std::string_view());
}

ServerExchange::Progress ServerExchange::Respond(std::string_view line) {
  if (step_ == Step::kOver || step_ == Step::kSecret) return Malformed("the exchange is over");
  if (step_ == Step::kRefused) {
    // RFC 7628 §3.2.3: a dummy response, whatever it is.
    step_ = Step::kOver;
    return Progress::kRefused;
  }
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
  switch (mechanism_) {
    case Mechanism::kPlain: return TakePlain(octets);
    case Mechanism::kLogin: return TakeLogin(octets);
    case Mechanism::kExternal: return TakeExternal(octets);
    case Mechanism::kOAuthBearer:
    case Mechanism::kXOAuth2: return TakeToken(octets);
    default: return TakeScram(octets);
  }
}

ServerExchange::Progress ServerExchange::TakeLogin(std::string_view octets) {
  if (octets.find('\0') != std::string_view::npos) return Malformed("NUL in a LOGIN response");
  if (step_ != Step::kPassword) {
    if (octets.empty()) return Malformed("the name is empty");
    if (octets.size() > limits_.max_name_bytes) return Malformed("the name is too long");
    credentials_.authentication_id.assign(octets);
    step_ = Step::kPassword;
    return Challenge(kAskPassword);
  }
  if (octets.empty()) return Malformed("the password is empty");
  if (octets.size() > limits_.max_password_bytes) return Malformed("the password is too long");
  credentials_.password.assign(octets);
  return Done();
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
  return Done();
}

ServerExchange::Progress ServerExchange::TakeScram(std::string_view octets) {
  switch (step_) {
    case Step::kFirst:
      if (!scram_->First(octets)) return Malformed(scram_->error());
      if (scram_->user().size() > limits_.max_name_bytes ||
          scram_->authorization_id().size() > limits_.max_name_bytes) {
        return Malformed("the name is too long");
      }
      credentials_.authentication_id = scram_->user();
      credentials_.authorization_id = scram_->authorization_id();
      step_ = Step::kSecret;
      return Progress::kNeedSecret;
    case Step::kProof: {
      const std::optional<std::string> answer = scram_->Last(octets);
      if (!answer && scram_->malformed()) return Malformed(scram_->error());
      if (!answer) {
        error_ = scram_->error();
        return Done();
      }
      step_ = Step::kVerified;
      return Challenge(*answer);
    }
    case Step::kVerified:
      // RFC 4422 §5: where the protocol has no room for data with the success, an empty response
      // follows it.
      if (!octets.empty()) return Malformed("more than the mechanism has");
      proven_ = true;
      return Done();
    default: return Malformed("the exchange is over");
  }
}

ServerExchange::Progress ServerExchange::GiveSecret(ScramSecret secret, std::string_view nonce) {
  if (step_ != Step::kSecret) return Malformed("nobody asked for a secret");
  step_ = Step::kProof;
  return Challenge(scram_->Ask(std::move(secret), nonce));
}

// RFC 4422 appendix A: an authorization id in UTF-8 without NUL, or nothing.
ServerExchange::Progress ServerExchange::TakeExternal(std::string_view octets) {
  if (octets.find('\0') != std::string_view::npos) return Malformed("NUL in an EXTERNAL response");
  if (octets.size() > limits_.max_name_bytes) return Malformed("the name is too long");
  credentials_.authorization_id.assign(octets);
  return Done();
}

ServerExchange::Progress ServerExchange::TakeToken(std::string_view octets) {
  const std::optional<BearerMessage> message = mechanism_ == Mechanism::kXOAuth2
                                                   ? ParseXOAuth2Message(octets)
                                                   : ParseOAuthBearerMessage(octets);
  if (!message) return Malformed("no bearer token where one was to come");
  if (message->user.size() > limits_.max_name_bytes) return Malformed("the name is too long");
  if (message->token.size() > limits_.max_token_bytes) return Malformed("the token is too long");
  credentials_.authentication_id = message->user;
  credentials_.password.assign(message->token);
  return Done();
}

ServerExchange::Progress ServerExchange::Refuse() {
  credentials_.Wipe();
  if (!IsToken(mechanism_)) return Progress::kRefused;
  step_ = Step::kRefused;
  return Challenge(mechanism_ == Mechanism::kXOAuth2 ? kXOAuth2Refused : kTokenRefused);
}

ServerExchange::Progress ServerExchange::Challenge(std::string_view octets) {
  challenge_ = mail::Base64Encode(octets);
  return Progress::kChallenge;
}

ServerExchange::Progress ServerExchange::Done() {
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
