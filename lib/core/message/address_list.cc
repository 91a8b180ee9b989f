#include "lib/core/message/address_list.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/message/encoded_word.h"

namespace postern::message {
namespace {

// Kind of one token of an address list.
enum class Kind : unsigned char {
  kEnd,
  kAtom,
  kQuoted,
  kLiteral,
  kComment,
  kComma,
  kColon,
  kSemicolon,
  kLess,
  kGreater,
  kAt,
  kDot
};

struct Token {
  Kind kind = Kind::kEnd;
  std::string text;
  bool blank_before = false;
};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Lexer cuts a value into the tokens of RFC 5322 §3.2, each octet looked at once.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token Next() {
    Token token = Read();
    after_at_ = token.kind == Kind::kAt;
    return token;
  }

 private:
  Token Read() {
    Token token;
    while (at_ < text_.size() && (IsSpace(text_[at_]) || text_[at_] == '\0')) {
      token.blank_before = true;
      ++at_;
    }
    if (at_ >= text_.size()) return token;
    const char c = text_[at_];
    switch (c) {
      case ',': return Mark(token, Kind::kComma);
      case ':': return Mark(token, Kind::kColon);
      case ';': return Mark(token, Kind::kSemicolon);
      case '<': return Mark(token, Kind::kLess);
      case '>': return Mark(token, Kind::kGreater);
      case '@': return Mark(token, Kind::kAt);
      case '.': return Mark(token, Kind::kDot);
      case '(': return Comment(token);
      case '"': return Quoted(token, '"', Kind::kQuoted);
      case '[':
        // A domain literal stands behind "@" and ends (RFC 5322 §3.4.1); elsewhere the bracket is a
        // character like others.
        if (after_at_ && !no_more_brackets_) {
          if (text_.find(']', at_) != std::string_view::npos)
            return Quoted(token, ']', Kind::kLiteral);
          no_more_brackets_ = true;
        }
        break;
      default: break;
    }
    token.kind = Kind::kAtom;
    const size_t start = at_++;
    while (at_ < text_.size() && !EndsAtom(text_[at_])) ++at_;
    token.text.assign(text_.substr(start, at_ - start));
    return token;
  }

  static bool EndsAtom(char c) {
    return IsSpace(c) || c == '\0' ||
           std::string_view(",:;<>@.(\"").find(c) != std::string_view::npos;
  }
  Token Mark(Token& token, Kind kind) {
    token.kind = kind;
    token.text.assign(1, text_[at_++]);
    return std::move(token);
  }
  // Comment reads to the closing parenthesis of the outermost level, or to the end.
  Token Comment(Token& token) {
    token.kind = Kind::kComment;
    size_t depth = 1;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\r' || c == '\n') continue;
      if (c == '\\' && at_ + 1 < text_.size()) {
        token.text.push_back(text_[++at_]);
        continue;
      }
      if (c == '(') ++depth;
      if (c == ')' && --depth == 0) {
        ++at_;
        break;
      }
      token.text.push_back(c);
    }
    return std::move(token);
  }
  // Quoted reads to `close`, or to the end: a missing quote costs one pass, because then nothing is
  // left.
  Token Quoted(Token& token, char close, Kind kind) {
    token.kind = kind;
    if (kind == Kind::kLiteral) token.text.push_back('[');
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\r' || c == '\n') continue;
      if (c == '\\' && at_ + 1 < text_.size()) {
        token.text.push_back(text_[++at_]);
        continue;
      }
      if (c == close) {
        ++at_;
        break;
      }
      token.text.push_back(c);
    }
    if (kind == Kind::kLiteral) token.text.push_back(']');
    return std::move(token);
  }

  std::string_view text_;
  size_t at_ = 0;
  bool after_at_ = false;          // the last token was "@"
  bool no_more_brackets_ = false;  // no "]" follows
};

// Words gathers the words of a phrase or of an address. In a phrase they are joined by one blank
// wherever blanks stood; in an address blanks around "." and "@" mean nothing (RFC 5322 §4.4).
struct Words {
  std::string phrase;
  std::string local;   // what an address would have before the "@"
  std::string domain;  // and behind it
  bool at = false;
  bool any = false;
  bool loose = false;  // two words with only a blank between: no address
  Kind last = Kind::kEnd;

  void Add(const Token& token) {
    if (token.blank_before && any) phrase.push_back(' ');
    phrase += token.text;
    const bool word = token.kind != Kind::kDot && token.kind != Kind::kAt;
    const bool after_word = any && last != Kind::kDot && last != Kind::kAt;
    if (word && after_word && token.blank_before) loose = true;
    if (token.kind == Kind::kAt && !at) {
      at = true;
    } else {
      (at ? domain : local) += token.text;
    }
    any = true;
    last = token.kind;
  }
  void Clear() { *this = Words(); }
};

// ListParser is the machine over the tokens. One element (between commas) has a phrase, an angle
// address, and comments.
class ListParser {
 public:
  explicit ListParser(std::string_view value) : lexer_(value) {}

  std::vector<Mailbox> Run() {
    while (list_.size() < kMaxMailboxes) {
      Token token = lexer_.Next();
      if (token.kind == Kind::kEnd) break;
      if (in_angle_) {
        Angle(token);
      } else {
        Outside(token);
      }
    }
    if (in_angle_) EndAngle();
    Finish();
    if (in_group_) EndGroup();
    return std::move(list_);
  }

 private:
  void Outside(Token& token) {
    switch (token.kind) {
      case Kind::kComma: Finish(); break;
      case Kind::kSemicolon:
        Finish();
        if (in_group_) EndGroup();
        break;
      case Kind::kColon:
        if (!in_group_ && !have_angle_ && !words_.at) {
          Mailbox group;
          group.kind = Mailbox::Kind::kGroupStart;
          group.name = words_.any ? words_.phrase : comment_;
          list_.push_back(std::move(group));
          in_group_ = true;
          words_.Clear();
          comment_.clear();
        } else {
          words_.Add(token);
        }
        break;
      case Kind::kLess:
        // "a <b> <c>": the comma is missing.
        if (have_angle_) Finish();
        in_angle_ = true;
        angle_.Clear();
        break;
      case Kind::kGreater: break;
      case Kind::kComment:
        if (comment_.empty()) comment_ = std::move(token.text);
        break;
      default:
        // Words behind "<address>" begin another one when the comma is missing.
        if (have_angle_) Finish();
        words_.Add(token);
        break;
    }
  }

  void Angle(Token& token) {
    switch (token.kind) {
      case Kind::kGreater: EndAngle(); break;
      case Kind::kColon:
        // RFC 5322 §4.4: obs-route ends with a colon; it says nothing to us.
        if (angle_.at && angle_.local.empty()) {
          angle_.Clear();
        } else {
          angle_.Add(token);
        }
        break;
      case Kind::kComma:
        // Inside a route a comma separates hops; elsewhere the ">" is missing.
        if (!(angle_.at && angle_.local.empty())) {
          EndAngle();
          Finish();
        }
        break;
      case Kind::kLess:
      case Kind::kComment: break;
      default: angle_.Add(token); break;
    }
  }

  void EndAngle() {
    in_angle_ = false;
    have_angle_ = true;
  }

  // Finish ends the element and lists what it is.
  void Finish() {
    Mailbox mailbox;
    if (have_angle_) {
      mailbox.name = words_.any ? std::move(words_.phrase) : std::move(comment_);
      mailbox.local_part = std::move(angle_.local);
      mailbox.domain = std::move(angle_.domain);
      if (!angle_.any && mailbox.name.empty()) mailbox.local_part.clear();
      Push(std::move(mailbox));
    } else if (words_.any) {
      if (words_.loose && !words_.at) {
        // Words that are no address: what people see is all there is.
        mailbox.local_part = std::move(words_.phrase);
      } else {
        mailbox.local_part = std::move(words_.local);
        mailbox.domain = std::move(words_.domain);
        mailbox.name = std::move(comment_);
      }
      Push(std::move(mailbox));
    }
    words_.Clear();
    angle_.Clear();
    comment_.clear();
    have_angle_ = false;
  }

  void Push(Mailbox mailbox) { list_.push_back(std::move(mailbox)); }

  void EndGroup() {
    Mailbox end;
    end.kind = Mailbox::Kind::kGroupEnd;
    list_.push_back(std::move(end));
    in_group_ = false;
  }

  Lexer lexer_;
  std::vector<Mailbox> list_;
  Words words_;          // before the "<"
  Words angle_;          // inside it
  std::string comment_;  // the first comment of the element
  bool in_angle_ = false;
  bool have_angle_ = false;
  bool in_group_ = false;
};

}  // namespace

std::string Mailbox::DisplayName() const { return DecodeText(name); }

std::string Mailbox::Address() const {
  mail::Address address;
  address.local_part = local_part;
  address.domain = domain;
  return address.ToString();
}

std::vector<Mailbox> ParseAddressList(std::string_view value) { return ListParser(value).Run(); }

std::string FormatMailbox(std::string_view name, std::string_view address) {
  if (name.empty()) return std::string(address);
  return StrCat(EncodeText(name, WordContext::kPhrase), " <", address, ">");
}

}  // namespace postern::message
