#include "lib/core/trust/tag_list.h"

#include <algorithm>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"

namespace postern::trust {

std::string_view TrimFws(std::string_view s) {
  while (!s.empty() && IsFws(s.front())) s.remove_prefix(1);
  while (!s.empty() && IsFws(s.back())) s.remove_suffix(1);
  return s;
}

namespace {

// IsOdd tells whether a value may not have that octet (§3.2, and RFC 8616 §3).
bool IsOdd(char c) { return (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) && !IsFws(c); }

// HasOdd is for whole texts, nearly none of which has one.
bool HasOdd(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
#ifdef __SSE2__
  for (; end - p >= 16; p += 16) {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const auto is = [&octets](char c) { return _mm_cmpeq_epi8(octets, _mm_set1_epi8(c)); };
    // Of octets up to 0x1f and no others 0x1f is the greater, or the same.
    const __m128i control =
        _mm_cmpeq_epi8(_mm_max_epu8(octets, _mm_set1_epi8(0x1f)), _mm_set1_epi8(0x1f));
    const __m128i fws = _mm_or_si128(_mm_or_si128(is('\t'), is('\r')), is('\n'));
    const __m128i odd = _mm_or_si128(_mm_andnot_si128(fws, control), is(0x7f));
    if (_mm_movemask_epi8(odd) != 0) return true;
  }
#endif
  return std::any_of(p, end, IsOdd);
}

}  // namespace

StatusOr<TagList> TagList::Parse(std::string_view text, const TagListLimits& limits) {
  TagList list;
  const bool has_odd = HasOdd(text);
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find(';', at);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view spec = text.substr(at, end - at);
    if (TrimFws(spec).empty()) {
      // §3.2: tag-list = tag-spec *( ";" tag-spec ) [ ";" ]: nothing may be empty but what follows
      // the last semicolon.
      if (!TrimFws(text.substr(end)).empty() || (list.tags_.empty() && end < text.size()))
        return InvalidArgument("a semicolon without a tag before it");
      break;
    }
    const size_t equals = spec.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument(StrCat("\"", Escape(TrimFws(spec), 40), "\" has no \"=\""));
    }
    Tag tag;
    tag.name = TrimFws(spec.substr(0, equals));
    tag.value_begin = at + equals + 1;
    tag.value_end = end;
    tag.value = TrimFws(spec.substr(equals + 1));
    // §3.2: tag-name = ALPHA *ALNUMPUNC.
    bool good = !tag.name.empty() && IsAsciiAlpha(tag.name.front());
    for (const char c : tag.name) good = good && (IsAsciiAlnum(c) || c == '_');
    if (!good) return InvalidArgument(StrCat("\"", Escape(tag.name, 40), "\" is no tag name"));
    if (has_odd && std::any_of(tag.value.begin(), tag.value.end(), IsOdd))
      return InvalidArgument(StrCat("a control character in the value of ", tag.name, "="));
    if (list.Find(tag.name) != nullptr)
      return InvalidArgument(StrCat(tag.name, "= stands there twice"));
    if (list.tags_.size() >= limits.max_tags) return InvalidArgument("too many tags");
    if (list.tags_.empty()) list.tags_.reserve(12);
    list.tags_.push_back(tag);
    at = end + 1;
  }
  return list;
}

const Tag* TagList::Find(std::string_view name) const {
  for (const Tag& tag : tags_) {
    // Names are short and mostly of one letter.
    if (tag.name.size() == name.size() && tag.name.front() == name.front() &&
        (name.size() == 1 || tag.name == name))
      return &tag;
  }
  return nullptr;
}

bool DecodeBase64Value(std::string_view value, std::string* octets) {
  octets->clear();
  const bool clean = mail::Base64DecodeLenient(value, *octets);
  // Whether what is not clean is missing padding only, and that there is not too much of it.
  size_t end = value.size(), padding = 0;
  for (; end > 0 && (value[end - 1] == '=' || IsFws(value[end - 1])); --end)
    padding += value[end - 1] == '=' ? 1 : 0;
  if (padding > 2) return false;
  if (clean) return true;
  for (const char c : value.substr(0, end)) {
    if (!IsAsciiAlnum(c) && c != '+' && c != '/' && !IsFws(c)) return false;
  }
  return true;
}

std::vector<std::string_view> SplitColons(std::string_view value) {
  std::vector<std::string_view> items;
  if (TrimFws(value).empty()) return items;
  items.reserve(static_cast<size_t>(std::count(value.begin(), value.end(), ':')) + 1);
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find(':', at), value.size());
    items.push_back(TrimFws(value.substr(at, end - at)));
    at = end + 1;
  }
  return items;
}

std::string DecodeDkimQuotedPrintable(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (IsFws(value[i])) continue;
    if (value[i] == '=' && value.size() - i > 2) {
      if (std::optional<std::string> octet = HexDecode(value.substr(i + 1, 2))) {
        out += *octet;
        i += 2;
        continue;
      }
    }
    out += value[i];
  }
  return out;
}

std::string EncodeDkimQuotedPrintable(std::string_view octets) {
  std::string out;
  for (const char c : octets) {
    // §2.11: dkim-safe-char = %x21-3A / %x3C / %x3E-7E; "|" separates the fields of z=.
    if (c > 0x20 && c < 0x7f && c != ';' && c != '=' && c != '|') {
      out += c;
    } else {
      out += '=';
      out += AsciiUpper(HexEncode(std::string_view(&c, 1)));
    }
  }
  return out;
}

}  // namespace postern::trust
