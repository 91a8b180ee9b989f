// A file of smtpd.conf as it is written: statements of words with their quotes, macros and
// comments, for a tool that changes some lines and leaves the rest. What the words mean is the
// parser's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::policy {

// Words stay as they were written, quotes, macros and all; each of { } < > ! , = ( ) is a word of
// its own.
using Words = std::vector<std::string>;

// SourceStatement is a line with its continuations.
struct SourceStatement {
  size_t first = 0;     // index of its first line
  size_t count = 1;     // of lines
  Words words;          // empty: a blank line, or a comment alone
  std::string comment;  // from its #, when one ends the last line
};

// StatementReader cuts lines into statements: a line goes on after a backslash at its end, within
// quotes, and within braces. Linear time. `lines` outlives it.
class StatementReader {
 public:
  // A statement of more than `max_words` words ends at the end of that line.
  StatementReader(const std::vector<std::string_view>& lines, size_t max_words)
      : lines_(lines), max_words_(max_words) {}

  // Next reads a statement into `out`; false at the end of the lines.
  bool Next(SourceStatement* out);

 private:
  const std::vector<std::string_view>& lines_;
  size_t max_words_;
  size_t line_ = 0;
};

// JoinWords writes words with the blanks that people put between them.
std::string JoinWords(const Words& words);

// Unquoted is the word without the quotes around it. The result points into `word`.
std::string_view Unquoted(std::string_view word);

// Quoted puts quotes around a bare word that today's lexer would not take bare. Quoted words and
// macros stay.
std::string Quoted(const std::string& word);

}  // namespace postern::policy
