#include "lib/core/policy/statement.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/policy/lexer.h"

namespace postern::policy {

bool StatementReader::Next(SourceStatement* out) {
  if (line_ >= lines_.size()) return false;
  *out = SourceStatement();
  out->first = line_;
  int depth = 0;
  char quote = '\0';
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) out->words.push_back(std::move(word));
    word.clear();
  };
  for (;; ++line_) {
    const std::string_view line = lines_[line_];
    bool joined = false;
    out->comment.clear();
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (c == '\\' && i + 1 == line.size()) {
        joined = true;
      } else if (quote != '\0') {
        word += c;
        if (c == '\\' && i + 1 < line.size() && line[i + 1] == quote)
          word += line[++i];
        else if (c == quote)
          quote = '\0';
      } else if (c == '"' || c == '\'') {
        flush();
        quote = c;
        word = c;
      } else if (c == '#') {
        out->comment = std::string(line.substr(i));
        break;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        flush();
      } else if (std::string_view("{}<>!,=()").find(c) != std::string_view::npos) {
        flush();
        depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        out->words.emplace_back(1, c);
      } else {
        if (!word.empty() && (word[0] == '"' || word[0] == '\'')) flush();
        word += c;
      }
    }
    if (quote == '\0') flush();
    const bool open = joined || quote != '\0' || depth > 0;
    if (!open || line_ + 1 >= lines_.size() || out->words.size() > max_words_) break;
  }
  flush();
  ++line_;
  out->count = line_ - out->first;
  return true;
}

std::string JoinWords(const Words& words) {
  std::string out;
  for (const std::string& word : words) {
    const char last = out.empty() ? ' ' : out.back();
    const bool tight = out.empty() || word == "," || word == ">" || last == '<' || last == '!' ||
                       (word == ")" || last == '(');
    StrAppend(out, tight ? "" : " ", word);
  }
  return out;
}

std::string_view Unquoted(std::string_view word) {
  if (word.size() >= 2 && (word[0] == '"' || word[0] == '\'') && word.back() == word[0])
    return word.substr(1, word.size() - 2);
  return word;
}

std::string Quoted(const std::string& word) {
  if (word.empty() || word[0] == '"' || word[0] == '\'' || word[0] == '$') return word;
  const bool plain = (IsAsciiAlnum(word[0]) || word[0] == ':' || word[0] == '_') &&
                     !IsReservedWord(word) &&
                     word.find_first_not_of("0123456789") != std::string::npos;
  return plain ? word : StrCat("\"", word, "\"");
}

}  // namespace postern::policy
