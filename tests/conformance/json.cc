#include "tests/conformance/json.h"

#include <cstdint>
#include <cstdlib>

#include "lib/core/mail/utf8.h"

namespace postern::conformance {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  Json Document() {
    Json value = Value();
    return ok_ ? std::move(value) : Json();
  }

 private:
  void Blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }
  bool Skip(char c) {
    Blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json Value() {
    Json value;
    Blanks();
    if (Skip('{')) {
      value.kind_ = Json::Kind::kObject;
      if (Skip('}')) return value;
      do {
        Blanks();
        std::string name = Text();
        if (!Skip(':')) ok_ = false;
        value.members_.emplace_back(std::move(name), Value());
      } while (ok_ && Skip(','));
      ok_ = Skip('}') && ok_;
    } else if (Skip('[')) {
      value.kind_ = Json::Kind::kArray;
      if (Skip(']')) return value;
      do {
        value.items_.push_back(Value());
      } while (ok_ && Skip(','));
      ok_ = Skip(']') && ok_;
    } else if (at_ < text_.size() && text_[at_] == '"') {
      value.kind_ = Json::Kind::kString;
      value.string_ = Text();
    } else if (Word("true")) {
      value.kind_ = Json::Kind::kBool;
      value.boolean_ = true;
    } else if (Word("false")) {
      value.kind_ = Json::Kind::kBool;
    } else if (!Word("null")) {
      value.kind_ = Json::Kind::kNumber;
      const std::string digits(text_.substr(at_, 40));
      char* end = nullptr;
      value.number_ = std::strtod(digits.c_str(), &end);
      if (end == digits.c_str()) ok_ = false;
      at_ += static_cast<size_t>(end - digits.c_str());
    }
    return value;
  }

  uint32_t Hex4() {
    uint32_t value = 0;
    for (int i = 0; i < 4 && at_ < text_.size(); ++i) {
      const char c = text_[at_++];
      value = value << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return value;
  }

  std::string Text() {
    std::string out;
    if (at_ >= text_.size() || text_[at_] != '"') {
      ok_ = false;
      return out;
    }
    for (++at_; at_ < text_.size() && text_[at_] != '"';) {
      char c = text_[at_++];
      if (c != '\\' || at_ >= text_.size()) {
        out.push_back(c);
        continue;
      }
      c = text_[at_++];
      switch (c) {
        case 'n': out.push_back('\n'); break;
        case 'r': out.push_back('\r'); break;
        case 't': out.push_back('\t'); break;
        case 'b': out.push_back('\b'); break;
        case 'f': out.push_back('\f'); break;
        case 'u': {
          uint32_t value = Hex4();
          if (value >= 0xD800 && value < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            at_ += 2;
            value = 0x10000 + ((value - 0xD800) << 10) + (Hex4() - 0xDC00);
          }
          mail::AppendUtf8(value, out);
          break;
        }
        default: out.push_back(c);
      }
    }
    ++at_;
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool ok_ = true;
};

Json Json::Parse(std::string_view text) { return JsonReader(text).Document(); }

const Json& Json::operator[](std::string_view name) const {
  static const Json kNone;
  for (const auto& [key, value] : members_) {
    if (key == name) return value;
  }
  return kNone;
}

bool Json::Has(std::string_view name) const {
  for (const auto& [key, value] : members_) {
    if (key == name) return true;
  }
  return false;
}

}  // namespace postern::conformance
