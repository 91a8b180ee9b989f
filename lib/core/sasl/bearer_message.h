// What a client says that logs in with a token: OAUTHBEARER (RFC 7628 §3.1) and XOAUTH2.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::sasl {

struct BearerMessage {
  std::string user;        // empty where the token alone is to say it
  std::string_view token;  // a b64token (RFC 6750 §2.1); a view into the message
};

// ParseOAuthBearerMessage reads "n,a=user@example.com,^Ahost=…^Aauth=Bearer TOKEN^A^A".
std::optional<BearerMessage> ParseOAuthBearerMessage(std::string_view message);
// ParseXOAuth2Message reads "user=user@example.com^Aauth=Bearer TOKEN^A^A".
std::optional<BearerMessage> ParseXOAuth2Message(std::string_view message);

}  // namespace postern::sasl
