// What upgrade*.cc share, and nobody else: one file of before OpenSMTPD 6.4 on its way to today's
// words.
//   upgrade.cc         the file, statement by statement, and the small directives
//   upgrade_rule.cc    accept and reject
//   upgrade_listen.cc  listen
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/statement.h"
#include "lib/core/policy/upgrade.h"

namespace postern::policy {

// OldWord is a word that alone changed.
struct OldWord {
  std::string_view old;
  std::string_view word;
};

// Today gives today's word for `word`; empty: it is not among `rows`.
inline std::string_view Today(std::string_view word, std::span<const OldWord> rows) {
  for (const OldWord& row : rows) {
    if (row.old == word) return row.word;
  }
  return "";
}

// OldRule is what an `accept` or `reject` said, in today's options.
struct OldRule {
  std::string from;  // "from any"; empty: local
  std::string to;    // "for any"
  std::string conditions;
  std::string options;  // of the action: " alias <a>"
  std::string ttl;
  bool from_local = true;
  bool says_auth = false;  // `authenticated`, negated or not
  bool logged_in = false;  // it is for who has logged in
  bool forward_only = false;
};

class Upgrader {
 public:
  Upgrader(const std::string& file_name, std::string_view text, const UpgradeLimits& limits)
      : file_(file_name), limits_(limits) {
    ends_in_newline_ = text.empty() || text.back() == '\n';
    if (!text.empty()) lines_ = Split(text, '\n');
    if (ends_in_newline_ && !lines_.empty()) lines_.pop_back();
  }

  Upgrade Run();

 private:
  // Converters give the new lines, or nullopt when the statement stays.
  std::optional<Words> Convert(const SourceStatement& statement);
  std::optional<Words> ConvertRule(const SourceStatement& statement);
  std::optional<Words> ConvertListen(const SourceStatement& statement);
  std::optional<Words> ConvertPki(const SourceStatement& statement);
  std::optional<Words> ConvertFilter(const SourceStatement& statement);
  std::optional<Words> Limit(const SourceStatement& statement);

  bool ReadCondition(const Words& words, size_t* at, OldRule* rule);
  std::string ReadRelay(const Words& words, size_t* at, OldRule* rule);
  std::string Url(std::string_view word);
  std::string NameOf(const std::string& method, const std::string& body);
  void Forget(const std::string& body);
  void TellIfUnknown(const std::string& first);
  bool Holds(const Words& lines) const;
  void CheckListenWords(const Words& words);
  // TakeTable reads <t>, { ... } or a word at `*at`.
  static std::string TakeTable(const Words& words, size_t* at);

  void Tell(bool is_error, std::string message, std::string edit = "") {
    const SourceLocation at{file_, static_cast<int>(line_) + 1, 0};
    Diagnostic told =
        is_error ? MakeError(at, std::move(message)) : MakeWarning(at, std::move(message));
    told.code = "upgrade";
    told.edit = std::move(edit);
    result_.diagnostics.push_back(std::move(told));
  }
  Words Unsayable(const SourceStatement& statement, std::string message) {
    Tell(true, std::move(message));
    Words out;
    for (size_t i = 0; i < statement.count; ++i)
      out.push_back(StrCat("# ", lines_[statement.first + i]));
    return out;
  }

  std::string file_;
  UpgradeLimits limits_;
  std::vector<std::string_view> lines_;
  bool ends_in_newline_ = true;
  bool has_auth_ = false;
  bool nested_ = false;  // it reads what another one wrote
  size_t line_ = 0;
  std::string newest_;                        // what the statement at hand named first
  std::map<std::string, std::string> names_;  // of actions, by what they do
  std::set<std::string> taken_;
  std::vector<std::string> new_actions_;
  Upgrade result_;
};

}  // namespace postern::policy
