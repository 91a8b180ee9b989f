#include "lib/core/message/content_type.h"

#include <algorithm>
#include <map>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/header_field.h"

namespace postern::message {
namespace {

// Pieces of one RFC 2231 parameter past this number are passed over.
constexpr uint32_t kMaxPieceIndex = kMaxParameters;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// A parameter name ends at any of these; RFC 2045 §5.1 has more tspecials, which names in the wild
// do have.
bool EndsName(char c) { return c == '=' || c == ';' || c == '"' || IsSpace(c); }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = AsciiToUpper(c);
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string PercentDecode(std::string_view text, ParameterDefects& defects) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
        HexValue(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexValue(text[i + 1]) << 4 | HexValue(text[i + 2])));
      i += 2;
    } else {
      if (text[i] == '%') defects.malformed = true;
      out.push_back(text[i]);
    }
  }
  return out;
}

// Piece is one parameter whose name carried RFC 2231's marks.
struct Piece {
  uint32_t index = 0;
  bool encoded = false;
  std::string value;
};

// Marks are what stands behind the name: "*" (encoded), "*3" (piece 3), "*3*" (piece 3, encoded).
struct Marks {
  std::string_view name;
  bool extended = false;
  uint32_t index = 0;
  bool encoded = false;
};

Marks SplitMarks(std::string_view name) {
  Marks marks{name};
  const size_t star = name.find('*');
  if (star == std::string_view::npos || star == 0) return marks;
  std::string_view rest = name.substr(star + 1);
  bool encoded = rest.empty();
  uint64_t index = 0;
  if (!rest.empty()) {
    if (rest.back() == '*') {
      encoded = true;
      rest.remove_suffix(1);
    }
    const std::optional<uint64_t> number = ParseUint(rest, kMaxPieceIndex);
    if (!number.has_value()) return marks;  // not RFC 2231: the star is part of the name
    index = *number;
  }
  marks.name = name.substr(0, star);
  marks.extended = true;
  marks.index = static_cast<uint32_t>(index);
  marks.encoded = encoded;
  return marks;
}

// JoinPieces puts the pieces of one parameter together and decodes them (RFC 2231 §3 and §4).
void JoinPieces(std::vector<Piece>& pieces, Parameter& parameter, ParameterDefects& defects) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.index < b.index; });
  std::string charset;
  std::string octets;
  bool any_encoded = false;
  uint32_t expected = pieces.front().index;  // some senders count from 1
  for (const Piece& piece : pieces) {
    if (piece.index != expected) {
      defects.malformed = true;
      if (piece.index + 1 == expected) continue;  // the same number again: the first counts
      break;                                      // a gap: what follows belongs nowhere
    }
    ++expected;
    std::string_view value = piece.value;
    if (piece.encoded) {
      if (&piece == &pieces.front()) {
        // charset'language'value
        const size_t quote = value.find('\'');
        const size_t second = quote == std::string_view::npos ? quote : value.find('\'', quote + 1);
        if (second != std::string_view::npos) {
          charset = std::string(value.substr(0, quote));
          parameter.language = std::string(value.substr(quote + 1, second - quote - 1));
          value.remove_prefix(second + 1);
        } else {
          defects.malformed = true;  // RFC 2231 §4: both marks are there even with nothing between
        }
      } else if (!charset.empty() && value.size() > charset.size() &&
                 value[charset.size()] == '\'' && StartsWithIgnoreCase(value, charset)) {
        // The charset belongs to the first piece alone (RFC 2231 §4.1); some senders repeat it.
        value.remove_prefix(charset.size() + 1);
      }
      any_encoded = true;
      octets += PercentDecode(value, defects);
    } else {
      octets += value;
    }
  }
  parameter.value.clear();
  if (any_encoded) {
    if (!AppendAsUtf8(charset, octets, parameter.value) && !charset.empty())
      (IsKnownCharset(charset) ? defects.malformed : defects.unknown_charset) = true;
  } else {
    parameter.value = DecodeText(octets);
  }
}

}  // namespace

size_t SkipCfws(std::string_view text, size_t at) {
  size_t depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (depth > 0 && c == '\\') {
      ++at;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && depth > 0) {
      --depth;
    } else if (depth == 0 && !IsSpace(c)) {
      break;
    }
  }
  return std::min(at, text.size());
}

std::string RawParameter::Unquoted() const {
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r' || value[i] == '\n') continue;
    if (quoted && value[i] == '\\' && i + 1 < value.size()) ++i;
    out.push_back(value[i]);
  }
  return out;
}

bool ParameterScanner::Next(RawParameter* parameter) {
  while (at_ < text_.size() && count_ < kMaxParameters) {
    at_ = SkipCfws(text_, at_);
    if (at_ >= text_.size()) return false;
    if (text_[at_] == ';') {
      ++at_;
      continue;
    }
    const size_t start = at_;
    while (at_ < text_.size() && !EndsName(text_[at_])) ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    const size_t mark = SkipCfws(text_, at_);
    if (mark >= text_.size() || text_[mark] != '=' || name.empty()) {
      // A word without a value: nothing to tell. Step over one character at least.
      at_ = std::max(at_, start + 1);
      continue;
    }
    ++count_;
    parameter->name = name;
    parameter->quoted = false;
    at_ = SkipCfws(text_, mark + 1);
    if (at_ >= text_.size()) {
      parameter->value = {};
      return true;
    }
    if (text_[at_] == '"' && !no_more_quotes_) {
      const size_t from = at_ + 1;
      size_t to = from;
      while (to < text_.size() && text_[to] != '"') to += text_[to] == '\\' ? 2 : 1;
      if (to < text_.size()) {
        parameter->value = text_.substr(from, to - from);
        parameter->quoted = true;
        at_ = to + 1;
        return true;
      }
      no_more_quotes_ = true;
    }
    if (text_[at_] == '"') ++at_;  // the quote that nothing closes
    // RFC 2045 §5.1 wants a token. Blanks inside are met ("name=my file.pdf"): they belong to the
    // value unless "word=" follows.
    const size_t from = at_;
    size_t to = at_;
    while (at_ < text_.size() && text_[at_] != ';') {
      if (!IsSpace(text_[at_])) {
        to = ++at_;
        continue;
      }
      const size_t word = SkipCfws(text_, at_);
      size_t word_end = word;
      while (word_end < text_.size() && !EndsName(text_[word_end])) ++word_end;
      at_ = word;
      if (word_end < text_.size() && text_[word_end] == '=' && word_end > word) break;
      at_ = word_end;
      if (word_end > word) to = word_end;
      if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '=')) to = ++at_;
    }
    parameter->value = text_.substr(from, to - from);
    return true;
  }
  return false;
}

bool ScanMediaType(std::string_view value, std::string_view* type, std::string_view* subtype,
                   std::string_view* rest) {
  const auto ends = [](char c) {
    return c == '/' || c == ';' || c == '(' || c == '=' || c == '"' || c == ',' || IsSpace(c);
  };
  size_t at = SkipCfws(value, 0);
  size_t start = at;
  while (at < value.size() && !ends(value[at])) ++at;
  *type = value.substr(start, at - start);
  *subtype = {};
  *rest = value.substr(at);
  if (type->empty()) return false;
  at = SkipCfws(value, at);
  if (at >= value.size() || value[at] != '/') return true;
  at = SkipCfws(value, at + 1);
  start = at;
  while (at < value.size() && (!ends(value[at]) || value[at] == '/')) ++at;
  *subtype = value.substr(start, at - start);
  *rest = value.substr(at);
  return true;
}

const std::string* ParameterList::Find(std::string_view name) const {
  for (const Parameter& parameter : list) {
    if (parameter.name == name) return &parameter.value;
  }
  return nullptr;
}

ParameterList ParseParameters(std::string_view text, ParameterDefects* defects) {
  ParameterList result;
  ParameterDefects unwanted;
  ParameterDefects& found = defects == nullptr ? unwanted : *defects;
  if (const size_t begin = SkipCfws(text, 0); begin < text.size() && text[begin] != ';')
    found.malformed = true;
  // By name: where it stands in the list, whether a plain form was seen, and its RFC 2231 pieces.
  struct Entry {
    size_t place = 0;
    bool plain = false;
    std::vector<Piece> pieces;
  };
  std::map<std::string, Entry> entries;
  ParameterScanner scanner(text);
  RawParameter raw;
  while (scanner.Next(&raw)) {
    const Marks marks = SplitMarks(raw.name);
    std::string name = AsciiLower(marks.name);
    auto [it, added] = entries.try_emplace(name);
    Entry& entry = it->second;
    if (added) {
      entry.place = result.list.size();
      result.list.push_back({std::move(name), "", ""});
    }
    if (marks.extended) {
      entry.pieces.push_back({marks.index, marks.encoded, raw.Unquoted()});
    } else if (!entry.plain) {
      entry.plain = true;
      // Encoded words do not belong here (RFC 2047 §5) and are everywhere.
      result.list[entry.place].value = DecodeText(raw.Unquoted());
    }
  }
  for (auto& [name, entry] : entries) {
    if (!entry.pieces.empty()) JoinPieces(entry.pieces, result.list[entry.place], found);
  }
  return result;
}

ContentType ParseContentType(std::string_view value) {
  ContentType result;
  std::string_view type, subtype, rest;
  if (!ScanMediaType(value, &type, &subtype, &rest)) return result;
  result.type = AsciiLower(type);
  result.subtype = AsciiLower(subtype);
  result.parameters = ParseParameters(rest);
  return result;
}

ContentDisposition ParseContentDisposition(std::string_view value) {
  ContentDisposition result;
  std::string_view kind, subtype, rest;
  if (!ScanMediaType(value, &kind, &subtype, &rest)) {
    // In quotes it is no token (RFC 2183 §2), and what was meant is clear.
    const size_t quote = SkipCfws(value, 0);
    if (quote >= value.size() || value[quote] != '"') return result;
    const size_t close = value.find('"', quote + 1);
    if (close == std::string_view::npos) return result;
    kind = Trim(value.substr(quote + 1, close - quote - 1));
    rest = value.substr(close + 1);
  }
  result.kind = AsciiLower(kind);
  result.parameters = ParseParameters(rest);
  return result;
}

std::string EncodeParameter(std::string_view name, std::string_view value) {
  constexpr size_t kLineBytes = 76;
  const bool printable = std::all_of(value.begin(), value.end(), IsAsciiPrintable);
  if (printable && name.size() + value.size() + 6 <= kLineBytes) {
    const auto is_token = [](char c) {
      return c != ' ' && std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
    };
    if (!value.empty() && std::all_of(value.begin(), value.end(), is_token))
      return StrCat("; ", name, "=", value);
    std::string out = StrCat("; ", name, "=\"");
    for (const char c : value) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
    return out;
  }
  // RFC 2231 §4: attribute-char is what a token may have, less "*", "'" and "%".
  const std::string text = mail::ScrubUtf8(value);
  std::vector<std::string> lines(1);
  const size_t room = kLineBytes - std::min<size_t>(name.size() + 12, kLineBytes - 16);
  for (size_t i = 0; i < text.size();) {
    size_t length;
    mail::DecodeUtf8(std::string_view(text).substr(i), &length);
    std::string coded;
    for (const char c : std::string_view(text).substr(i, length)) {
      if (IsAsciiAlnum(c) ||
          (c != '\0' && std::string_view("!#$&+-.^_`{|}~").find(c) != std::string_view::npos)) {
        coded.push_back(c);
      } else {
        StrAppend(coded, '%', AsciiUpper(Hex(static_cast<unsigned char>(c), 2)));
      }
    }
    if (lines.back().size() + coded.size() + (lines.size() == 1 ? 7 : 0) > room)
      lines.emplace_back();
    lines.back() += coded;
    i += length;
  }
  if (lines.size() == 1) return StrCat("; ", name, "*=utf-8''", lines[0]);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    StrAppend(out, ";\r\n\t", name, "*", i, "*=", i == 0 ? "utf-8''" : "", lines[i]);
  }
  return out;
}

}  // namespace postern::message
