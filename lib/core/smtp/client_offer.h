// What a server offers in its reply to EHLO, and what a message may use of it: the client's half of
// extensions.h.
#pragma once

#include <optional>
#include <string>

#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/smtp/client_session.h"

namespace postern::smtp {

// ParseOffer reads a 250 to EHLO or LHLO; what is malformed or unknown is passed over.
ServerOffer ParseOffer(const mail::Reply& reply);

// CannotCarry tells why a server with this offer cannot be given a message, as the reply that its
// recipients get; nullopt when it can be: RFC 1870 §6.1 (SIZE), RFC 6531 §3.3 (SMTPUTF8), RFC 3030
// §3 (BINARYMIME).
std::optional<mail::Reply> CannotCarry(const ServerOffer& offer, const mail::ReversePath& path);

// AppendMail and AppendRcpt write the commands with CRLF, with the parameters that are offered.
void AppendMail(const ServerOffer& offer, const mail::ReversePath& path, std::string& out);
void AppendRcpt(const ServerOffer& offer, const mail::ForwardPath& path, std::string& out);

}  // namespace postern::smtp
