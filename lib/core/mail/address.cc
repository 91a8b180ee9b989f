#include "lib/core/mail/address.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::mail {
namespace {

// atext of RFC 5322 §3.2.3; RFC 6531 §3.3 adds every UTF-8 character outside ASCII.
bool IsAtext(char c) {
  if (IsAsciiAlnum(c) || !IsAscii(c)) return true;
  return c != '\0' && std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool IsDotString(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.' ? text[i - 1] == '.' : !IsAtext(text[i])) return false;
  }
  return true;
}

// Cursor walks over the text of one path or mailbox.
struct Cursor {
  std::string_view text;
  size_t at = 0;

  bool AtEnd() const { return at == text.size(); }
  bool Next(char c) const { return at < text.size() && text[at] == c; }
  bool Skip(char c) {
    if (!Next(c)) return false;
    ++at;
    return true;
  }
};

// ReadLocalPart reads Local-part of RFC 5321 §4.1.2, leaving the cursor behind it.
Status ReadLocalPart(Cursor& cursor, std::string& out) {
  if (cursor.Skip('"')) {
    // Quoted-string = DQUOTE *QcontentSMTP DQUOTE: printable ASCII, a backslash before any of it,
    // and UTF-8.
    while (true) {
      if (cursor.AtEnd()) return InvalidArgument("the quoted local part has no closing quote");
      char c = cursor.text[cursor.at++];
      if (c == '"') break;
      if (c == '\\') {
        if (cursor.AtEnd()) return InvalidArgument("the quoted local part has no closing quote");
        c = cursor.text[cursor.at++];
        if (!IsAsciiPrintable(c))
          return InvalidArgument("a character after \"\\\" may not be quoted");
      } else if (IsAscii(c) && !IsAsciiPrintable(c)) {
        return InvalidArgument("a control character in the local part");
      }
      out.push_back(c);
    }
    // RFC 5321 §4.1.2 allows "" alone; nothing in the world is called that, and we could not tell
    // it from no local part.
    if (out.empty()) return InvalidArgument("the local part is empty");
    return OkStatus();
  }
  const size_t start = cursor.at;
  while (!cursor.AtEnd() && (IsAtext(cursor.text[cursor.at]) || cursor.Next('.'))) ++cursor.at;
  const std::string_view local = cursor.text.substr(start, cursor.at - start);
  if (local.empty()) return InvalidArgument("the local part is empty");
  if (!IsDotString(local)) return InvalidArgument("a dot is misplaced in the local part");
  out.assign(local);
  return OkStatus();
}

// ReadDomain reads Domain or address-literal up to one of `stops` or the end.
Status ReadDomain(Cursor& cursor, std::string_view stops, const AddressOptions& options,
                  std::string& out) {
  const size_t start = cursor.at;
  if (cursor.Next('[')) {
    const size_t close = cursor.text.find(']', start);
    if (close == std::string_view::npos) return InvalidArgument("the address literal has no \"]\"");
    cursor.at = close + 1;
    Address literal;
    literal.domain = AsciiLower(cursor.text.substr(start, cursor.at - start));
    if (!literal.DomainLiteral().has_value())
      return InvalidArgument("the address literal is not an IP address");
    out = std::move(literal.domain);
    return OkStatus();
  }
  cursor.at = std::min(cursor.text.find_first_of(stops, start), cursor.text.size());
  const std::string_view name = cursor.text.substr(start, cursor.at - start);
  if (name.empty()) return InvalidArgument("the domain is empty");
  if (name.size() > kMaxDomainBytes) return InvalidArgument("the domain is longer than 255 octets");
  if (!IsValidDomainName(name, options.allow_utf8))
    return InvalidArgument("the domain is not a domain name");
  // U-labels are compared in their mapped form (RFC 5891 §4.2.1 asks for it to be so already).
  out = IsAscii(name) ? AsciiLower(name) : DomainToUnicode(name);
  return OkStatus();
}

// LocalPartLimit is that of RFC 5321 §4.5.3.1.1, except for addresses that a forwarder rewrote
// (SRS0=…, SRS1=…): they have another address within, and their mail is not less welcome. The RFC
// asks (§4.5.3.1) not to insist on the limits where that can be helped.
size_t LocalPartLimit(std::string_view local_part) {
  const bool rewritten = local_part.size() > 5 && StartsWithIgnoreCase(local_part, "SRS") &&
                         (local_part[3] == '0' || local_part[3] == '1') &&
                         (local_part[4] == '=' || local_part[4] == '+' || local_part[4] == '-');
  return rewritten ? kMaxPathBytes : kMaxLocalPartBytes;
}

// ReadMailbox reads Local-part "@" ( Domain / address-literal ).
StatusOr<Address> ReadMailbox(Cursor& cursor, std::string_view stops,
                              const AddressOptions& options) {
  Address address;
  POSTERN_RETURN_IF_ERROR(ReadLocalPart(cursor, address.local_part));
  if (address.local_part.size() > LocalPartLimit(address.local_part)) {
    return InvalidArgument(
        StrCat("the local part is longer than ", LocalPartLimit(address.local_part), " octets"));
  }
  if (!IsAscii(address.local_part)) {
    if (!options.allow_utf8) return InvalidArgument("the local part is not ASCII");
    if (!IsValidUtf8(address.local_part)) return InvalidArgument("the local part is not UTF-8");
  }
  if (cursor.Skip('@')) {
    POSTERN_RETURN_IF_ERROR(ReadDomain(cursor, stops, options, address.domain));
  } else if (cursor.AtEnd() || stops.find(cursor.text[cursor.at]) != std::string_view::npos) {
    if (!options.allow_no_domain) return InvalidArgument("there is no domain");
  } else {
    return InvalidArgument(
        StrCat("\"", Escape(cursor.text.substr(cursor.at, 1)), "\" may not stand in a local part"));
  }
  // RFC 5321 §4.5.3.1.3: with the angle brackets a path has at most 256 octets; a source route that
  // is dropped does not count.
  if (address.ToString().size() + 2 > kMaxPathBytes)
    return InvalidArgument("the address is longer than 254 octets");
  return address;
}

}  // namespace

bool Address::IsInternational() const { return !IsAscii(local_part) || !IsAscii(domain); }

std::optional<IpAddress> Address::DomainLiteral() const {
  if (domain.size() < 3 || domain.front() != '[' || domain.back() != ']') return std::nullopt;
  std::string_view text = std::string_view(domain).substr(1, domain.size() - 2);
  // RFC 5321 §4.1.3: IPv6-address-literal = "IPv6:" IPv6-addr; without the tag it is IPv4 in dotted
  // form.
  const bool tagged = StartsWithIgnoreCase(text, "IPv6:");
  if (tagged) text.remove_prefix(5);
  if ((text.find(':') != std::string_view::npos) != tagged) return std::nullopt;
  // There: "::" stands for two groups at least, so that six are left (an IPv4 tail is two of them).
  if (const size_t gap = text.find("::"); gap != std::string_view::npos) {
    size_t groups = text.find('.') != std::string_view::npos ? 1 : 0;
    for (const std::string_view side : {text.substr(0, gap), text.substr(gap + 2)}) {
      if (!side.empty())
        groups += 1 + static_cast<size_t>(std::count(side.begin(), side.end(), ':'));
    }
    if (groups > 6) return std::nullopt;
  }
  return IpAddress::Parse(text);
}

std::string Address::ToString() const {
  if (empty()) return "";
  std::string out;
  if (IsDotString(local_part)) {
    out = local_part;
  } else {
    out.push_back('"');
    for (const char c : local_part) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
  }
  if (domain.empty()) return out;
  // The tag of a literal is written as RFC 5321 §4.1.3 writes it: not every receiver knows that its
  // case does not matter.
  if (domain.compare(0, 6, "[ipv6:") == 0)
    return StrCat(out, "@[IPv6:", std::string_view(domain).substr(6));
  return StrCat(out, "@", domain);
}

StatusOr<Address> ParseAddress(std::string_view text, const AddressOptions& options) {
  Cursor cursor{text};
  StatusOr<Address> address = ReadMailbox(cursor, "", options);
  if (address.ok() && !cursor.AtEnd()) return InvalidArgument("there is more after the address");
  return address;
}

StatusOr<Address> ParsePath(std::string_view text, bool allow_null, const AddressOptions& options,
                            std::string_view* rest) {
  Cursor cursor{text};
  if (!cursor.Skip('<')) return InvalidArgument("the path does not start with \"<\"");
  if (cursor.Skip('>')) {
    if (!allow_null) return InvalidArgument("the path is empty");
    *rest = text.substr(cursor.at);
    return Address();
  }
  if (cursor.Next('@')) {
    // RFC 5321 §4.1.2: A-d-l ":" before the mailbox; §4.1.1.3: it is taken and ignored.
    do {
      std::string hop;
      if (!cursor.Skip('@')) return InvalidArgument("the source route is malformed");
      if (Status status = ReadDomain(cursor, ",:>", options, hop); !status.ok()) {
        return Annotate(status, "source route");
      }
    } while (cursor.Skip(','));
    if (!cursor.Skip(':')) return InvalidArgument("the source route is malformed");
  }
  StatusOr<Address> address = ReadMailbox(cursor, ">", options);
  if (!address.ok()) return address;
  if (!cursor.Skip('>')) return InvalidArgument("the path does not end with \">\"");
  *rest = text.substr(cursor.at);
  return address;
}

}  // namespace postern::mail
