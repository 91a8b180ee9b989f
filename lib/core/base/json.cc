#include "lib/core/base/json.h"

#include "lib/core/base/strings.h"

namespace postern {
namespace {

// CharacterLength is how many octets the UTF-8 character at the front of `text` has, 0 when there
// is none (RFC 3629 §4: no overlong forms, no surrogates, nothing past U+10FFFF).
size_t CharacterLength(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = at(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
    return 0;
  return length;
}

}  // namespace

void JsonWriter::NewLine() {
  if (!indent_) return;
  out_.push_back('\n');
  out_.append(has_values_.size() * 2, ' ');
}

void JsonWriter::Value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_values_.empty()) return;
  if (has_values_.back()) out_.push_back(',');
  has_values_.back() = true;
  NewLine();
}

JsonWriter& JsonWriter::Begin(char bracket) {
  Value();
  out_.push_back(bracket);
  has_values_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::End(char bracket) {
  const bool empty = !has_values_.back();
  has_values_.pop_back();
  if (!empty) NewLine();
  out_.push_back(bracket);
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view name) {
  Value();
  Quote(name);
  out_.append(indent_ ? ": " : ":");
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::String(std::string_view text) {
  Value();
  Quote(text);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  Value();
  StrAppend(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  Value();
  out_.append(value ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::Null() {
  Value();
  out_.append("null");
  return *this;
}

void JsonWriter::Quote(std::string_view text) {
  out_.push_back('"');
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const char c = text[0];
    if (length == 0) {
      out_.append("\xEF\xBF\xBD");
    } else if (length == 2 && c == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0) {
      // The controls past ASCII: U+009B is what ESC [ is to some terminals.
      StrAppend(out_, "\\u", Hex(static_cast<unsigned char>(text[1]), 4));
    } else if (length > 1) {
      out_.append(text.substr(0, length));
    } else if (c == '"' || c == '\\') {
      out_.push_back('\\');
      out_.push_back(c);
    } else if (c == '\n') {
      out_.append("\\n");
    } else if (c == '\r') {
      out_.append("\\r");
    } else if (c == '\t') {
      out_.append("\\t");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      StrAppend(out_, "\\u", Hex(static_cast<unsigned char>(c), 4));
    } else {
      out_.push_back(c);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out_.push_back('"');
}

}  // namespace postern
