#include "lib/core/mailbox/flags.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::mailbox {
namespace {

constexpr std::array<std::pair<SystemFlags, std::string_view>, 5> kSystemFlagNames = {{
    {kAnswered, "\\Answered"},
    {kFlagged, "\\Flagged"},
    {kDeleted, "\\Deleted"},
    {kSeen, "\\Seen"},
    {kDraft, "\\Draft"},
}};

}  // namespace

std::string_view SystemFlagName(SystemFlags flag) {
  for (const auto& [bit, name] : kSystemFlagNames) {
    if (bit == flag) return name;
  }
  return "";
}

SystemFlags ParseSystemFlag(std::string_view name) {
  for (const auto& [bit, text] : kSystemFlagNames) {
    if (EqualsIgnoreCase(name, text)) return bit;
  }
  return 0;
}

bool IsValidKeyword(std::string_view name) {
  if (name.empty() || name.size() > kMaxKeywordBytes) return false;
  // RFC 3501 §9: atom-specials are ( ) { SP CTL list-wildcards quoted-specials resp-specials.
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c > 0x20 && c < 0x7f && std::string_view("(){%*\"\\]").find(c) == std::string_view::npos;
  });
}

Status FlagList::Add(std::string_view name) {
  if (!name.empty() && name.front() == '\\') {
    const SystemFlags flag = ParseSystemFlag(name);
    if (flag == 0) return InvalidArgument(StrCat(Escape(name, 64), " cannot be set"));
    system |= flag;
    return OkStatus();
  }
  if (!IsValidKeyword(name)) return InvalidArgument(StrCat(Escape(name, 64), " is no keyword"));
  for (const std::string& present : keywords) {
    if (EqualsIgnoreCase(present, name)) return OkStatus();
  }
  if (keywords.size() >= kMaxKeywords) return ResourceExhausted("too many keywords");
  keywords.emplace_back(name);
  return OkStatus();
}

int KeywordTable::Find(std::string_view name) const {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (!names_[i].empty() && EqualsIgnoreCase(names_[i], name)) return static_cast<int>(i);
  }
  return -1;
}

int KeywordTable::FindOrAdd(std::string_view name) {
  const int found = Find(name);
  if (found >= 0) return found;
  if (names_.size() >= kMaxKeywords) return -1;
  names_.emplace_back(name);
  return static_cast<int>(names_.size() - 1);
}

void KeywordTable::Set(size_t bit, std::string_view name) {
  if (bit >= kMaxKeywords) return;
  if (names_.size() <= bit) names_.resize(bit + 1);
  names_[bit] = name;
}

KeywordBits KeywordTable::BitsOf(const FlagList& list) const {
  KeywordBits bits = 0;
  for (const std::string& name : list.keywords) {
    const int bit = Find(name);
    if (bit >= 0) bits |= KeywordBits{1} << bit;
  }
  return bits;
}

std::vector<std::string_view> KeywordTable::NamesOf(KeywordBits bits) const {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < names_.size(); ++i) {
    if ((bits >> i & 1) != 0 && !names_[i].empty()) names.push_back(names_[i]);
  }
  return names;
}

std::string FormatFlags(SystemFlags system, KeywordBits keywords, const KeywordTable& table,
                        bool recent) {
  std::string out = "(";
  const auto add = [&out](std::string_view name) {
    if (out.size() > 1) out.push_back(' ');
    out.append(name);
  };
  for (const auto& [bit, name] : kSystemFlagNames) {
    if ((system & bit) != 0) add(name);
  }
  if (keywords != 0) {
    for (const std::string_view name : table.NamesOf(keywords)) add(name);
  }
  if (recent) add("\\Recent");
  out.push_back(')');
  return out;
}

}  // namespace postern::mailbox
