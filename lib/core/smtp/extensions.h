// The ESMTP extensions of the server, a row each: what EHLO says of them, and which parameters of
// MAIL and RCPT they bring.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/smtp/server_options.h"

namespace postern::smtp {

// Offer is what the offers of a session depend on besides the options.
struct Offer {
  bool in_tls = false;
  bool authenticated = false;
};

// OfferedExtensions gives the set of Extension bits that EHLO announces now.
uint32_t OfferedExtensions(const ServerOptions& options, const Offer& offer);

// AppendEhloLines adds one line of EHLO reply text ("SIZE 1000") for each extension of `offered` to
// `lines`; `mechanisms` are those of AUTH.
void AppendEhloLines(const ServerOptions& options, uint32_t offered, sasl::MechanismSet mechanisms,
                     std::vector<std::string>& lines);

// ParseMailParameters reads what follows the path of MAIL ("SIZE=5 BODY=8BITMIME") into `path`. An
// error is the reply to give: 501 5.5.4 for syntax, 555 5.5.4 for a parameter that is not offered
// (RFC 5321 §4.1.1.11), 552 5.3.4 for SIZE. code 0: fine.
mail::Reply ParseMailParameters(std::string_view text, uint32_t offered,
                                const ServerOptions& options, mail::ReversePath& path);

// ParseRcptParameters is the same for RCPT.
mail::Reply ParseRcptParameters(std::string_view text, uint32_t offered,
                                const ServerOptions& options, mail::ForwardPath& path);

}  // namespace postern::smtp
