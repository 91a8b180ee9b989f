// What a message must be made fit for before its next server may have it.
//
// A server that does not offer 8BITMIME is given seven bits, in the body by transfer encodings (RFC
// 6152 §3) and in header fields by encoded words (message/ascii_field.h): Postfix converts bodies
// and sends header fields as they are, OpenSMTPD sends all as it is. One with 8BITMIME gets header
// fields as they came even when it lacks SMTPUTF8, as from all mail servers in use: UTF-8 there
// without SMTPUTF8 is older than RFC 6532, and to rewrite it would break the signatures of mail
// that arrives. Only a message that was begun with SMTPUTF8 is held to RFC 6531 §3.2: without
// 8-bit octets in header fields and paths it needs no SMTPUTF8 and goes without; otherwise it is
// returned, since a relay is not to rewrite it (ibid.).
#pragma once

#include <optional>
#include <string>

#include "lib/core/base/status.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/message/transfer_downgrade.h"
#include "lib/core/smtp/client_session.h"
#include "lib/service/schedule/carried_body.h"

namespace postern::relay {

// CarriageFor tells what the text of `message` must be made fit for, or looked through for, before
// a server with `offer` may have it; nullopt when it can go as it is.
std::optional<message::Carriage> CarriageFor(const smtp::ServerOffer& offer,
                                             const smtp::OutgoingMessage& message);

// TakeCarried writes into the envelope of `message` what `carried`, made for CarriageFor, is.
void TakeCarried(const smtp::ServerOffer& offer, const schedule::CarriedBody& carried,
                 smtp::OutgoingMessage* message);

// CannotConvert is the answer for a message that its next server cannot be given in any form.
mail::Reply CannotConvert(const std::string& host, message::Carriage carriage, const Status& why);

}  // namespace postern::relay
