// A client that answers SASL questions with anything.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "lib/core/sasl/server_exchange.h"

using postern::sasl::Mechanism;
using postern::sasl::ServerExchange;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  ServerExchange exchange((data[0] & 1) != 0 ? Mechanism::kPlain : Mechanism::kLogin,
                          {.max_name_bytes = 64, .max_password_bytes = 64});
  const auto next_line = [&input] {
    const size_t end = input.find('\n');
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    return line;
  };
  std::optional<std::string_view> initial;
  if ((data[0] & 2) != 0) initial = next_line();
  ServerExchange::Progress progress = exchange.Begin(initial);
  for (int turn = 0; progress == ServerExchange::Progress::kChallenge; ++turn) {
    if (turn > 3) std::abort();
    progress = exchange.Respond(next_line());
  }
  const auto& credentials = exchange.credentials();
  const bool done = progress == ServerExchange::Progress::kDone;
  if (done == credentials.authentication_id.empty() || done == credentials.password.empty())
    std::abort();
  if (credentials.authentication_id.find('\0') != std::string::npos ||
      credentials.password.size() > 64)
    std::abort();
  if (progress == ServerExchange::Progress::kMalformed && exchange.error().empty()) std::abort();
  return 0;
}
