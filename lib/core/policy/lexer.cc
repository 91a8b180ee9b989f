#include "lib/core/policy/lexer.h"

#include <algorithm>
#include <iterator>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// In order, for the binary search.
constexpr std::string_view kReservedWords[] = {"action",
                                               "admd",
                                               "alias",
                                               "any",
                                               "auth",
                                               "auth-optional",
                                               "backup",
                                               "bounce",
                                               "bypass",
                                               "ca",
                                               "cert",
                                               "chain",
                                               "chroot",
                                               "ciphers",
                                               "commit",
                                               "compression",
                                               "connect",
                                               "data",
                                               "data-line",
                                               "dhe",
                                               "disconnect",
                                               "domain",
                                               "ehlo",
                                               "encryption",
                                               "expand-only",
                                               "fcrdns",
                                               "filter",
                                               "for",
                                               "forward-only",
                                               "from",
                                               "group",
                                               "helo",
                                               "helo-src",
                                               "host",
                                               "hostname",
                                               "hostnames",
                                               "include",
                                               "inet4",
                                               "inet6",
                                               "junk",
                                               "key",
                                               "limit",
                                               "listen",
                                               "lmtp",
                                               "local",
                                               "mail-from",
                                               "maildir",
                                               "mask-src",
                                               "masquerade",
                                               "match",
                                               "max-deferred",
                                               "max-message-size",
                                               "mbox",
                                               "mda",
                                               "mta",
                                               "mx",
                                               "no-dsn",
                                               "no-verify",
                                               "noop",
                                               "on",
                                               "phase",
                                               "pki",
                                               "port",
                                               "proc",
                                               "proc-exec",
                                               "protocols",
                                               "proxy-v2",
                                               "queue",
                                               "quit",
                                               "rcpt-to",
                                               "rdns",
                                               "received-auth",
                                               "recipient",
                                               "regex",
                                               "reject",
                                               "relay",
                                               "report",
                                               "rewrite",
                                               "rset",
                                               "scheduler",
                                               "senders",
                                               "smtp",
                                               "smtp-in",
                                               "smtp-out",
                                               "smtps",
                                               "socket",
                                               "src",
                                               "srs",
                                               "sub-addr-delim",
                                               "table",
                                               "tag",
                                               "tagged",
                                               "tls",
                                               "tls-require",
                                               "ttl",
                                               "user",
                                               "userbase",
                                               "verify",
                                               "virtual",
                                               "warn-interval",
                                               "wrapper"};

bool IsPrintableMark(char c) { return c > 0x20 && c < 0x7f && !IsAsciiAlnum(c); }

bool AllowedInWord(int c) {
  if (c < 0) return false;
  const char ch = static_cast<char>(c);
  return IsAsciiAlnum(ch) ||
         (IsPrintableMark(ch) && std::string_view("(){}<>!=#,").find(ch) == std::string_view::npos);
}

bool EndsNumber(int c) {
  return c < 0 ||
         std::string_view(" \t\n\r\v\f),/}=").find(static_cast<char>(c)) != std::string_view::npos;
}

bool StartsWord(int c) {
  if (c < 0) return false;
  const char ch = static_cast<char>(c);
  return IsAsciiAlnum(ch) || ch == ':' || ch == '_';
}

}  // namespace

bool IsReservedWord(std::string_view word) {
  return std::binary_search(std::begin(kReservedWords), std::end(kReservedWords), word);
}

std::string Token::Describe() const {
  switch (kind) {
    case TokenKind::kNewline: return "the end of the line";
    case TokenKind::kEnd: return "the end of the file";
    case TokenKind::kNumber: return StrCat("the number ", Escape(text, 64));
    case TokenKind::kReserved: return StrCat("the reserved word \"", text, "\"");
    case TokenKind::kWord:
    case TokenKind::kQuoted:
    case TokenKind::kSymbol:
    case TokenKind::kError: break;
  }
  return StrCat("\"", Escape(text, 64), "\"");
}

bool Lexer::PushFile(std::string name, std::string text) {
  if (text.size() > limits_.max_total_bytes - total_bytes_) return false;
  total_bytes_ += text.size();
  Frame frame;
  frame.file = std::move(name);
  frame.text = std::move(text);
  frames_.push_back(std::move(frame));
  ++file_depth_;
  return true;
}

std::string Lexer::CycleWith(const std::string& path, const std::string* text) const {
  std::string cycle;
  for (const Frame& frame : frames_) {
    if (frame.is_macro) continue;
    const bool same = frame.file == path || (text != nullptr && frame.text == *text);
    if (cycle.empty() && !same) continue;
    StrAppend(cycle, Escape(frame.file), " -> ");
  }
  return cycle.empty() ? "" : cycle + Escape(path);
}

void Lexer::SetMacro(const std::string& name, std::string value, bool fixed) {
  auto [it, is_new] = macros_.try_emplace(name, value, fixed);
  if (is_new || it->second.second) return;
  it->second = {std::move(value), fixed};
}

int Lexer::Peek() {
  while (!frames_.empty()) {
    const Frame& top = frames_.back();
    if (top.at < top.text.size()) return static_cast<unsigned char>(top.text[top.at]);
    if (!top.is_macro) return kEof;
    frames_.pop_back();
  }
  return kEof;
}

int Lexer::PeekSecond() const {
  const Frame& top = frames_.back();
  return top.at + 1 < top.text.size() ? static_cast<unsigned char>(top.text[top.at + 1]) : kEof;
}

void Lexer::Advance() {
  Frame& top = frames_.back();
  if (top.text[top.at] == '\n') {
    ++top.line;
    top.line_start = top.at + 1;
  }
  ++top.at;
}

int Lexer::PeekJoined() {
  while (Peek() == '\\' && PeekSecond() == '\n') {
    Advance();
    Advance();
  }
  return Peek();
}

SourceLocation Lexer::Here() const {
  if (frames_.empty()) return {};
  const Frame& top = frames_.back();
  if (top.is_macro) return {top.file, top.line, top.macro_column};
  return {top.file, top.line, static_cast<int>(top.at - top.line_start) + 1};
}

void Lexer::SkipLine() {
  for (int c = PeekJoined(); c != kEof && c != '\n'; c = PeekJoined()) Advance();
}

Token Lexer::Fail(SourceLocation at, std::string message) {
  SkipLine();
  diagnostics_->push_back(MakeError(at, std::move(message)));
  return Token{TokenKind::kError, "", std::move(at)};
}

bool Lexer::UseMacro(SourceLocation at) {
  Advance();
  std::string name;
  for (int c = PeekJoined(); c != kEof && (IsAsciiAlnum(static_cast<char>(c)) || c == '_');
       c = PeekJoined()) {
    name.push_back(static_cast<char>(c));
    Advance();
  }
  const auto found = macros_.find(name);
  if (found == macros_.end()) {
    if (refused_macros_.count(name) != 0) return false;
    std::vector<std::string> known;
    for (const auto& [macro, value] : macros_) known.push_back(macro);
    diagnostics_->push_back(MakeError(
        at, StrCat("macro '", Escape(name, 64), "' not defined", DidYouMean(name, known))));
    return false;
  }
  const std::string& text = found->second.first;
  if (text.size() > limits_.max_total_bytes - total_bytes_) {
    diagnostics_->push_back(MakeError(at, "the macros of this file add up to too much text"));
    return false;
  }
  total_bytes_ += text.size();
  Frame frame;
  frame.is_macro = true;
  frame.file = at.file;
  frame.text = text;
  frame.line = at.line;
  frame.macro_column = at.column;
  frames_.push_back(std::move(frame));
  return true;
}

Token Lexer::Quoted(char quote) {
  Token token{TokenKind::kQuoted, "", Here()};
  Advance();
  for (;;) {
    const int c = Peek();
    if (c == kEof) {
      return Fail(
          token.location,
          StrCat("reached end of file inside a quoted string that starts at line ",
                 token.location.line, ": the closing ", std::string(1, quote), " is missing"));
    }
    if (token.text.size() >= limits_.max_string_bytes) {
      return Fail(token.location,
                  StrCat("quoted string of more than ", limits_.max_string_bytes, " octets"));
    }
    if (c == 0) return Fail(Here(), "syntax error: a NUL octet in a quoted string");
    if (c == '\\') {
      const int next = PeekSecond();
      if (next == quote || next == ' ' || next == '\t') {
        Advance();
        token.text.push_back(static_cast<char>(next));
      } else if (next == '\n') {
        Advance();  // the newline goes below, with the second Advance
      } else {
        token.text.push_back('\\');
        if (next == '\\') {  // "\\" is two, and the second protects nothing
          token.text.push_back('\\');
          Advance();
        }
      }
      Advance();
      continue;
    }
    Advance();
    if (c == quote) {
      const int end_line = frames_.back().line;
      if (end_line != token.location.line) {
        long_quote_ = token.location;
        long_quote_end_line_ = end_line;
      }
      return token;
    }
    if (c != '\n') token.text.push_back(static_cast<char>(c));
  }
}

Token Lexer::NumberOrWord() {
  Token token{TokenKind::kWord, "", Here()};
  bool digits_only = true;
  int c = PeekJoined();
  if (c == '-') {
    token.text.push_back('-');
    Advance();
    c = PeekJoined();
  }
  while (c != kEof) {
    if (digits_only && !IsAsciiDigit(static_cast<char>(c))) {
      if (EndsNumber(c)) break;
      digits_only = false;
    }
    if (!AllowedInWord(c)) break;
    if (token.text.size() >= limits_.max_string_bytes) {
      return Fail(token.location,
                  StrCat("word of more than ", limits_.max_string_bytes, " octets"));
    }
    token.text.push_back(static_cast<char>(c));
    Advance();
    c = PeekJoined();
  }
  const bool has_digit = !token.text.empty() && token.text != "-";
  if (digits_only && has_digit && EndsNumber(c)) {
    token.kind = TokenKind::kNumber;
  } else if (token.text[0] == '-') {
    token.kind = TokenKind::kSymbol;  // no word starts with a dash: the parser says to quote it
  } else if (IsReservedWord(token.text)) {
    token.kind = TokenKind::kReserved;
  }
  return token;
}

Token Lexer::Next() {
  for (;;) {
    if (frames_.empty()) return Token{};
    const int c = PeekJoined();
    if (frames_.empty()) return Token{};
    const SourceLocation here = Here();
    if (c == kEof) {
      // An included file ends its last line; the main file ends the configuration.
      if (file_depth_ == 1) return Token{TokenKind::kEnd, "", here};
      frames_.pop_back();
      --file_depth_;
      return Token{TokenKind::kNewline, "", here};
    }
    switch (c) {
      case ' ':
      case '\t':
      case '\r': Advance(); continue;
      case '#': SkipLine(); continue;
      case '\n': Advance(); return Token{TokenKind::kNewline, "", here};
      case '"':
      case '\'': return Quoted(static_cast<char>(c));
      case '$':
        if (!frames_.back().is_macro) {
          if (UseMacro(here)) continue;
          SkipLine();
          return Token{TokenKind::kError, "", here};
        }
        break;
      case '=':
        Advance();
        if (Peek() == '>') {
          Advance();
          return Token{TokenKind::kSymbol, "=>", here};
        }
        return Token{TokenKind::kSymbol, "=", here};
      default:
        if (StartsWord(c) || c == '-') return NumberOrWord();
        if (c == 0xef && here.line == 1 && here.column == 1) {
          return Fail(here,
                      "the file begins with a byte order mark of UTF-8 (octets EF BB BF), as some "
                      "editors write it: save it without one");
        }
        break;
    }
    Advance();
    return Token{TokenKind::kSymbol, std::string(1, static_cast<char>(c)), here};
  }
}

}  // namespace postern::policy
