#include "lib/core/trust/spf_macro.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr std::string_view kLetters = "slodiphcrtv";  // RFC 7208 §7.1 macro-letter
constexpr std::string_view kExplanationOnly = "crt";  // §7.2
constexpr std::string_view kDelimiters = ".-+,/_=";   // §7.1 delimiter
constexpr size_t kMaxQueryBytes = 253;                // §7.3
// Of a name that is being expanded only so much of the right end can matter: what goes beyond 253
// octets is dropped in the end.
constexpr size_t kTailBytes = 1024;

// IsTopLabel: RFC 7208 §7.1 toplabel, letters, digits and hyphens, not all digits, no hyphen at
// either end.
bool IsTopLabel(std::string_view label) {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  bool has_other_than_digit = false;
  for (const char c : label) {
    if (!IsAsciiAlnum(c) && c != '-') return false;
    has_other_than_digit = has_other_than_digit || !IsAsciiDigit(c);
  }
  return has_other_than_digit;
}

// ReadMacro reads "{" letter, transformers, delimiters "}" from the front of `*rest`.
StatusOr<SpfMacroString::Item> ReadMacro(std::string_view* rest, SpfMacroUse use) {
  SpfMacroString::Item item;
  size_t i = 1;
  const auto at = [&](size_t index) { return index < rest->size() ? (*rest)[index] : '\0'; };
  const char letter = AsciiToLower(at(i));
  if (letter == '\0' || kLetters.find(letter) == std::string_view::npos)
    return InvalidArgument(StrCat("there is no macro %{", Escape(rest->substr(i, 1)), "}"));
  if (use == SpfMacroUse::kDomain && kExplanationOnly.find(letter) != std::string_view::npos)
    return InvalidArgument(
        StrCat("the macro %{", letter, "} may stand only in an explanation text"));
  item.letter = letter;
  item.url_escape = at(i) != letter;
  ++i;
  const size_t digits_start = i;
  for (; IsAsciiDigit(at(i)); ++i)
    item.keep = std::min<uint32_t>(item.keep * 10 + static_cast<uint32_t>(at(i) - '0'), 100'000);
  // §7.3: "If a DIGIT is specified, the value MUST be nonzero."
  if (i != digits_start && item.keep == 0)
    return InvalidArgument("a macro that keeps 0 parts keeps nothing");
  if (AsciiToLower(at(i)) == 'r') {
    item.reverse = true;
    ++i;
  }
  const size_t delimiters_start = i;
  while (at(i) != '\0' && kDelimiters.find(at(i)) != std::string_view::npos) ++i;
  // At most the seven kinds, however often each is written.
  for (const char c : rest->substr(delimiters_start, i - delimiters_start))
    if (item.delimiters.find(c) == std::string::npos) item.delimiters.push_back(c);
  if (at(i) != '}') return InvalidArgument("a macro that starts with %{ does not end as one");
  rest->remove_prefix(i + 1);
  return item;
}

// CheckDomainEnd: RFC 7208 §7.1, domain-end = ( "." toplabel [ "." ] ) / macro-expand.
Status CheckDomainEnd(const SpfMacroString& parsed, std::string_view tail, bool ends_in_macro) {
  if (parsed.text.empty()) return InvalidArgument("a domain is missing");
  if (ends_in_macro) return OkStatus();
  if (!tail.empty() && tail.back() == '.') tail.remove_suffix(1);
  const size_t dot = tail.rfind('.');
  if (dot == std::string_view::npos)
    return InvalidArgument(StrCat("\"", Escape(parsed.text), "\" is not a domain of two labels"));
  const std::string_view top = tail.substr(dot + 1);
  if (IsTopLabel(top)) return OkStatus();
  const bool number = !top.empty() && std::all_of(top.begin(), top.end(), IsAsciiDigit);
  return InvalidArgument(StrCat("a domain cannot end in \"", Escape(top), "\"",
                                number ? "; an address needs ip4: or ip6:" : ""));
}

std::string Nibbles(const IpAddress& address) {
  std::string out;
  for (const char octet : address.bytes())
    for (const char digit : Hex(static_cast<unsigned char>(octet), 2)) {
      if (!out.empty()) out.push_back('.');
      out.push_back(digit);
    }
  return out;
}

std::string ValueOf(char letter, const SpfMacroValues& v) {
  switch (letter) {
    case 's': return StrCat(v.local_part, "@", v.sender_domain);
    case 'l': return std::string(v.local_part);
    case 'o': return std::string(v.sender_domain);
    case 'd': return std::string(v.domain);
    case 'i': return v.client.is_v6() ? Nibbles(v.client) : v.client.ToString();
    case 'p': return std::string(v.validated.empty() ? "unknown" : v.validated);
    case 'v': return v.client.is_v6() ? "ip6" : "in-addr";
    case 'h': return std::string(v.helo);
    case 'c': return v.client.ToString();
    case 'r': return std::string(v.receiver.empty() ? "unknown" : v.receiver);
    default: return StrCat(v.now_unix_s);
  }
}

// Transform splits at delimiters, reverses, keeps parts of the right, joins with dots (§7.3).
std::string Transform(const std::string& value, const SpfMacroString::Item& item) {
  if (!item.reverse && item.keep == 0 && item.delimiters.empty()) return value;
  std::string_view delimiters = item.delimiters;
  if (delimiters.empty()) delimiters = ".";
  std::vector<std::string_view> parts;
  std::string_view rest = value;
  for (;;) {
    const size_t end = rest.find_first_of(delimiters);
    parts.push_back(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  if (item.reverse) std::reverse(parts.begin(), parts.end());
  if (item.keep != 0 && item.keep < parts.size())
    parts.erase(parts.begin(), parts.end() - static_cast<ptrdiff_t>(item.keep));
  return StrJoin(parts, ".");
}

// UrlEscape: all but RFC 3986's unreserved characters (RFC 7208 §7.3).
std::string UrlEscape(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (IsAsciiAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
      out.push_back(c);
    else
      StrAppend(out, "%", AsciiUpper(Hex(static_cast<unsigned char>(c), 2)));
  }
  return out;
}

std::string ExpandItem(const SpfMacroString::Item& item, const SpfMacroValues& values) {
  if (item.letter == '\0') return item.literal;
  const std::string value = Transform(ValueOf(item.letter, values), item);
  return item.url_escape ? UrlEscape(value) : value;
}

}  // namespace

bool SpfMacroString::Uses(char letter) const {
  return std::any_of(items.begin(), items.end(),
                     [&](const Item& item) { return item.letter == letter; });
}

StatusOr<SpfMacroString> ParseSpfMacroString(std::string_view text, SpfMacroUse use) {
  SpfMacroString parsed;
  parsed.text = std::string(text);
  std::string literal;
  std::string_view rest = text;
  size_t tail_start = 0;  // of the literal text behind the last macro
  const auto flush = [&] {
    if (!literal.empty()) {
      parsed.items.push_back({});
      parsed.items.back().literal = std::move(literal);
      literal.clear();
    }
  };
  while (!rest.empty()) {
    const char c = rest.front();
    if (c != '%') {
      // §7.1 macro-literal is %x21-24 / %x26-7E; an explanation may have blanks (§6.2).
      if (!IsAsciiPrintable(c) || (c == ' ' && use != SpfMacroUse::kExplanation))
        return InvalidArgument(StrCat("\"", Escape(rest.substr(0, 1)), "\" is not allowed"));
      literal.push_back(c);
      rest.remove_prefix(1);
      continue;
    }
    const char next = rest.size() > 1 ? rest[1] : '\0';
    if (next == '{') {
      rest.remove_prefix(1);
      StatusOr<SpfMacroString::Item> item = ReadMacro(&rest, use);
      if (!item.ok()) return item.status();
      flush();
      parsed.items.push_back(*std::move(item));
    } else if (next == '%' || next == '_' || next == '-') {
      literal.append(next == '%' ? "%" : next == '_' ? " " : "%20");
      rest.remove_prefix(2);
    } else {
      return InvalidArgument("% must be followed by {, %, _ or -");
    }
    tail_start = text.size() - rest.size();
  }
  flush();
  if (use == SpfMacroUse::kDomain) {
    const Status end = CheckDomainEnd(parsed, text.substr(tail_start),
                                      tail_start == text.size() && tail_start != 0);
    if (!end.ok()) return end;
  }
  return parsed;
}

std::string ExpandSpfText(const SpfMacroString& text, const SpfMacroValues& values,
                          size_t max_bytes) {
  std::string out;
  for (const SpfMacroString::Item& item : text.items) {
    out += ExpandItem(item, values);
    if (out.size() >= max_bytes) break;
  }
  if (out.size() > max_bytes) out.resize(max_bytes);
  return out;
}

std::string ExpandSpfDomain(const SpfMacroString& text, const SpfMacroValues& values) {
  std::string out;
  for (const SpfMacroString::Item& item : text.items) {
    out += ExpandItem(item, values);
    if (out.size() > 4 * kTailBytes) out.erase(0, out.size() - kTailBytes);
  }
  if (!out.empty() && out.back() == '.') out.pop_back();
  if (out.size() > kMaxQueryBytes) {
    const size_t dot = out.find('.', out.size() - kMaxQueryBytes - 1);
    out.erase(0, dot == std::string::npos ? out.size() - kMaxQueryBytes : dot + 1);
  }
  return out;
}

}  // namespace postern::trust
