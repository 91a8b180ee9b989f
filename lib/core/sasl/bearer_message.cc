#include "lib/core/sasl/bearer_message.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/sasl/scram_message.h"

namespace postern::sasl {
namespace {

constexpr char kSeparator = '\x01';

// RFC 6750 §2.1
bool IsToken(std::string_view text) {
  constexpr std::string_view kMarks = "-._~+/=";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return IsAsciiAlnum(c) || kMarks.find(c) != std::string_view::npos;
  });
}

// TakePair cuts "key=value^A" off the front of `*rest`; false when it does not stand there.
bool TakePair(std::string_view* rest, std::string_view* key, std::string_view* value) {
  const size_t end = rest->find(kSeparator);
  if (end == std::string_view::npos) return false;
  const std::string_view pair = rest->substr(0, end);
  const size_t equals = pair.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  *key = pair.substr(0, equals);
  *value = pair.substr(equals + 1);
  rest->remove_prefix(end + 1);
  return true;
}

// TakeToken reads pairs up to the separator that ends the message.
std::optional<std::string_view> TakeToken(std::string_view rest, std::string* user) {
  std::optional<std::string_view> token;
  while (!rest.empty() && rest[0] != kSeparator) {
    std::string_view key;
    std::string_view value;
    if (!TakePair(&rest, &key, &value)) return std::nullopt;
    if (key == "auth") {
      constexpr std::string_view kBearer = "Bearer ";
      if (token || !EqualsIgnoreCase(value.substr(0, kBearer.size()), kBearer)) return std::nullopt;
      token = value.substr(kBearer.size());
    } else if (key == "user" && user != nullptr) {
      user->assign(value);
    }
  }
  if (rest.size() != 1 || !token || !IsToken(*token)) return std::nullopt;
  return token;
}

}  // namespace

std::optional<BearerMessage> ParseOAuthBearerMessage(std::string_view message) {
  BearerMessage parsed;
  // RFC 5801 §4: gs2-header; there is no channel binding in this mechanism.
  if (!message.starts_with("n,") && !message.starts_with("y,")) return std::nullopt;
  message.remove_prefix(2);
  const size_t comma = message.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const std::string_view name = message.substr(0, comma);
  if (!name.empty()) {
    std::optional<std::string> user =
        name.starts_with("a=") ? DecodeSaslName(name.substr(2)) : std::nullopt;
    if (!user) return std::nullopt;
    parsed.user = std::move(*user);
  }
  message.remove_prefix(comma + 1);
  if (!message.starts_with(kSeparator)) return std::nullopt;
  message.remove_prefix(1);
  const std::optional<std::string_view> token = TakeToken(message, nullptr);
  if (!token) return std::nullopt;
  parsed.token = *token;
  return parsed;
}

std::optional<BearerMessage> ParseXOAuth2Message(std::string_view message) {
  BearerMessage parsed;
  const std::optional<std::string_view> token = TakeToken(message, &parsed.user);
  if (!token || parsed.user.find('\0') != std::string::npos) return std::nullopt;
  parsed.token = *token;
  return parsed;
}

}  // namespace postern::sasl
