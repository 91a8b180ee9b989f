// What is said to the operator about a file: where, what was found, what would be right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::policy {

// SourceLocation is a place in a file that the operator wrote. Line 0 means the file as a whole;
// columns count octets from 1. A token that came out of a macro stands where the macro was used.
struct SourceLocation {
  std::string file;
  int line = 0;
  int column = 0;

  // ToString gives "file:line:column", without what is 0.
  std::string ToString() const;
};

// kNote is what an operator may want otherwise, where the file is right as it is: `postern check`
// shows it, a server that starts does not.
enum class Severity { kWarning, kError, kNote };

// SeverityName gives "error", "warning" or "note".
const char* SeverityName(Severity severity);

// Diagnostic is one sentence about one place. The message names what was found and what would be
// right; it is one line of printable text whatever the file holds.
struct Diagnostic {
  Severity severity = Severity::kError;
  SourceLocation location;
  std::string message;
  // code is a stable word for the kind of finding ("open-relay", advice.h), by which it can be left
  // out unless it is an error; empty for mistakes of the language.
  std::string code{};
  // edit is what would mend it: a line of the file, or words for what to do; may be empty.
  std::string edit{};

  // ToString gives "file:line:column: error: message".
  std::string ToString() const;
};

using Diagnostics = std::vector<Diagnostic>;

// HasErrors tells whether any of them is an error.
bool HasErrors(const Diagnostics& diagnostics);

// SortByPlace puts each file's by line, what is about all of it last, and what this version cannot
// do behind the operator's mistakes.
void SortByPlace(Diagnostics* diagnostics);

Diagnostic MakeError(SourceLocation location, std::string message);
Diagnostic MakeWarning(SourceLocation location, std::string message);
Diagnostic MakeNote(SourceLocation location, std::string message);

// DidYouMean returns ` (did you mean "listen"?)` for the nearest of `known`, or "" when none is
// near enough to be a slip, nor what other configurations call by the word that was found
// ("starttls" is `tls` here).
std::string DidYouMean(std::string_view found, const std::vector<std::string>& known);

// Declared returns DidYouMean's guess or, when there is none, ` (declared: a, b)`: for names that
// the operator chose. "" when there are none.
std::string Declared(std::string_view found, const std::vector<std::string>& names);

}  // namespace postern::policy
