// A client that answers SASL questions with anything.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "lib/core/sasl/scram.h"
#include "lib/core/sasl/server_exchange.h"

using postern::sasl::Mechanism;
using postern::sasl::ServerExchange;
using Progress = ServerExchange::Progress;

namespace {

// The first two are those that seeds of before the others name.
constexpr Mechanism kMechanisms[] = {
    Mechanism::kLogin,           Mechanism::kPlain,    Mechanism::kScramSha1,
    Mechanism::kScramSha1Plus,   Mechanism::kExternal, Mechanism::kScramSha256,
    Mechanism::kScramSha256Plus, Mechanism::kXOAuth2,  Mechanism::kOAuthBearer,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Mechanism mechanism =
      kMechanisms[((data[0] & 1) + (data[0] >> 2) * 2) % std::size(kMechanisms)];
  ServerExchange exchange(mechanism,
                          {.max_name_bytes = 64, .max_password_bytes = 64, .max_token_bytes = 64},
                          {.exporter = "exporter", .end_point = "end point"}, true);
  const auto next_line = [&input] {
    const size_t end = input.find('\n');
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    return line;
  };
  // What is stored is text of an operator's, and may be anything, too.
  (void)postern::sasl::ParseScramSecret(input);
  std::optional<std::string_view> initial;
  if ((data[0] & 2) != 0) initial = next_line();
  Progress progress = exchange.Begin(initial);
  for (int turn = 0; progress == Progress::kChallenge || progress == Progress::kNeedSecret;
       ++turn) {
    if (turn > 5) std::abort();
    if (progress == Progress::kNeedSecret) {
      postern::sasl::ScramSecret secret;
      secret.iterations = 1;
      secret.salt = "salt";
      secret.stored_key = std::string(32, 'k');
      secret.server_key = std::string(32, 'k');
      progress = exchange.GiveSecret(std::move(secret), "nonce");
    } else {
      progress = exchange.Respond(next_line());
    }
  }
  const auto& credentials = exchange.credentials();
  const bool done = progress == Progress::kDone;
  const bool password = mechanism == Mechanism::kPlain || mechanism == Mechanism::kLogin;
  const bool named = password || IsScram(mechanism);
  if (named && done == credentials.authentication_id.empty()) std::abort();
  if (password && done == credentials.password.empty()) std::abort();
  // Nobody finds the proof for a key whose preimage nobody knows.
  if (exchange.proven()) std::abort();
  if (credentials.authentication_id.find('\0') != std::string::npos ||
      credentials.authorization_id.find('\0') != std::string::npos ||
      credentials.authentication_id.size() > 64 || credentials.password.size() > 64)
    std::abort();
  if (progress == Progress::kMalformed && exchange.error().empty()) std::abort();
  if (done && exchange.Refuse() == Progress::kChallenge &&
      exchange.Respond(next_line()) != Progress::kRefused)
    std::abort();
  return 0;
}
