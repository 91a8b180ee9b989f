#include "lib/core/policy/upgrade.h"

#include <algorithm>

#include "lib/core/policy/line_diff.h"
#include "lib/core/policy/upgrader.h"

namespace postern::policy {
namespace {

// Directives whose words alone changed.
constexpr OldWord kDirectives[] = {
    {"max-message-size", "smtp max-message-size"},
    {"subaddressing-delimiter", "smtp sub-addr-delim"},
    {"bounce-warn", "bounce warn-interval"},
    {"expire", "queue ttl"},
    {"ciphers", "smtp ciphers"},
};
constexpr OldWord kLimits[] = {{"session", "smtp limit"},
                               {"mta", "mta limit"},
                               {"mda", "mda limit"},
                               {"scheduler", "scheduler limit"}};

}  // namespace

std::string Upgrader::TakeTable(const Words& words, size_t* at) {
  if (*at >= words.size()) return "";
  Words taken;
  const std::string open = words[*at];
  if (open != "<" && open != "{") return Quoted(words[(*at)++]);
  const std::string_view close = open == "<" ? ">" : "}";
  while (*at < words.size()) {
    taken.push_back(words[(*at)++]);
    if (taken.back() == close) break;
  }
  return JoinWords(taken);
}

std::optional<Words> Upgrader::ConvertPki(const SourceStatement& statement) {
  Words words = statement.words;
  bool changed = false;
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "certificate") {
      words[i] = "cert";
      changed = true;
    } else if (words[i] == "dhparams" || words[i] == "dhparam") {
      Tell(false, "a file of parameters for Diffie-Hellman is not read any more: dhe auto");
      words[i] = "dhe";
      if (i + 1 < words.size()) words[i + 1] = "auto";
      changed = true;
    }
  }
  return changed ? std::optional<Words>(Words{JoinWords(words)}) : std::nullopt;
}

std::optional<Words> Upgrader::ConvertFilter(const SourceStatement& statement) {
  const Words& words = statement.words;
  if (words.size() < 3) return std::nullopt;
  for (const char* today : {"phase", "proc", "proc-exec", "chain"}) {
    if (words[2] == today) return std::nullopt;
  }
  return Unsayable(statement,
                   "filters of before 6.4 spoke another protocol and cannot run today: look for "
                   "one of today's (filter NAME proc-exec \"…\")");
}

std::optional<Words> Upgrader::Limit(const SourceStatement& statement) {
  Words words = statement.words;
  if (words.size() < 3) return std::nullopt;
  const std::string_view today = Today(words[1], kLimits);
  if (today.empty()) {
    if (words[1] == "smtp" || words[1] == "queue")
      return Unsayable(statement, StrCat("there is no limit ", Escape(words[1], 40), " today"));
    return std::nullopt;
  }
  words.erase(words.begin());
  words[0] = today;
  return Words{JoinWords(words)};
}

std::optional<Words> Upgrader::Convert(const SourceStatement& statement) {
  const Words& words = statement.words;
  if (words.empty()) return std::nullopt;
  if (words.size() > 1 && words[1] == "=") return std::nullopt;  // a macro
  const std::string& first = words[0];
  if (first == "accept" || first == "reject") return ConvertRule(statement);
  if (first == "listen") return ConvertListen(statement);
  if (first == "pki" || first == "ca") return ConvertPki(statement);
  if (first == "filter") return ConvertFilter(statement);
  if (first == "limit") return Limit(statement);
  const std::string_view today = Today(first, kDirectives);
  if (today.empty()) {
    TellIfUnknown(first);
    return std::nullopt;
  }
  Words out = words;
  out[0] = today;
  // Today's lexer takes neither + nor - as the start of a word.
  for (size_t i = 1; i < out.size(); ++i) {
    if (out[i] != "," && out[i].find_first_not_of("0123456789") != std::string::npos)
      out[i] = Quoted(out[i]);
  }
  return Words{JoinWords(out)};
}

// TellIfUnknown: a statement that begins with no word of then or now stays as it is, not in
// silence.
void Upgrader::TellIfUnknown(const std::string& first) {
  static const std::vector<std::string> kKnown = {
      "accept",      "action",   "admd",     "bounce",
      "bounce-warn", "ca",       "ciphers",  "expire",
      "filter",      "include",  "libexec",  "limit",
      "listen",      "mailname", "match",    "max-message-size",
      "mda",         "mta",      "pki",      "proc",
      "queue",       "reject",   "resolver", "scheduler",
      "smtp",        "spool",    "srs",      "subaddressing-delimiter",
      "table"};
  if (std::find(kKnown.begin(), kKnown.end(), first) != kKnown.end() || first[0] == '$') return;
  Tell(true, StrCat("no statement begins with \"", Escape(first, 60), "\"",
                    DidYouMean(first, kKnown), "; the line stays as it is"));
}

// Holds tells whether `lines` are read again as they were meant: nothing in them is left to change,
// and they end where they end, whatever follows. What a string over the ends of lines or a stray
// quote makes of a statement does not.
bool Upgrader::Holds(const Words& lines) const {
  std::string text;
  for (const std::string& line : lines) {
    StrAppend(text, line, "\n");
    if (line.starts_with("# ")) continue;
    const std::vector<std::string_view> alone = {line, "#"};
    StatementReader reader(alone, limits_.max_words);
    size_t begins = 0;
    for (SourceStatement each; reader.Next(&each);) begins = each.first;
    if (begins != 1) return false;
  }
  Upgrader again(file_, text, limits_);
  again.nested_ = true;
  return again.Run().text == text;
}

Upgrade Upgrader::Run() {
  std::vector<SourceStatement> statements;
  StatementReader reader(lines_, limits_.max_words);
  for (SourceStatement each; reader.Next(&each);) statements.push_back(std::move(each));
  for (const SourceStatement& each : statements) {
    const Words& words = each.words;
    if (words.empty()) continue;
    if (words[0] == "listen") {
      for (const char* word : {"auth", "auth-optional"})
        has_auth_ |= std::find(words.begin(), words.end(), word) != words.end();
    }
    if (words[0] == "action" && words.size() > 1) taken_.insert(std::string(Unquoted(words[1])));
  }
  LineDiff diff(file_, &lines_, ends_in_newline_);
  for (const SourceStatement& each : statements) {
    line_ = each.first;
    const size_t told = result_.diagnostics.size();
    newest_.clear();
    std::optional<Words> lines = Convert(each);
    const bool as_comment = lines && lines->front().rfind("# ", 0) == 0;  // its own is in it
    if (lines && !each.comment.empty() && !as_comment) StrAppend(lines->back(), "  ", each.comment);
    if (lines && !nested_ && !Holds(*lines)) {
      lines.reset();
      Forget(newest_);
      result_.diagnostics.resize(told, MakeError({file_, 0, 0}, ""));
      Tell(true,
           "this statement could not be read: a quote is missing, or a word is where none "
           "can be; it stays as it is");
    }
    const bool at_end = each.first + each.count == lines_.size();
    if (lines) {
      diff.Replace(each.first, each.count, *lines);
      for (const std::string& line : *lines) StrAppend(result_.text, line, "\n");
    } else {
      for (size_t i = 0; i < each.count; ++i) {
        StrAppend(result_.text, lines_[each.first + i],
                  at_end && i + 1 == each.count && !ends_in_newline_ ? "" : "\n");
      }
    }
  }
  result_.diff = diff.Take();
  SortByPlace(&result_.diagnostics);
  return std::move(result_);
}

Upgrade UpgradeConfig(const std::string& file_name, std::string_view text,
                      const UpgradeLimits& limits) {
  if (text.size() > limits.max_bytes) {
    Upgrade refused;
    refused.text = std::string(text);
    refused.diagnostics.push_back(
        MakeError({file_name, 0, 0}, StrCat("larger than ", limits.max_bytes, " octets")));
    return refused;
  }
  Upgrade made = Upgrader(file_name, text, limits).Run();
  if (made.diff.empty() || Upgrader(file_name, made.text, limits).Run().text == made.text)
    return made;
  Upgrade left;
  left.text = std::string(text);
  left.diagnostics = std::move(made.diagnostics);
  left.diagnostics.push_back(
      MakeError({file_name, 1, 0}, "this file could not be read as a whole; it stays as it is"));
  return left;
}

}  // namespace postern::policy
