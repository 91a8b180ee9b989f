#include "lib/core/smtp/extensions.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"

namespace postern::smtp {
namespace {

using mail::EnhancedStatus;
using mail::Reply;

// RFC 3461 §4.4 and §4.2: ENVID has at most 100 characters, ORCPT 500.
constexpr size_t kMaxEnvidBytes = 100;
constexpr size_t kMaxOrcptBytes = 500;
// RFC 4954 §5: AUTH= has at most 500 characters.
constexpr size_t kMaxAuthBytes = 500;
constexpr size_t kMaxParameters = 16;

Reply BadValue(std::string_view keyword) {
  return Reply(501, {5, 5, 4},
               StrCat("Invalid command arguments: ", AsciiUpper(keyword), " has a bad value"));
}

// RFC 5321 §4.1.1.11: a parameter stands there once.
Reply Twice(std::string_view keyword) {
  return Reply(501, {5, 5, 4},
               StrCat("Invalid command arguments: ", AsciiUpper(keyword), " stands there twice"));
}

bool IsPrintableAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), IsAsciiPrintable);
}

// --- the lines of EHLO
// ------------------------------------------------------------------------------------------------

std::string PlainLine(std::string_view keyword, const ServerOptions&, sasl::MechanismSet) {
  return std::string(keyword);
}

std::string SizeLine(std::string_view keyword, const ServerOptions& options, sasl::MechanismSet) {
  // RFC 1870 §4: without a number there is no fixed maximum.
  if (options.max_message_bytes == 0) return std::string(keyword);
  return StrCat(keyword, " ", options.max_message_bytes);
}

std::string AuthLine(std::string_view keyword, const ServerOptions&,
                     sasl::MechanismSet mechanisms) {
  std::string line(keyword);
  for (const std::string_view name : sasl::Names(mechanisms)) StrAppend(line, " ", name);
  return line;
}

std::string LimitsLine(std::string_view keyword, const ServerOptions& options, sasl::MechanismSet) {
  std::string line(keyword);
  if (options.max_messages > 0)
    StrAppend(line, " MAILMAX=", options.max_messages);  // RFC 9422 §4.1
  if (options.max_recipients > 0)
    StrAppend(line, " RCPTMAX=", options.max_recipients);  // RFC 9422 §4.2
  return line;
}

// --- when they are offered
// --------------------------------------------------------------------------------------------

bool Always(const ServerOptions&, const Offer&) { return true; }

bool WithChunking(const ServerOptions& options, const Offer&) {
  return (options.extensions & kExtensionChunking) != 0;  // RFC 3030 §3: BINARYMIME wants CHUNKING
}

bool BeforeTls(const ServerOptions& options, const Offer& offer) {
  return options.tls_available && !offer.in_tls;  // RFC 3207 §4.2: not in TLS
}

bool BeforeAuth(const ServerOptions& options, const Offer& offer) {
  return options.auth_available && !offer.authenticated &&
         (offer.in_tls || options.auth_without_tls);
}

// --- the parameters of MAIL
// -------------------------------------------------------------------------------------------

Reply SizeParameter(std::string_view keyword, std::string_view value, const ServerOptions& options,
                    mail::ReversePath& path) {
  // RFC 1870 §3: 1*20DIGIT. What does not fit 64 bits is too big for anybody.
  if (value.empty() || value.size() > 20 || !std::all_of(value.begin(), value.end(), IsAsciiDigit))
    return BadValue(keyword);
  const std::optional<uint64_t> size = ParseUint(value);
  if (!size.has_value() || (options.max_message_bytes > 0 && *size > options.max_message_bytes)) {
    return Reply(
        552, {5, 3, 4},
        StrCat("Message size exceeds the limit of ", options.max_message_bytes, " octets"));
  }
  path.declared_size_bytes = *size;
  return {};
}

Reply BodyParameter(std::string_view keyword, std::string_view value, const ServerOptions& options,
                    mail::ReversePath& path) {
  if (EqualsIgnoreCase(value, "7BIT")) {
    path.body = mail::BodyType::k7Bit;
  } else if (EqualsIgnoreCase(value, "8BITMIME")) {
    path.body = mail::BodyType::k8BitMime;
  } else if (EqualsIgnoreCase(value, "BINARYMIME") &&
             (options.extensions & kExtensionBinaryMime) != 0 &&
             (options.extensions & kExtensionChunking) != 0) {
    path.body = mail::BodyType::kBinaryMime;
  } else {
    return BadValue(keyword);
  }
  return {};
}

Reply SmtpUtf8Parameter(std::string_view, std::string_view, const ServerOptions&,
                        mail::ReversePath& path) {
  path.smtputf8 = true;
  return {};
}

Reply RetParameter(std::string_view keyword, std::string_view value, const ServerOptions&,
                   mail::ReversePath& path) {
  if (EqualsIgnoreCase(value, "FULL")) {
    path.dsn_return = mail::DsnReturn::kFull;
  } else if (EqualsIgnoreCase(value, "HDRS")) {
    path.dsn_return = mail::DsnReturn::kHeaders;
  } else {
    return BadValue(keyword);
  }
  return {};
}

Reply EnvidParameter(std::string_view keyword, std::string_view value, const ServerOptions&,
                     mail::ReversePath& path) {
  std::optional<std::string> decoded = mail::XtextDecode(value);
  // RFC 3461 §4.4: what it decodes to is printable US-ASCII; anything else would end in a delivery
  // report as it is.
  if (value.empty() || value.size() > kMaxEnvidBytes || !decoded.has_value() ||
      !IsPrintableAscii(*decoded)) {
    return BadValue(keyword);
  }
  path.dsn_envelope_id = *std::move(decoded);
  return {};
}

Reply AuthParameter(std::string_view keyword, std::string_view value, const ServerOptions&,
                    mail::ReversePath& path) {
  std::optional<std::string> decoded = mail::XtextDecode(value);
  if (value.empty() || value.size() > kMaxAuthBytes || !decoded.has_value() ||
      !IsPrintableAscii(*decoded)) {
    return BadValue(keyword);
  }
  // RFC 4954 §5: "<>" or an addr-spec.
  if (*decoded != "<>" &&
      !mail::ParseAddress(*decoded, {.allow_utf8 = false, .allow_no_domain = true}).ok()) {
    return BadValue(keyword);
  }
  path.auth = *std::move(decoded);
  return {};
}

// --- the parameters of RCPT
// -------------------------------------------------------------------------------------------

Reply NotifyParameter(std::string_view keyword, std::string_view value, const ServerOptions&,
                      mail::ForwardPath& path) {
  uint8_t notify = mail::kNotifyUnset;
  for (const std::string_view word : Split(value, ',')) {
    uint8_t bit = 0;
    if (EqualsIgnoreCase(word, "NEVER")) bit = mail::kNotifyNever;
    if (EqualsIgnoreCase(word, "SUCCESS")) bit = mail::kNotifySuccess;
    if (EqualsIgnoreCase(word, "FAILURE")) bit = mail::kNotifyFailure;
    if (EqualsIgnoreCase(word, "DELAY")) bit = mail::kNotifyDelay;
    if (bit == 0 || (notify & bit) != 0) return BadValue(keyword);
    notify |= bit;
  }
  // RFC 3461 §4.1: NEVER stands alone.
  if ((notify & mail::kNotifyNever) != 0 && notify != mail::kNotifyNever) return BadValue(keyword);
  path.dsn_notify = notify;
  return {};
}

Reply OrcptParameter(std::string_view keyword, std::string_view value, const ServerOptions&,
                     mail::ForwardPath& path) {
  // RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext; RFC 6533 §3 for the type
  // utf-8.
  const size_t semicolon = value.find(';');
  if (value.size() > kMaxOrcptBytes || semicolon == std::string_view::npos || semicolon == 0)
    return BadValue(keyword);
  const std::string_view type = value.substr(0, semicolon);
  const std::string_view address = value.substr(semicolon + 1);
  if (!std::all_of(type.begin(), type.end(), [](char c) { return IsAsciiAlnum(c) || c == '-'; }))
    return BadValue(keyword);
  std::optional<std::string> decoded;
  if (EqualsIgnoreCase(type, "utf-8")) {
    decoded = mail::Utf8AddressDecode(address);
    if (decoded.has_value() && !std::all_of(decoded->begin(), decoded->end(), [](char c) {
          return IsAsciiPrintable(c) || !IsAscii(c);
        })) {
      return BadValue(keyword);
    }
  } else {
    decoded = mail::XtextDecode(address);
    if (decoded.has_value() && !IsPrintableAscii(*decoded)) return BadValue(keyword);
  }
  if (!decoded.has_value() || decoded->empty()) return BadValue(keyword);
  path.dsn_original_recipient = StrCat(AsciiLower(type), ";", *decoded);
  return {};
}

// --- the rows
// ---------------------------------------------------------------------------------------------------------

struct ExtensionRow {
  Extension bit;
  std::string_view keyword;
  bool (*offered)(const ServerOptions&, const Offer&);
  std::string (*line)(std::string_view keyword, const ServerOptions&, sasl::MechanismSet);
};

// In the order in which EHLO tells them.
constexpr ExtensionRow kExtensions[] = {
    {kExtensionEightBitMime, "8BITMIME", Always, PlainLine},
    {kExtensionEnhancedCodes, "ENHANCEDSTATUSCODES", Always, PlainLine},
    {kExtensionPipelining, "PIPELINING", Always, PlainLine},
    {kExtensionChunking, "CHUNKING", Always, PlainLine},
    {kExtensionBinaryMime, "BINARYMIME", WithChunking, PlainLine},
    {kExtensionSmtpUtf8, "SMTPUTF8", Always, PlainLine},
    {kExtensionSize, "SIZE", Always, SizeLine},
    {kExtensionDsn, "DSN", Always, PlainLine},
    {kExtensionLimits, "LIMITS", Always, LimitsLine},
    {kExtensionStartTls, "STARTTLS", BeforeTls, PlainLine},
    {kExtensionAuth, "AUTH", BeforeAuth, AuthLine},
    {kExtensionHelp, "HELP", Always, PlainLine},
};

template <typename Path>
struct ParameterRow {
  std::string_view keyword;
  uint32_t extension;
  bool has_value;
  Reply (*parse)(std::string_view keyword, std::string_view value, const ServerOptions&, Path&);
};

constexpr ParameterRow<mail::ReversePath> kMailParameters[] = {
    {"SIZE", kExtensionSize, true, SizeParameter},
    {"BODY", kExtensionEightBitMime, true, BodyParameter},
    {"SMTPUTF8", kExtensionSmtpUtf8, false, SmtpUtf8Parameter},
    {"RET", kExtensionDsn, true, RetParameter},
    {"ENVID", kExtensionDsn, true, EnvidParameter},
    {"AUTH", kExtensionAuth, true, AuthParameter},
};

constexpr ParameterRow<mail::ForwardPath> kRcptParameters[] = {
    {"NOTIFY", kExtensionDsn, true, NotifyParameter},
    {"ORCPT", kExtensionDsn, true, OrcptParameter},
};

// RFC 5321 §4.1.1.11: esmtp-keyword ["=" esmtp-value]; the value has no "=", blank or control, and
// may be UTF-8 (RFC 6531 §3.3).
bool IsEsmtpValue(std::string_view value) {
  for (const char c : value) {
    if (IsAscii(c) && (!IsAsciiPrintable(c) || c == ' ')) return false;
  }
  return true;
}

bool IsEsmtpKeyword(std::string_view keyword) {
  if (keyword.empty() || !IsAsciiAlnum(keyword[0])) return false;
  return std::all_of(keyword.begin(), keyword.end(),
                     [](char c) { return IsAsciiAlnum(c) || c == '-'; });
}

template <typename Path, size_t kRows>
Reply ParseParameters(const ParameterRow<Path> (&rows)[kRows], std::string_view text,
                      uint32_t offered, const ServerOptions& options, Path& path) {
  static_assert(kRows <= 32);
  uint32_t seen = 0;
  size_t count = 0;
  while (true) {
    const size_t start = text.find_first_not_of(' ');
    if (start == std::string_view::npos) return {};
    // A parameter is parted from the path and from the next one by a blank.
    if (start == 0)
      return Reply(501, {5, 5, 4},
                   "Invalid command arguments: a blank is missing before the parameters");
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string_view parameter = text.substr(start, end - start);
    text.remove_prefix(end);
    const size_t equals = parameter.find('=');
    const std::string_view keyword = parameter.substr(0, equals);
    const bool has_value = equals != std::string_view::npos;
    const std::string_view value = has_value ? parameter.substr(equals + 1) : std::string_view();
    if (++count > kMaxParameters || !IsEsmtpKeyword(keyword) || !IsEsmtpValue(value)) {
      return Reply(501, {5, 5, 4}, "Invalid command arguments: malformed parameter");
    }
    const auto* const row = std::find_if(std::begin(rows), std::end(rows), [&](const auto& r) {
      return EqualsIgnoreCase(r.keyword, keyword);
    });
    if (row == std::end(rows) || (offered & row->extension) == 0) {
      return Reply(555, {5, 5, 4}, StrCat("Unsupported option: ", Escape(keyword, 64)));
    }
    const uint32_t bit = 1u << (row - std::begin(rows));
    if ((seen & bit) != 0) return Twice(keyword);
    if (row->has_value != has_value) return BadValue(keyword);
    seen |= bit;
    if (Reply reply = row->parse(keyword, value, options, path); reply.code != 0) return reply;
  }
}

}  // namespace

uint32_t OfferedExtensions(const ServerOptions& options, const Offer& offer) {
  uint32_t offered = 0;
  for (const ExtensionRow& row : kExtensions) {
    if ((options.extensions & row.bit) != 0 && row.offered(options, offer)) offered |= row.bit;
  }
  return offered;
}

void AppendEhloLines(const ServerOptions& options, uint32_t offered, sasl::MechanismSet mechanisms,
                     std::vector<std::string>& lines) {
  for (const ExtensionRow& row : kExtensions) {
    if ((offered & row.bit) != 0) lines.push_back(row.line(row.keyword, options, mechanisms));
  }
}

Reply ParseMailParameters(std::string_view text, uint32_t offered, const ServerOptions& options,
                          mail::ReversePath& path) {
  return ParseParameters(kMailParameters, text, offered, options, path);
}

Reply ParseRcptParameters(std::string_view text, uint32_t offered, const ServerOptions& options,
                          mail::ForwardPath& path) {
  return ParseParameters(kRcptParameters, text, offered, options, path);
}

}  // namespace postern::smtp
