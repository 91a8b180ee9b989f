// Domain names: syntax, and IDNA by ICU.
#include <memory>

#include <unicode/bytestream.h>
#include <unicode/idna.h>
#include <unicode/stringpiece.h>
#include <unicode/uidna.h>
#include <unicode/unistr.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/utf8.h"

namespace postern::mail {
namespace {

constexpr size_t kMaxLabelBytes = 63;  // RFC 1035 §2.3.4

// The one UTS #46 table, immutable and safe for every thread; null when ICU has no data.
const icu::IDNA* Idna() {
  static const std::unique_ptr<const icu::IDNA> idna = [] {
    UErrorCode error = U_ZERO_ERROR;
    std::unique_ptr<const icu::IDNA> made(icu::IDNA::createUTS46Instance(
        UIDNA_USE_STD3_RULES | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ |
            UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_NONTRANSITIONAL_TO_UNICODE,
        error));
    if (U_FAILURE(error)) made.reset();
    return made;
  }();
  return idna.get();
}

std::string_view IdnaErrorText(uint32_t errors) {
  if ((errors & (UIDNA_ERROR_EMPTY_LABEL)) != 0) return "it has an empty label";
  if ((errors & (UIDNA_ERROR_LABEL_TOO_LONG)) != 0) return "a label is longer than 63 octets";
  if ((errors & (UIDNA_ERROR_DOMAIN_NAME_TOO_LONG)) != 0) return "it is longer than 255 octets";
  if ((errors &
       (UIDNA_ERROR_LEADING_HYPHEN | UIDNA_ERROR_TRAILING_HYPHEN | UIDNA_ERROR_HYPHEN_3_4)) != 0) {
    return "a label has a misplaced hyphen";
  }
  if ((errors & UIDNA_ERROR_DISALLOWED) != 0)
    return "it has a character that domain names may not have";
  if ((errors & (UIDNA_ERROR_PUNYCODE | UIDNA_ERROR_INVALID_ACE_LABEL)) != 0)
    return "an xn-- label is not valid";
  if ((errors & UIDNA_ERROR_BIDI) != 0) return "it mixes directions of writing";
  return "it is not a valid internationalised name";
}

bool IsLdhName(std::string_view text) {
  if (text.empty() || text.size() > kMaxDomainBytes) return false;
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    // RFC 5321 §4.1.2: sub-domain = Let-dig [Ldh-str]
    if (label.empty() || label.size() > kMaxLabelBytes) return false;
    if (label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      if (!IsAsciiAlnum(c) && c != '-') return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

// HasForeignDot tells whether a character that UTS #46 maps to "." stands in `text`. RFC 6531 §3.3
// separates labels with "." alone; to take the others would let "victim.example" hide in what looks
// like one label.
bool HasForeignDot(std::string_view text) {
  for (const std::string_view dot : {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1"}) {
    if (text.find(dot) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

bool IsValidDomainName(std::string_view text, bool allow_utf8) {
  if (IsAscii(text)) return IsLdhName(text);
  return allow_utf8 && text.size() <= kMaxDomainBytes && !HasForeignDot(text) &&
         DomainToAscii(text).ok();
}

StatusOr<std::string> DomainToAscii(std::string_view domain) {
  if (IsAscii(domain)) {
    if (!IsLdhName(domain)) return InvalidArgument("it is not a domain name");
    return AsciiLower(domain);
  }
  if (!IsValidUtf8(domain)) return InvalidArgument("it is not UTF-8");
  const icu::IDNA* idna = Idna();
  if (idna == nullptr) return Internal("ICU has no IDNA data");
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  icu::IDNAInfo info;
  UErrorCode error = U_ZERO_ERROR;
  idna->nameToASCII_UTF8(icu::StringPiece(domain.data(), static_cast<int32_t>(domain.size())), sink,
                         info, error);
  if (U_FAILURE(error)) return InvalidArgument("it is not a valid internationalised name");
  if (info.hasErrors()) return InvalidArgument(std::string(IdnaErrorText(info.getErrors())));
  if (!IsLdhName(out)) return InvalidArgument("it is not a domain name");
  return AsciiLower(out);
}

std::string DomainToUnicode(std::string_view domain) {
  const icu::IDNA* idna = Idna();
  if (idna == nullptr || domain.size() > 4 * kMaxDomainBytes || !IsValidUtf8(domain))
    return std::string(domain);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  icu::IDNAInfo info;
  UErrorCode error = U_ZERO_ERROR;
  idna->nameToUnicodeUTF8(icu::StringPiece(domain.data(), static_cast<int32_t>(domain.size())),
                          sink, info, error);
  if (U_FAILURE(error) || info.hasErrors()) return std::string(domain);
  return out;
}

}  // namespace postern::mail
