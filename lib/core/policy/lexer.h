// Words of smtpd.conf. Internal to policy.
//
// The rules are those of OpenSMTPD's lexer, traps included:
//   bare word   starts with a letter, digit, ':' or '_'; goes on with any printable octet but blank
//   and ( ) { } < > ! = # , number      digits followed by a blank, one of ) , / } =, or the end;
//   "4h" and "192.0.2.1" are words string      "..." or '...'; a backslash escapes the same quote,
//   blank and tab, and swallows a newline; any other stays;
//               a bare newline is dropped
//   $name       outside quotes: the text of the macro is read in its place, once, and may be part
//   of a word backslash and newline join lines, in comments too
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/diagnostic.h"

namespace postern::policy {

enum class TokenKind {
  kWord,      // bare, free to serve as a name
  kReserved,  // bare, a word of the grammar
  kQuoted,
  kNumber,
  kSymbol,   // one octet, or "=>"
  kNewline,  // end of a line or of an included file
  kEnd,      // end of the main file
  kError,    // already reported; the rest of the line has been skipped
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  SourceLocation location;

  bool IsSymbol(std::string_view symbol) const {
    return kind == TokenKind::kSymbol && text == symbol;
  }
  // IsBare tells whether it is `word` without quotes.
  bool IsBare(std::string_view word) const {
    return (kind == TokenKind::kWord || kind == TokenKind::kReserved) && text == word;
  }
  bool IsString() const { return kind == TokenKind::kWord || kind == TokenKind::kQuoted; }
  bool IsLineEnd() const { return kind == TokenKind::kNewline || kind == TokenKind::kEnd; }
  // Describe names it for an error: `"relay"`, `the end of the line`.
  std::string Describe() const;
};

// IsReservedWord tells whether `word` must be quoted to serve as a name.
bool IsReservedWord(std::string_view word);

struct LexerLimits {
  size_t max_string_bytes = 0;
  size_t max_total_bytes = 0;
};

class Lexer {
 public:
  Lexer(LexerLimits limits, Diagnostics* diagnostics)
      : limits_(limits), diagnostics_(diagnostics) {}

  // PushFile makes `text` what is read next; after its end reading goes on where it was. False when
  // the bound of all texts together is reached.
  bool PushFile(std::string name, std::string text);
  int file_depth() const { return file_depth_; }
  // CycleWith returns "a -> b -> path" when the file `path` (or, with `text`, one of the same
  // contents) is being read already, so that to read it again would never end; else "".
  std::string CycleWith(const std::string& path, const std::string* text) const;

  // QuoteThatEndsAt returns where the last quoted string of several lines began when it ended on
  // the line of `at`; else null. A forgotten quote is closed by the next one, lines later.
  const SourceLocation* QuoteThatEndsAt(const SourceLocation& at) const {
    const bool same = long_quote_end_line_ == at.line && long_quote_.file == at.file;
    return same && at.line != 0 ? &long_quote_ : nullptr;
  }

  // SetMacro defines or redefines a macro; `fixed` ones (of the command line) win over later
  // definitions.
  void SetMacro(const std::string& name, std::string value, bool fixed);

  // SetRefusedMacro notes that the definition of a macro was refused: what was wrong with it has
  // been said, and its uses say nothing more.
  void SetRefusedMacro(const std::string& name) {
    if (macros_.count(name) == 0) refused_macros_.insert(name);
  }

  Token Next();

 private:
  struct Frame {
    bool is_macro = false;
    std::string file;  // of a macro's frame: where it was used
    std::string text;
    size_t at = 0;
    int line = 1;
    size_t line_start = 0;
    int macro_column = 0;
  };
  static constexpr int kEof = -1;

  int Peek();
  int PeekSecond() const;
  void Advance();
  // PeekJoined and TakeJoined see the text with joined lines.
  int PeekJoined();
  SourceLocation Here() const;
  void SkipLine();
  Token Quoted(char quote);
  Token NumberOrWord();
  bool UseMacro(SourceLocation at);
  Token Fail(SourceLocation at, std::string message);

  LexerLimits limits_;
  Diagnostics* diagnostics_;
  std::vector<Frame> frames_;
  std::map<std::string, std::pair<std::string, bool>> macros_;
  std::set<std::string> refused_macros_;
  size_t total_bytes_ = 0;
  int file_depth_ = 0;
  SourceLocation long_quote_;
  int long_quote_end_line_ = 0;
};

}  // namespace postern::policy
