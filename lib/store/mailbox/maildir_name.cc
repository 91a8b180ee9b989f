#include "lib/store/mailbox/maildir_name.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mailbox/names.h"

namespace postern::mailbox {
namespace {

SystemFlags FlagOfLetter(char letter) {
  switch (letter) {
    case 'D': return kDraft;
    case 'F': return kFlagged;
    case 'R': return kAnswered;
    case 'S': return kSeen;
    case 'T': return kDeleted;
    default: return 0;
  }
}

bool IsKeywordLetter(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

std::optional<MaildirName> ParseMaildirName(std::string_view name) {
  if (name.empty() || name.front() == '.') return std::nullopt;
  MaildirName parsed;
  size_t at = name.find(':');
  if (at == std::string_view::npos) at = name.rfind(";2,");
  if (at == std::string_view::npos) at = name.rfind("!2,");
  parsed.base = name.substr(0, at);
  if (parsed.base.empty()) return std::nullopt;
  if (at != std::string_view::npos) {
    parsed.suffix = name.substr(at);
    if (parsed.suffix.size() >= 3 && parsed.suffix.substr(1, 2) == "2,")
      parsed.letters = parsed.suffix.substr(3);
  }
  std::string_view rest = parsed.base;
  for (size_t comma = rest.find(','); comma != std::string_view::npos; comma = rest.find(',')) {
    rest.remove_prefix(comma + 1);
    const std::string_view field = rest.substr(0, rest.find(','));
    if (field.starts_with("W=")) parsed.crlf_size = ParseUint(field.substr(2), uint64_t{1} << 40);
    if (field.starts_with("T=")) {
      const std::optional<uint64_t> date = ParseUint(field.substr(2), uint64_t{1} << 40);
      if (date) parsed.date_s = static_cast<int64_t>(*date);
    }
  }
  return parsed;
}

SystemFlags FlagsOfLetters(std::string_view letters) {
  SystemFlags flags = 0;
  for (const char letter : letters) flags |= FlagOfLetter(letter);
  return flags;
}

KeywordBits LowKeywordsOfLetters(std::string_view letters) {
  KeywordBits bits = 0;
  for (const char letter : letters) {
    if (IsKeywordLetter(letter)) bits |= KeywordBits{1} << (letter - 'a');
  }
  return bits;
}

std::string FormatSuffix(std::string_view old_suffix, SystemFlags flags, KeywordBits keywords,
                         KeywordBits named) {
  std::string letters;
  if (old_suffix.size() > 3 && old_suffix.substr(1, 2) == "2,") {
    for (const char letter : old_suffix.substr(3)) {
      if (FlagOfLetter(letter) != 0) continue;
      if (IsKeywordLetter(letter) && (named >> (letter - 'a') & 1) != 0) continue;
      letters.push_back(letter);
    }
  }
  for (const char letter : {'D', 'F', 'R', 'S', 'T'}) {
    if ((flags & FlagOfLetter(letter)) != 0) letters.push_back(letter);
  }
  for (int bit = 0; bit < 26; ++bit) {
    if ((keywords & named) >> bit & 1) letters.push_back(static_cast<char>('a' + bit));
  }
  std::sort(letters.begin(), letters.end());
  letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
  const char separator = old_suffix.empty() ? ':' : old_suffix.front();
  return StrCat(separator, "2,", letters);
}

std::string FolderOfName(std::string_view name) {
  if (name == "INBOX") return "";
  return StrCat(".", EncodeMailboxUtf7(name));
}

std::optional<std::string> NameOfFolder(std::string_view folder) {
  if (folder.empty()) return "INBOX";
  if (folder.front() != '.') return std::nullopt;
  const std::optional<std::string> name = DecodeMailboxUtf7(folder.substr(1));
  if (!name) return std::nullopt;
  // A folder that no name leads to (".inbox", "..x", one with a control character) is not shown.
  const StatusOr<std::string> canonical = CanonicalName(*name, '.');
  if (!canonical.ok() || *canonical != *name || *name == "INBOX") return std::nullopt;
  if (FolderOfName(*name) != folder) return std::nullopt;
  return *name;
}

}  // namespace postern::mailbox
