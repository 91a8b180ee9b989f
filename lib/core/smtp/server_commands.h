// What stands in a command line: the verb, paths and arguments (RFC 5321 §4.1.1). Views into the
// line.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/sasl/server_exchange.h"
#include "lib/core/smtp/server_options.h"
#include "lib/core/smtp/server_states.h"

namespace postern::smtp {

struct CommandLine {
  Command command = Command::kUnknown;
  std::string_view verb;
  std::string_view arguments;  // without blanks at both ends
};

// ParseCommandLine splits `line` (without its end). A line with a control octet other than TAB is
// kUnknown with an empty verb.
CommandLine ParseCommandLine(std::string_view line);

// HelloName reads the argument of EHLO or HELO: a domain or an address literal, taken leniently
// (underscores, no dots), because RFC 5321 §4.1.4 forbids refusing mail for it; but only octets
// that are safe in a header and a log. nullopt when it is not.
std::optional<std::string_view> HelloName(std::string_view arguments);

// ParseMail reads "FROM:<path> parameters" into `path`; code 0, or the reply that refuses it.
// `offered` are the extensions whose parameters may be used.
mail::Reply ParseMail(std::string_view arguments, uint32_t offered, const ServerOptions& options,
                      mail::ReversePath& path);

// ParseRcpt reads "TO:<path> parameters". `smtputf8` is what MAIL said.
mail::Reply ParseRcpt(std::string_view arguments, uint32_t offered, const ServerOptions& options,
                      bool smtputf8, mail::ForwardPath& path);

// BdatArguments is "size [LAST]" (RFC 3030 §2).
struct BdatArguments {
  uint64_t size = 0;
  bool last = false;
};
// ParseBdat reads them; nullopt when the size is not one, so that nobody knows where the chunk
// ends.
std::optional<BdatArguments> ParseBdat(std::string_view arguments);

// AuthArguments is "mechanism [initial-response]" (RFC 4954 §4).
struct AuthArguments {
  std::string_view mechanism;
  std::optional<std::string_view> initial_response;
};
// ParseAuth reads them; nullopt when the syntax is wrong.
std::optional<AuthArguments> ParseAuth(std::string_view arguments);

}  // namespace postern::smtp
