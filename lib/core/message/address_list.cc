#include "lib/core/message/address_list.h"

#include <algorithm>

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
  // token_start is where the last token begins.
  size_t token_start() const { return token_start_; }
  // unclosed tells whether a quoted string or a comment went to the end of the text.
  bool unclosed() const { return unclosed_; }

 private:
  Token Read() {
    Token token;
    while (at_ < text_.size() && (IsSpace(text_[at_]) || text_[at_] == '\0')) {
      token.blank_before = true;
      ++at_;
    }
    token_start_ = at_;
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
    if (depth > 0) unclosed_ = true;
    return std::move(token);
  }
  // Quoted reads to `close`, or to the end: a missing quote costs one pass, because then nothing is
  // left.
  Token Quoted(Token& token, char close, Kind kind) {
    token.kind = kind;
    bool closed = false;
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
        closed = true;
        break;
      }
      token.text.push_back(c);
    }
    if (!closed) unclosed_ = true;
    if (kind == Kind::kLiteral) token.text.push_back(']');
    return std::move(token);
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t token_start_ = 0;
  bool unclosed_ = false;
  bool after_at_ = false;          // the last token was "@"
  bool no_more_brackets_ = false;  // no "]" follows
};

// Run is words with nothing but "." and "@" between: what an address would be made of.
struct Run {
  std::string text;
  std::string local;   // before the "@"
  std::string domain;  // and behind it
  bool at = false;
  size_t start = 0;  // where it begins
  bool odd = false;  // a second "@", or words that touch: nothing that RFC 5322 §3.4.1 has
};

// Words gathers the words of a phrase or of an address. In a phrase they are joined by one blank
// wherever blanks stood; in an address blanks around "." and "@" mean nothing (RFC 5322 §4.4). A
// blank between two words ends an address and begins the next run.
struct Words {
  std::string phrase;
  Run run;                   // the last one
  std::vector<Run> earlier;  // those before it
  bool any = false;
  Kind last = Kind::kEnd;

  void Add(const Token& token, size_t start) {
    if (token.blank_before && any) phrase.push_back(' ');
    phrase += token.text;
    const bool word = token.kind != Kind::kDot && token.kind != Kind::kAt;
    const bool after_word = any && last != Kind::kDot && last != Kind::kAt;
    if (word && after_word) {
      if (token.blank_before) {
        // Words that are no address go together; past the bound of a list nothing is kept.
        if (!run.at && !earlier.empty() && !earlier.back().at) {
          StrAppend(earlier.back().text, " ", run.text);
        } else if (earlier.size() < kMaxMailboxes) {
          earlier.push_back(std::move(run));
        }
        run = Run();
      } else {
        run.odd = true;
      }
    }
    if (run.text.empty()) run.start = start;
    run.text += token.text;
    if (token.kind == Kind::kAt && !run.at) {
      run.at = true;
    } else {
      run.odd = run.odd || token.kind == Kind::kAt;
      (run.at ? run.domain : run.local) += token.text;
    }
    any = true;
    last = token.kind;
  }
  // HasAddress tells whether an "@" stands in any of the runs.
  bool HasAddress() const {
    return run.at || std::any_of(earlier.begin(), earlier.end(), [](const Run& r) { return r.at; });
  }
  void Clear() { *this = Words(); }
};

// ListParser is the machine over the tokens. One element (between commas) has a phrase, an angle
// address, and comments.
class ListParser {
 public:
  ListParser(std::string_view value, AddressListDefects* defects)
      : lexer_(value), defects_(*defects) {}

  std::vector<Mailbox> Parse() {
    while (list_.size() < kMaxMailboxes) {
      Token token = lexer_.Next();
      if (token.kind == Kind::kEnd) break;
      if (in_angle_) {
        Angle(token);
      } else {
        Outside(token);
      }
    }
    if (lexer_.unclosed()) Malformed();
    if (in_angle_) {
      Malformed();
      EndAngle();
    }
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
        // RFC 5322 §3.4: it ends a group, and there is none.
        if (!in_group_) Malformed();
        if (in_group_) EndGroup();
        break;
      case Kind::kColon:
        if (!in_group_ && !have_angle_ && !words_.HasAddress()) {
          Mailbox group;
          group.kind = Mailbox::Kind::kGroupStart;
          group.name = words_.any ? words_.phrase : comment_;
          list_.push_back(std::move(group));
          in_group_ = true;
          words_.Clear();
          comment_.clear();
        } else {
          words_.Add(token, lexer_.token_start());
        }
        break;
      case Kind::kLess:
        // "a <b> <c>": the comma is missing.
        if (have_angle_) {
          MissingComma();
          Finish();
        }
        in_angle_ = true;
        angle_.Clear();
        break;
      case Kind::kGreater: Malformed(); break;
      case Kind::kComment:
        if (comment_.empty()) comment_ = std::move(token.text);
        break;
      default:
        // Words behind "<address>" begin another one when the comma is missing.
        if (have_angle_) {
          MissingComma();
          Finish();
        }
        words_.Add(token, lexer_.token_start());
        break;
    }
  }

  void Angle(Token& token) {
    switch (token.kind) {
      case Kind::kGreater: EndAngle(); break;
      case Kind::kColon:
        // RFC 5322 §4.4: obs-route ends with a colon; it says nothing to us.
        if (IsRoute()) {
          angle_.Clear();
        } else {
          angle_.Add(token, lexer_.token_start());
        }
        break;
      case Kind::kComma:
        // Inside a route a comma separates hops; elsewhere the ">" is missing.
        if (!IsRoute()) {
          Malformed();
          EndAngle();
          Finish();
        }
        break;
      case Kind::kLess:
      case Kind::kComment: break;
      default: angle_.Add(token, lexer_.token_start()); break;
    }
  }

  void EndAngle() {
    in_angle_ = false;
    have_angle_ = true;
  }

  // IsRoute tells whether "@host" stands before the address, as RFC 5322 §4.4 had it.
  bool IsRoute() const {
    return angle_.run.at && angle_.run.local.empty() && angle_.earlier.empty();
  }

  // Finish ends the element and lists what it is.
  void Finish() {
    if (have_angle_) {
      // RFC 5322 §3.2.5: no word of a phrase has an "@".
      if (words_.HasAddress()) Malformed(StartOf(words_));
      PushRuns(angle_, words_.any ? std::move(words_.phrase) : std::move(comment_), true);
    } else if (words_.any) {
      PushRuns(words_, std::move(comment_), false);
    }
    words_.Clear();
    angle_.Clear();
    comment_.clear();
    have_angle_ = false;
  }

  // PushRuns lists the addresses that `words` hold. There should be one; what stands before it is
  // taken for its name, and between two of them the comma is missing.
  void PushRuns(Words& words, std::string name, bool angle) {
    if (!words.HasAddress()) {
      // Words that are no address: what people see is all there is.
      Mailbox mailbox;
      mailbox.name = std::move(name);
      mailbox.local_part = std::move(words.phrase);
      Malformed(StartOf(words));
      list_.push_back(std::move(mailbox));
      return;
    }
    words.earlier.push_back(std::move(words.run));
    std::string before;  // words that are no address
    bool first = true;
    for (Run& run : words.earlier) {
      if (list_.size() >= kMaxMailboxes) break;
      if (!run.at) {
        Malformed(run.start);
        StrAppend(before, before.empty() ? "" : " ", run.text);
        continue;
      }
      if (!first) MissingComma(run.start);
      if (run.odd || run.local.empty() || run.domain.empty()) Malformed(run.start);
      Mailbox mailbox;
      if (first && (angle || before.empty())) {
        mailbox.name = std::move(name);
      } else {
        mailbox.name = std::move(before);
      }
      before.clear();
      first = false;
      mailbox.local_part = std::move(run.local);
      mailbox.domain = std::move(run.domain);
      list_.push_back(std::move(mailbox));
    }
    // Words behind the last address say who it is, when nothing else does.
    if (!before.empty() && !first && list_.back().name.empty())
      list_.back().name = std::move(before);
  }

  size_t StartOf(const Words& words) const {
    if (!words.any) return lexer_.token_start();
    return words.earlier.empty() ? words.run.start : words.earlier.front().start;
  }
  void Malformed() { Malformed(lexer_.token_start()); }
  void Malformed(size_t place) { defects_.malformed = std::min(defects_.malformed, place); }
  void MissingComma() { MissingComma(lexer_.token_start()); }
  void MissingComma(size_t place) {
    defects_.missing_comma = std::min(defects_.missing_comma, place);
  }

  void EndGroup() {
    Mailbox end;
    end.kind = Mailbox::Kind::kGroupEnd;
    list_.push_back(std::move(end));
    in_group_ = false;
  }

  Lexer lexer_;
  AddressListDefects& defects_;
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

std::vector<Mailbox> ParseAddressList(std::string_view value, AddressListDefects* defects) {
  AddressListDefects unwanted;
  return ListParser(value, defects == nullptr ? &unwanted : defects).Parse();
}

std::string FormatMailbox(std::string_view name, std::string_view address, size_t column) {
  if (name.empty()) return std::string(address);
  return StrCat(EncodeText(name, WordContext::kPhrase, column), " <", address, ">");
}

}  // namespace postern::message
