#include "lib/core/sasl/scram_message.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"

namespace postern::sasl {
namespace {

// TakeValue cuts "<name>=<value>" and the comma behind it off the front of `*rest`.
std::optional<std::string_view> TakeValue(char name, std::string_view* rest) {
  if (rest->size() < 2 || (*rest)[0] != name || (*rest)[1] != '=') return std::nullopt;
  const size_t end = std::min(rest->find(','), rest->size());
  const std::string_view value = rest->substr(2, end - 2);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return value;
}

// RFC 5802 §7: nonce is printable ASCII but the comma.
bool IsNonce(std::string_view text) {
  return !text.empty() && text.size() <= kMostScramNonceBytes &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAsciiPrintable(c) && c != ' ' && c != ','; });
}

bool IsBindingName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return IsAsciiAlnum(c) || c == '.' || c == '-';
  });
}

}  // namespace

std::optional<ScramClientFirst> ParseScramClientFirst(std::string_view message) {
  ScramClientFirst first;
  std::string_view rest = message;
  const size_t flag_end = rest.find(',');
  if (flag_end == std::string_view::npos) return std::nullopt;
  const std::string_view flag = rest.substr(0, flag_end);
  rest.remove_prefix(flag_end + 1);
  if (flag == "n" || flag == "y") {
    first.binding_flag = flag[0];
  } else if (flag.starts_with("p=") && IsBindingName(flag.substr(2))) {
    first.binding_flag = 'p';
    first.binding_name = flag.substr(2);
  } else {
    return std::nullopt;
  }
  if (rest.starts_with("a=")) {
    const auto encoded = TakeValue('a', &rest);
    std::optional<std::string> name = encoded ? DecodeSaslName(*encoded) : std::nullopt;
    if (!name) return std::nullopt;
    first.authorization_id = std::move(*name);
  } else if (rest.starts_with(',')) {
    rest.remove_prefix(1);
  } else {
    return std::nullopt;
  }
  first.header = message.substr(0, message.size() - rest.size());
  first.bare = rest;
  // RFC 5802 §5.1: "m=" in front is an extension that must be understood; there is none.
  const auto encoded = TakeValue('n', &rest);
  std::optional<std::string> user = encoded ? DecodeSaslName(*encoded) : std::nullopt;
  const auto nonce = TakeValue('r', &rest);
  if (!user || !nonce || !IsNonce(*nonce)) return std::nullopt;
  first.user = std::move(*user);
  first.nonce = *nonce;
  return first;
}

std::optional<ScramServerFirst> ParseScramServerFirst(std::string_view message) {
  ScramServerFirst first;
  const auto nonce = TakeValue('r', &message);
  const auto salt = TakeValue('s', &message);
  const auto iterations = TakeValue('i', &message);
  if (!nonce || !IsNonce(*nonce) || !salt || !iterations) return std::nullopt;
  std::optional<std::string> octets = mail::Base64Decode(*salt);
  const std::optional<uint64_t> count = ParseUint(*iterations);
  if (!octets || octets->empty() || !count || *count > UINT32_MAX) return std::nullopt;
  first.nonce = *nonce;
  first.salt = std::move(*octets);
  first.iterations = static_cast<uint32_t>(*count);
  return first;
}

std::optional<ScramClientFinal> ParseScramClientFinal(std::string_view message) {
  ScramClientFinal final_message;
  // The proof is the last; extensions may stand before it.
  const size_t proof_at = message.rfind(",p=");
  if (proof_at == std::string_view::npos) return std::nullopt;
  final_message.without_proof = message.substr(0, proof_at);
  std::optional<std::string> proof = mail::Base64Decode(message.substr(proof_at + 3));
  std::string_view rest = final_message.without_proof;
  const auto binding = TakeValue('c', &rest);
  const auto nonce = TakeValue('r', &rest);
  if (!proof || !binding || !nonce) return std::nullopt;
  std::optional<std::string> octets = mail::Base64Decode(*binding);
  if (!octets) return std::nullopt;
  final_message.binding = std::move(*octets);
  final_message.nonce = *nonce;
  final_message.proof = std::move(*proof);
  return final_message;
}

std::string EncodeSaslName(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ',') {
      out += "=2C";
    } else if (c == '=') {
      out += "=3D";
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> DecodeSaslName(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::string out;
  while (!text.empty()) {
    const char c = text[0];
    if (c == '\0' || c == ',') return std::nullopt;
    if (c != '=') {
      out += c;
      text.remove_prefix(1);
    } else if (text.starts_with("=2C")) {
      out += ',';
      text.remove_prefix(3);
    } else if (text.starts_with("=3D")) {
      out += '=';
      text.remove_prefix(3);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace postern::sasl
