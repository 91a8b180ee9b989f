#include "lib/core/smtp/client_offer.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/xtext.h"

namespace postern::smtp {
namespace {

using Words = std::vector<std::string_view>;

struct OfferRow {
  std::string_view keyword;
  void (*take)(const Words& arguments, ServerOffer& offer);
};

void TakeSize(const Words& arguments, ServerOffer& offer) {
  offer.size = true;
  if (!arguments.empty()) offer.max_size = ParseUint(arguments[0]).value_or(0);
}

void TakeAuth(const Words& arguments, ServerOffer& offer) {
  for (const std::string_view mechanism : arguments) {
    if (EqualsIgnoreCase(mechanism, "PLAIN")) offer.auth_plain = true;
    if (EqualsIgnoreCase(mechanism, "LOGIN")) offer.auth_login = true;
    if (EqualsIgnoreCase(mechanism, "SCRAM-SHA-256")) offer.auth_scram_sha256 = true;
    if (EqualsIgnoreCase(mechanism, "SCRAM-SHA-1")) offer.auth_scram_sha1 = true;
  }
}

void TakeLimits(const Words& arguments, ServerOffer& offer) {
  for (const std::string_view limit : arguments) {
    const size_t equals = limit.find('=');
    if (equals == std::string_view::npos) continue;
    const uint64_t value = ParseUint(limit.substr(equals + 1), 999'999)
                               .value_or(0);  // RFC 9422 §3: at most six digits
    if (EqualsIgnoreCase(limit.substr(0, equals), "RCPTMAX")) offer.limit_recipients = value;
    if (EqualsIgnoreCase(limit.substr(0, equals), "MAILMAX")) offer.limit_messages = value;
  }
}

constexpr OfferRow kOffers[] = {
    {"STARTTLS", [](const Words&, ServerOffer& offer) { offer.starttls = true; }},
    {"PIPELINING", [](const Words&, ServerOffer& offer) { offer.pipelining = true; }},
    {"8BITMIME", [](const Words&, ServerOffer& offer) { offer.eight_bit_mime = true; }},
    {"SMTPUTF8", [](const Words&, ServerOffer& offer) { offer.smtputf8 = true; }},
    {"DSN", [](const Words&, ServerOffer& offer) { offer.dsn = true; }},
    {"CHUNKING", [](const Words&, ServerOffer& offer) { offer.chunking = true; }},
    {"BINARYMIME", [](const Words&, ServerOffer& offer) { offer.binary_mime = true; }},
    {"ENHANCEDSTATUSCODES", [](const Words&, ServerOffer& offer) { offer.enhanced_codes = true; }},
    {"SIZE", TakeSize},
    {"AUTH", TakeAuth},
    {"LIMITS", TakeLimits},
};

// SafePath writes an address between brackets. What our own parser let in has no octet that could
// end the line; the check is for what was put in by hand.
void AppendPath(const mail::Address& address, std::string& out) {
  out.push_back('<');
  for (const char c : address.ToString())
    out.push_back(c == '\r' || c == '\n' || c == '\0' ? '?' : c);
  out.push_back('>');
}

}  // namespace

ServerOffer ParseOffer(const mail::Reply& reply) {
  ServerOffer offer;
  offer.extended = true;
  if (!reply.lines.empty()) {
    const Words first = SplitWords(reply.lines[0]);
    if (!first.empty()) offer.name = std::string(first[0]);
  }
  for (size_t i = 1; i < reply.lines.size(); ++i) {
    std::string line = reply.lines[i];
    // "AUTH=LOGIN PLAIN" is how servers of the nineties spelled it.
    if (StartsWithIgnoreCase(line, "AUTH=")) line[4] = ' ';
    Words words = SplitWords(line);
    if (words.empty()) continue;
    const std::string_view keyword = words[0];
    words.erase(words.begin());
    for (const OfferRow& row : kOffers) {
      if (EqualsIgnoreCase(keyword, row.keyword)) row.take(words, offer);
    }
  }
  return offer;
}

std::optional<mail::Reply> CannotCarry(const ServerOffer& offer, const mail::ReversePath& path) {
  if (offer.max_size > 0 && path.declared_size_bytes.value_or(0) > offer.max_size) {
    return mail::Reply(552, {5, 3, 4},
                       StrCat("The message has ", *path.declared_size_bytes,
                              " octets; the server takes ", offer.max_size));
  }
  if (path.smtputf8 && !offer.smtputf8)
    return mail::Reply(553, {5, 6, 7},
                       "The message needs SMTPUTF8, which the server does not offer");
  if (path.body == mail::BodyType::kBinaryMime && !(offer.binary_mime && offer.chunking)) {
    return mail::Reply(554, {5, 6, 3},
                       "The message needs BINARYMIME, which the server does not offer");
  }
  return std::nullopt;
}

void AppendMail(const ServerOffer& offer, const mail::ReversePath& path, std::string& out) {
  out.append("MAIL FROM:");
  AppendPath(path.address, out);
  if (offer.size && path.declared_size_bytes.has_value())
    StrAppend(out, " SIZE=", *path.declared_size_bytes);
  if (offer.eight_bit_mime && path.body == mail::BodyType::k8BitMime) out.append(" BODY=8BITMIME");
  if (offer.binary_mime && path.body == mail::BodyType::kBinaryMime) out.append(" BODY=BINARYMIME");
  if (offer.smtputf8 && path.smtputf8) out.append(" SMTPUTF8");
  if (offer.dsn && path.dsn_return == mail::DsnReturn::kFull) out.append(" RET=FULL");
  if (offer.dsn && path.dsn_return == mail::DsnReturn::kHeaders) out.append(" RET=HDRS");
  if (offer.dsn && !path.dsn_envelope_id.empty())
    StrAppend(out, " ENVID=", mail::XtextEncode(path.dsn_envelope_id));
  out.append("\r\n");
}

void AppendRcpt(const ServerOffer& offer, const mail::ForwardPath& path, std::string& out) {
  out.append("RCPT TO:");
  AppendPath(path.address, out);
  if (offer.dsn && path.dsn_notify != mail::kNotifyUnset) {
    std::string notify;
    constexpr std::pair<uint8_t, std::string_view> kWords[] = {{mail::kNotifyNever, "NEVER"},
                                                               {mail::kNotifySuccess, "SUCCESS"},
                                                               {mail::kNotifyFailure, "FAILURE"},
                                                               {mail::kNotifyDelay, "DELAY"}};
    for (const auto& [bit, word] : kWords) {
      if ((path.dsn_notify & bit) != 0) StrAppend(notify, notify.empty() ? "" : ",", word);
    }
    StrAppend(out, " NOTIFY=", notify);
  }
  if (offer.dsn && !path.dsn_original_recipient.empty()) {
    const std::string_view original = path.dsn_original_recipient;
    const size_t semicolon = original.find(';');
    if (semicolon != std::string_view::npos) {
      const std::string_view type = original.substr(0, semicolon);
      const std::string_view address = original.substr(semicolon + 1);
      const bool utf8 = EqualsIgnoreCase(type, "utf-8");
      // RFC 6533 §3: the utf-8 type has an encoding of its own, in ASCII, that every server can
      // carry.
      StrAppend(out, " ORCPT=", type, ";",
                utf8 ? mail::Utf8AddressEncode(address) : mail::XtextEncode(address));
    }
  }
  out.append("\r\n");
}

}  // namespace postern::smtp
