#include "lib/core/message/encoded_word.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/charset.h"

namespace postern::message {
namespace {

constexpr size_t kMaxWordBytes = 75;  // RFC 2047 §2
constexpr size_t kMaxWordLineBytes = 76;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = AsciiToUpper(c);
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Word is one "=?charset*language?encoding?text?=".
struct Word {
  std::string_view charset;
  char encoding = 0;  // 'B' or 'Q'
  std::string_view text;
  size_t end = 0;      // behind the "?="
  bool meant = false;  // it begins like one, whether or not it is one
};

// ReadWord reads an encoded word at `at`, where "=?" stands. `*next_end` remembers where the last
// search for "?=" ended, so that a text full of beginnings costs no more than its length.
bool ReadWord(std::string_view value, size_t at, size_t* next_end, Word* word) {
  const size_t charset = at + 2;
  size_t p = charset;
  // A charset and a language are tokens (RFC 2047 §2): no blank and no "?" in them, and they are
  // short.
  const size_t limit = std::min(value.size(), charset + 100);
  while (p < limit && value[p] != '?' && !IsSpace(value[p])) ++p;
  if (p >= limit || value[p] != '?' || p == charset) return false;
  // From here on it was meant to be one.
  word->meant = true;
  word->charset = value.substr(charset, p - charset);
  word->charset = word->charset.substr(0, word->charset.find('*'));  // RFC 2231 §5: the language
  if (p + 2 >= value.size() || value[p + 2] != '?') return false;
  word->encoding = AsciiToUpper(value[p + 1]);
  if (word->encoding != 'B' && word->encoding != 'Q') return false;
  const size_t text = p + 3;
  if (*next_end < text) *next_end = value.find("?=", text);
  const size_t end = *next_end;
  if (end == std::string_view::npos) return false;
  word->text = value.substr(text, end - text);
  // A "?" inside is possible in Q only by mistake; "=?" inside means that this word was never
  // closed.
  if (word->text.find("=?") != std::string_view::npos) return false;
  word->end = end + 2;
  return true;
}

// DecodeWord adds the octets of a word; false when its text was not correct.
bool DecodeWord(const Word& word, std::string& octets) {
  if (word.encoding == 'B') {
    const bool correct = mail::Base64DecodeLenient(word.text, octets);
    // Padding that is missing loses nothing.
    return correct || mail::Base64Decode(StrCat(word.text, "=")).has_value() ||
           mail::Base64Decode(StrCat(word.text, "==")).has_value();
  }
  bool correct = true;
  const std::string_view text = word.text;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '_') {
      octets.push_back(' ');  // RFC 2047 §4.2 (2)
    } else if (c == '=' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
               HexValue(text[i + 2]) >= 0) {
      octets.push_back(static_cast<char>(HexValue(text[i + 1]) << 4 | HexValue(text[i + 2])));
      i += 2;
    } else if (c == '\r' || c == '\n') {
      // A word may not be folded (RFC 2047 §2); where one is, the blanks of the fold are no part of
      // it.
      while (i + 1 < text.size() && IsSpace(text[i + 1])) ++i;
    } else {
      correct = correct && c != '=' && IsAscii(c);
      octets.push_back(c);
    }
  }
  return correct;
}

// AppendPlain adds text that is not an encoded word, unfolded; controls become blanks.
void AppendPlain(std::string_view text, std::string& out) {
  if (!IsAscii(text) && !mail::IsValidUtf8(text)) {
    std::string decoded;
    AppendAsUtf8("", text, decoded);
    AppendPlain(decoded, out);
    return;
  }
  for (const char c : text) {
    if (c == '\r' || c == '\n') continue;
    out.push_back(IsAscii(c) && c != '\t' && !IsAsciiPrintable(c) ? ' ' : c);
  }
}

// ---- encoding

bool IsQLiteral(char c, WordContext context) {
  if (IsAsciiAlnum(c)) return true;
  // RFC 2047 §5 (3): in a phrase only these; elsewhere printable ASCII without "=", "?" and "_" is
  // allowed, and we keep to these.
  if (c == '!' || c == '*' || c == '+' || c == '-' || c == '/') return true;
  return context == WordContext::kText && c != '\0' &&
         std::string_view(".,:;()@#$%&'").find(c) != std::string_view::npos;
}

size_t QSize(std::string_view text, WordContext context) {
  size_t size = 0;
  for (const char c : text) size += c == ' ' || IsQLiteral(c, context) ? 1 : 3;
  return size;
}

std::string QEncode(std::string_view text, WordContext context) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out.push_back('_');
    } else if (IsQLiteral(c, context)) {
      out.push_back(c);
    } else {
      StrAppend(out, '=', AsciiUpper(Hex(static_cast<unsigned char>(c), 2)));
    }
  }
  return out;
}

bool IsAtomText(char c) {
  return IsAsciiAlnum(c) ||
         (c != '\0' && std::string_view("!#$%&'*+-/=?^_`{|}~ ").find(c) != std::string_view::npos);
}

}  // namespace

std::string DecodeText(std::string_view value, EncodedWordDefects* defects) {
  EncodedWordDefects unwanted;
  EncodedWordDefects& found = defects == nullptr ? unwanted : *defects;
  value = Trim(value);
  std::string out;
  out.reserve(value.size());
  size_t plain = 0;  // where the text not yet copied begins
  size_t at = 0;
  size_t next_end = 0;
  // Octets of adjacent words in one charset are decoded together, for senders that split a
  // character.
  std::string octets;
  std::string_view charset;
  bool in_words = false;
  const auto flush = [&] {
    if (!octets.empty()) {
      std::string decoded;
      if (!AppendAsUtf8(charset, octets, decoded) && defects != nullptr)
        (IsKnownCharset(charset) ? found.malformed : found.unknown_charset) = true;
      // What a word hides may not break the line it is shown on.
      for (char& c : decoded) {
        if (IsAscii(c) && c != '\t' && !IsAsciiPrintable(c)) c = ' ';
      }
      out += decoded;
      octets.clear();
    }
  };
  while (true) {
    at = value.find("=?", at);
    if (at == std::string_view::npos) break;
    Word word;
    if (!ReadWord(value, at, &next_end, &word)) {
      found.malformed = found.malformed || word.meant;
      at += 2;
      continue;
    }
    const std::string_view between = value.substr(plain, at - plain);
    const bool adjacent = in_words && std::all_of(between.begin(), between.end(), IsSpace);
    if (!adjacent) {
      flush();
      AppendPlain(between, out);
    } else if (!EqualsIgnoreCase(charset, word.charset)) {
      flush();
    }
    charset = word.charset;
    if (!DecodeWord(word, octets)) found.malformed = true;
    in_words = true;
    at = plain = word.end;
  }
  flush();
  AppendPlain(value.substr(plain), out);
  return out;
}

std::string EncodeText(std::string_view text, WordContext context, size_t column, bool always) {
  std::string clean = mail::ScrubUtf8(text);
  for (char& c : clean) {
    if (IsAscii(c) && !IsAsciiPrintable(c)) c = ' ';
  }
  const bool plain = !always && IsAscii(clean) && clean.find("=?") == std::string::npos;
  if (plain && context == WordContext::kText) return clean;
  if (plain) {
    const bool edge = !clean.empty() && (clean.front() == ' ' || clean.back() == ' ');
    if (!clean.empty() && !edge && std::all_of(clean.begin(), clean.end(), IsAtomText))
      return clean;
    std::string quoted = "\"";
    for (const char c : clean) {
      if (c == '"' || c == '\\') quoted.push_back('\\');
      quoted.push_back(c);
    }
    return quoted + "\"";
  }
  // "B" takes four characters for three octets, "Q" three for one that is not literal.
  const bool use_b = QSize(clean, context) > (clean.size() + 2) / 3 * 4;
  constexpr size_t kRoom = kMaxWordBytes - std::string_view(
                                               "=?utf-8?Q?"
                                               "?=")
                                               .size();
  // Any character fits into this.
  constexpr size_t kLeastRoom = 12;
  const size_t taken = column + kMaxWordBytes - kMaxWordLineBytes;
  size_t room = column == 0 ? kRoom : kRoom - std::min(taken, kRoom - kLeastRoom);
  std::string out;
  std::string_view left = clean;
  while (!left.empty()) {
    size_t take = 0;
    size_t cost = 0;
    while (take < left.size()) {
      size_t length;
      mail::DecodeUtf8(left.substr(take), &length);
      const size_t more =
          use_b ? (take + length + 2) / 3 * 4 : cost + QSize(left.substr(take, length), context);
      if (more > room) break;
      cost = more;
      take += length;
    }
    const std::string_view piece = left.substr(0, take);
    left.remove_prefix(take);
    room = kRoom;
    if (!out.empty()) out.push_back(' ');
    StrAppend(out, "=?utf-8?", use_b ? "B?" : "Q?",
              use_b ? mail::Base64Encode(piece) : QEncode(piece, context), "?=");
  }
  return out;
}

}  // namespace postern::message
