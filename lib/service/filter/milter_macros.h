// What milters are told beside the commands themselves, as Sendmail and Postfix tell it.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/mail/address.h"
#include "lib/core/mail/reply.h"
#include "lib/core/milter/macros.h"
#include "lib/service/smtp/backend.h"

namespace postern::service {

// ClientName is the client's confirmed name, or its address in brackets where it has none: what the
// documentation of libmilter promises at connect.
std::string MilterClientName(const SmtpSessionFacts& facts);

// Each sets, in `*table`, what is known from a step on; what is not known is unset.
void SetConnectMacros(const SmtpSessionFacts& facts, milter::MacroTable* table);
void SetHeloMacros(const SmtpSessionFacts& facts, milter::MacroTable* table);
// `mechanism` is that of AUTH.
void SetMailMacros(const SmtpSessionFacts& facts, const mail::Address& sender,
                   std::string_view message_id, std::string_view mechanism,
                   milter::MacroTable* table);
void SetRcptMacros(const mail::Address& recipient, milter::MacroTable* table);
// SetRejectedRcptMacros is for a recipient that we refused.
void SetRejectedRcptMacros(const mail::Reply& reply, milter::MacroTable* table);

}  // namespace postern::service
