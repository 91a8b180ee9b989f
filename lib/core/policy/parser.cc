#include "lib/core/policy/parser.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::policy {

// The directives. The first word of a line chooses the row.
const Parser::Directive Parser::kDirectives[] = {
    {"action", &Parser::ParseAction},     {"admd", &Parser::ParseAdmd},
    {"bounce", &Parser::ParseBounce},     {"ca", &Parser::ParseCa},
    {"filter", &Parser::ParseFilter},     {"include", &Parser::ParseInclude},
    {"listen", &Parser::ParseListen},     {"mailname", &Parser::ParseMailname},
    {"match", &Parser::ParseMatch},       {"mda", &Parser::ParseMda},
    {"mta", &Parser::ParseMta},           {"pki", &Parser::ParsePki},
    {"proc", &Parser::ParseProc},         {"queue", &Parser::ParseQueue},
    {"resolver", &Parser::ParseResolver}, {"scheduler", &Parser::ParseScheduler},
    {"smtp", &Parser::ParseSmtp},         {"spool", &Parser::ParseSpool},
    {"control", &Parser::ParseControl},   {"libexec", &Parser::ParseLibexec},
    {"srs", &Parser::ParseSrs},           {"table", &Parser::ParseTable},
};

Parser::Parser(SourceLoader* loader, const ParseOptions* options)
    : loader_(loader),
      options_(options),
      lexer_(LexerLimits{options->max_string_bytes, options->max_total_bytes}, &diagnostics_) {}

ParseResult Parser::Run(const std::string& file_name) {
  bool read = false;
  config_.file_name = file_name;
  for (const auto& [name, value] : options_->macros) lexer_.SetMacro(name, value, /*fixed=*/true);
  StatusOr<std::string> text = loader_->Load(file_name);
  if (!text.ok()) {
    Error({file_name, 0, 0},
          StrCat("cannot read the configuration: ", Escape(Message(text.status()))));
  } else if (text->size() > options_->max_file_bytes ||
             !lexer_.PushFile(file_name, *std::move(text))) {
    Error({file_name, 0, 0},
          StrCat("the configuration is larger than ", options_->max_file_bytes, " octets"));
  } else {
    while (Peek().kind != TokenKind::kEnd && ErrorsSoFar() < options_->max_errors) ParseStatement();
    CheckWhole();
    if (warnings_ > options_->max_errors) {
      diagnostics_.push_back(
          MakeWarning({file_name, 0, 0},
                      StrCat(warnings_ - options_->max_errors, " more warnings are not shown")));
    }
    read = true;
  }
  SortByPlace(&diagnostics_);
  ParseResult result;
  if (read) result.readable = std::make_shared<const Config>(std::move(config_));
  if (!HasErrors(diagnostics_)) result.config = result.readable;
  result.diagnostics = std::move(diagnostics_);
  return result;
}

const Token& Parser::Peek() {
  if (!next_) {
    next_ = lexer_.Next();
    if (next_->kind == TokenKind::kError) saw_match_ = true;
  }
  return *next_;
}

Token Parser::Take() {
  Peek();
  Token token = *std::move(next_);
  next_.reset();
  if (token.IsSymbol("{")) ++brace_depth_;
  if (token.IsSymbol("}") && brace_depth_ > 0) --brace_depth_;
  return token;
}

bool Parser::TakeBare(std::string_view word) {
  if (!Peek().IsBare(word)) return false;
  Take();
  return true;
}

bool Parser::TakeSymbol(std::string_view symbol) {
  if (!Peek().IsSymbol(symbol)) return false;
  Take();
  return true;
}

void Parser::SkipNewlines() {
  while (Peek().kind == TokenKind::kNewline) Take();
}

void Parser::Error(const SourceLocation& at, std::string message) {
  diagnostics_.push_back(MakeError(at, std::move(message)));
}

size_t Parser::ErrorsSoFar() {
  for (; counted_ < diagnostics_.size(); ++counted_)
    errors_ += diagnostics_[counted_].severity == Severity::kError ? 1 : 0;
  return errors_;
}

// A file with many warnings is still read to its end: what they are about works.
void Parser::Warn(const SourceLocation& at, std::string message) {
  if (++warnings_ > options_->max_errors) return;
  diagnostics_.push_back(MakeWarning(at, std::move(message)));
}

bool Parser::Unexpected(std::string_view wanted, const std::vector<std::string>& known) {
  const Token& found = Peek();
  if (found.kind == TokenKind::kError) return false;  // told already
  std::string message = StrCat("syntax error: found ", found.Describe(), ", expected ", wanted);
  if (found.kind == TokenKind::kWord || found.kind == TokenKind::kReserved)
    message += DidYouMean(found.text, known);
  const SourceLocation* quote = lexer_.QuoteThatEndsAt(found.location);
  if (quote != nullptr) {
    StrAppend(message, "; the quoted string that begins at ", quote->line, ":", quote->column,
              " goes on to this line: its closing quote may be missing there");
  }
  Error(found.location, std::move(message));
  return false;
}

bool Parser::NotDeclared(const std::string& kind, const std::string& name, const SourceLocation& at,
                         std::string message) {
  if (broken_names_.count(StrCat(kind, " ", name)) != 0) return false;
  early_uses_.push_back({kind, name, diagnostics_.size()});
  Error(at, std::move(message));
  return false;
}

bool Parser::Resume(const std::vector<std::string>& known) {
  const auto told = [this](const Token& token) {
    if (diagnostics_.empty()) return false;
    const SourceLocation& last = diagnostics_.back().location;
    return last.line == token.location.line && last.column == token.location.column;
  };
  for (bool first = true; !AtLineEnd(); first = false) {
    const Token& token = Peek();
    if (token.IsSymbol("{") || token.kind == TokenKind::kError) return false;
    const bool is_bare = token.kind == TokenKind::kWord || token.kind == TokenKind::kReserved;
    if (is_bare && !(first && told(token))) {
      if (std::find(known.begin(), known.end(), token.text) != known.end()) return true;
      const std::string guess = DidYouMean(token.text, known);
      if (!guess.empty())
        Error(token.location, StrCat("syntax error: found ", token.Describe(), guess));
    }
    Take();
  }
  return false;
}

bool Parser::ExpectString(std::string_view what, std::string* out, SourceLocation* at) {
  const Token& found = Peek();
  if (found.IsString()) {
    if (found.text.find('\0') != std::string::npos) return Unexpected(what);
    if (at != nullptr) *at = found.location;
    *out = Take().text;
    return true;
  }
  if (found.kind == TokenKind::kReserved) {
    Error(found.location, StrCat("syntax error: \"", found.text,
                                 "\" is a reserved word; put it in quotes to use it as ", what));
    return false;
  }
  const bool wants_quotes = found.kind == TokenKind::kNumber ||
                            (found.kind == TokenKind::kSymbol && !found.IsSymbol("{") &&
                             !found.IsSymbol("}") && !found.IsSymbol("<"));
  return Unexpected(wants_quotes ? StrCat(what, " (put it in quotes)") : std::string(what));
}

bool Parser::ExpectNumber(std::string_view what, int64_t minimum, int64_t maximum, int64_t* out) {
  const Token& found = Peek();
  if (found.kind != TokenKind::kNumber) return Unexpected(StrCat(what, ": a number"));
  const bool negative = found.text[0] == '-';
  const std::optional<uint64_t> value = ParseUint(found.text.substr(negative ? 1 : 0), INT64_MAX);
  const int64_t number = !value     ? 0
                         : negative ? -static_cast<int64_t>(*value)
                                    : static_cast<int64_t>(*value);
  if (!value || number < minimum || number > maximum) {
    Error(found.location, StrCat("invalid ", what, ": ", Escape(found.text, 64), " (", minimum,
                                 " to ", maximum, ")"));
    return false;
  }
  Take();
  *out = number;
  return true;
}

bool Parser::ExpectDuration(std::string_view what, Duration* out) {
  const Token found = Peek();
  if (!found.IsString() && found.kind != TokenKind::kNumber)
    return Unexpected(StrCat(what, ", like 4h"));
  int64_t unit_s = 0;
  std::string_view digits = found.text;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 's': unit_s = 1; break;
      case 'm': unit_s = 60; break;
      case 'h': unit_s = 3600; break;
      case 'd': unit_s = 86400; break;
      default: break;
    }
    digits.remove_suffix(1);
  }
  constexpr uint64_t kMaxUnits = 1'000'000'000;  // far beyond any use; keeps the product in range
  const std::optional<uint64_t> count = ParseUint(digits, kMaxUnits);
  if (unit_s == 0 || !count || *count == 0) {
    Error(found.location, StrCat("invalid ", what, ": ", Escape(found.text, 64),
                                 " (use a number and one of s, m, h, d)"));
    return false;
  }
  Take();
  *out = absl::Seconds(static_cast<int64_t>(*count) * unit_s);
  return true;
}

bool Parser::ExpectBare(std::string_view word) {
  if (TakeBare(word)) return true;
  return Unexpected(StrCat("\"", word, "\""), {std::string(word)});
}

bool Parser::Once(std::set<std::string>* seen, const std::string& option, std::string_view of,
                  const SourceLocation& at) {
  if (seen->insert(option).second) return true;
  Error(at, StrCat(option, " already specified", of.empty() ? "" : " for this ", of));
  return false;
}

void Parser::ParseStatement() {
  SkipNewlines();
  brace_depth_ = 0;
  if (Peek().kind == TokenKind::kEnd) return;
  if (Peek().kind != TokenKind::kWord && Peek().kind != TokenKind::kReserved &&
      Peek().kind != TokenKind::kQuoted) {
    saw_match_ = true;
    Unexpected("a directive");
    return Recover();
  }
  const Token first = Take();
  if (Peek().IsSymbol("=")) {
    if (!ParseMacro(first)) Recover();
    return;
  }
  for (const Directive& row : kDirectives) {
    if (!first.IsBare(row.word)) continue;
    if (first.IsBare("match")) saw_match_ = true;
    bool ok = (this->*row.parse)(first);
    if (ok && !AtLineEnd()) ok = Unexpected("the end of the line");
    if (ok) return;
    // What belonged to a refused listener or action must not stick to the next one.
    // Whether there is such a pki or ca is looked up all the same.
    for (PendingName& p : pending_) {
      if (p.listener != kNoIndex && static_cast<size_t>(p.listener) >= config_.listeners.size())
        p.listener = kNoIndex;
      if (p.action != kNoIndex && static_cast<size_t>(p.action) >= config_.actions.size())
        p.action = kNoIndex;
    }
    return Recover();
  }
  saw_match_ = true;
  if (first.text == "accept" || first.text == "deliver") {
    Error(first.location, StrCat("syntax error: \"", first.text,
                                 "\" belongs to the configuration language of before 6.4; today's "
                                 "words are action and match"));
    return Recover();
  }
  std::vector<std::string> known;
  for (const Directive& row : kDirectives) known.emplace_back(row.word);
  const std::string guess = DidYouMean(first.text, known);
  Error(first.location,
        StrCat("syntax error: unknown directive \"", Escape(first.text, 64), "\"",
               guess.empty() ? StrCat(" (there are: ", StrJoin(known, ", "), ")") : guess));
  Recover();
}

void Parser::Recover() {
  // Lists in braces may span lines: the directive ends at the first newline outside of them, or
  // where a line of its own starts with a directive (the closing brace was forgotten).
  bool at_line_start = brace_depth_ > 0;
  for (;;) {
    const Token& token = Peek();
    if (token.kind == TokenKind::kEnd) return;
    if (token.kind == TokenKind::kNewline) {
      if (brace_depth_ == 0) {
        Take();
        return;
      }
      at_line_start = true;
      Take();
      continue;
    }
    if (at_line_start && token.kind == TokenKind::kReserved && token.location.column == 1) return;
    at_line_start = false;
    Take();
  }
}

bool Parser::ParseMacro(const Token& name) {
  Take();  // "="
  if (name.kind == TokenKind::kReserved) {
    Error(name.location,
          StrCat("syntax error: \"", name.text, "\" is a reserved word and cannot name a macro"));
    return false;
  }
  for (char c : name.text) {
    if (IsAsciiAlnum(c) || c == '_') continue;
    Error(name.location, StrCat("macro name \"", Escape(name.text, 64),
                                "\": only letters, digits and _ can be used after $"));
    return false;
  }
  std::string value;
  if (!ExpectString("the macro's value", &value) ||
      (!AtLineEnd() &&
       !Unexpected("the end of the line (a value of several words goes in quotes)"))) {
    lexer_.SetRefusedMacro(name.text);
    return false;
  }
  lexer_.SetMacro(name.text, std::move(value), /*fixed=*/false);
  return true;
}

bool Parser::ParseInclude(const Token&) {
  std::string path;
  SourceLocation at;
  const bool had_match = std::exchange(saw_match_, true);  // it may be in the file
  if (!ExpectString("the path of a file to include", &path, &at)) return false;
  if (!AtLineEnd()) return Unexpected("the end of the line");
  if (const std::string cycle = lexer_.CycleWith(path, nullptr); !cycle.empty()) {
    Error(at, StrCat("include of ", Escape(path), ": the file includes itself (", cycle, ")"));
    return false;
  }
  if (lexer_.file_depth() >= options_->max_include_depth) {
    Error(at, StrCat("include of ", Escape(path), ": more than ", options_->max_include_depth,
                     " files deep"));
    return false;
  }
  StatusOr<std::string> text = loader_->Load(path);
  if (!text.ok()) {
    Error(at,
          StrCat("failed to include file ", Escape(path), ": ", Escape(Message(text.status()))));
    return false;
  }
  // The same file under another name.
  if (const std::string cycle = lexer_.CycleWith(path, &*text); !cycle.empty()) {
    Error(at, StrCat("include of ", Escape(path), ": the file includes itself (", cycle, ")"));
    return false;
  }
  // The end of this line has been seen by Peek, which is why the text comes in now: what is read
  // next is the file.
  if (text->size() > options_->max_file_bytes || !lexer_.PushFile(path, *std::move(text))) {
    Error(at, StrCat("include of ", Escape(path), ": too large"));
    return false;
  }
  saw_match_ = had_match;
  if (next_->kind == TokenKind::kEnd)
    next_->kind = TokenKind::kNewline;  // an include on the last line, without newline
  return true;
}

ParseResult Parse(const std::string& file_name, SourceLoader& loader, const ParseOptions& options) {
  Parser parser(&loader, &options);
  return parser.Run(file_name);
}

StatusOr<std::string> MemoryLoader::Load(const std::string& path) {
  for (const auto& [name, text] : files_) {
    if (name == path) return text;
  }
  return NotFound("no such file");
}

}  // namespace postern::policy
