#include "lib/service/relay/carriage.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/service/relay/made_reply.h"

namespace postern::relay {
namespace {

using message::Carriage;

// AsciiPaths tells whether nothing but the text could need SMTPUTF8.
bool AsciiPaths(const smtp::OutgoingMessage& message) {
  const auto ascii = [](const mail::Address& address) {
    return IsAscii(address.local_part) && IsAscii(address.domain);
  };
  return ascii(message.reverse_path.address) &&
         std::all_of(message.recipients.begin(), message.recipients.end(),
                     [&ascii](const mail::ForwardPath& path) {
                       return ascii(path.address) && IsAscii(path.dsn_original_recipient);
                     });
}

}  // namespace

std::optional<Carriage> CarriageFor(const smtp::ServerOffer& offer,
                                    const smtp::OutgoingMessage& message) {
  const Carriage least = offer.eight_bit_mime ? Carriage::k8BitLines : Carriage::k7BitLines;
  const mail::ReversePath& path = message.reverse_path;
  // The header tells whether it needs the SMTPUTF8 that it came with.
  if (path.smtputf8 && !offer.smtputf8 && AsciiPaths(message)) return least;
  switch (path.body) {
    case mail::BodyType::kBinaryMime:
      if (offer.binary_mime && offer.chunking) return std::nullopt;
      return least;
    case mail::BodyType::k8BitMime:
      if (offer.eight_bit_mime) return std::nullopt;
      return least;
    case mail::BodyType::k7Bit: break;
  }
  return std::nullopt;
}

void TakeCarried(const smtp::ServerOffer& offer, const schedule::CarriedBody& carried,
                 smtp::OutgoingMessage* message) {
  mail::ReversePath& path = message->reverse_path;
  path.body =
      carried.eight_bit && offer.eight_bit_mime ? mail::BodyType::k8BitMime : mail::BodyType::k7Bit;
  path.declared_size_bytes = carried.body->size_bytes();
  if (!offer.smtputf8 && !carried.eight_bit_header && AsciiPaths(*message)) path.smtputf8 = false;
}

mail::Reply CannotConvert(const std::string& host, Carriage carriage, const Status& why) {
  const std::string_view lacking = carriage == Carriage::k7BitLines ? "8-bit text" : "binary data";
  return Made(554, 6, 3,
              StrCat("The server ", host, " takes no ", lacking, ", and ", Message(why)));
}

}  // namespace postern::relay
