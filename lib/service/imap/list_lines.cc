#include "lib/service/imap/list_lines.h"

#include <algorithm>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/core/imap/strings_out.h"
#include "lib/core/mailbox/names.h"

namespace postern::service {
namespace {

using mailbox::MailboxEntry;

// The patterns as they apply to whole names. RFC 3501 §6.3.8: the reference is what the client
// would have us put in front.
std::vector<std::string> FullPatterns(const imap::ListArguments& arguments) {
  std::vector<std::string> patterns;
  for (const std::string& pattern : arguments.patterns)
    patterns.push_back(StrCat(arguments.reference, pattern));
  return patterns;
}

bool MatchesAny(const std::vector<std::string>& patterns, std::string_view name, char separator) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return mailbox::MatchesListPattern(pattern, name, separator);
  });
}

std::string Line(std::string_view command, const std::vector<std::string_view>& attributes,
                 std::string_view name, char separator) {
  std::string out = StrCat(command, " (", StrJoin(attributes, " "), ") ");
  imap::AppendString(out, std::string_view(&separator, 1));
  out.push_back(' ');
  imap::AppendString(out, mailbox::EncodeMailboxUtf7(name));
  return out;
}

std::vector<std::string_view> Attributes(const MailboxEntry& entry, bool show_subscribed,
                                         bool extended) {
  std::vector<std::string_view> attributes;
  if (!entry.exists) {
    // RFC 5258 §3: \NonExistent implies \Noselect, which is all that those know who did not ask in
    // the extended way.
    attributes.push_back(extended ? "\\NonExistent" : "\\Noselect");
  }
  if (show_subscribed && entry.subscribed) attributes.push_back("\\Subscribed");
  attributes.push_back(entry.has_children ? "\\HasChildren" : "\\HasNoChildren");
  if (entry.exists && entry.special_use != mailbox::SpecialUse::kNone) {
    attributes.push_back(mailbox::SpecialUseName(entry.special_use));
  }
  return attributes;
}

bool IsBelow(std::string_view name, std::string_view parent, char separator) {
  return name.size() > parent.size() && name.substr(0, parent.size()) == parent &&
         name[parent.size()] == separator;
}

bool Selected(const imap::ListArguments& arguments, const MailboxEntry& entry) {
  if (arguments.select_subscribed && !entry.subscribed) return false;
  if (arguments.select_special_use && entry.special_use == mailbox::SpecialUse::kNone) return false;
  // A name that is only subscribed is shown to those who ask for subscriptions.
  return entry.exists || entry.has_children || arguments.select_subscribed;
}

}  // namespace

std::vector<ListLine> ListLines(const imap::ListArguments& arguments,
                                const std::vector<MailboxEntry>& entries, char separator) {
  std::vector<ListLine> lines;
  // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
  if (!arguments.extended && arguments.patterns.size() == 1 && arguments.patterns[0].empty()) {
    lines.push_back({Line("LIST", {"\\Noselect"}, "", separator), ""});
    return lines;
  }
  const std::vector<std::string> patterns = FullPatterns(arguments);
  const bool show_subscribed = arguments.return_subscribed || arguments.select_subscribed;
  for (const MailboxEntry& entry : entries) {
    if (!MatchesAny(patterns, entry.name, separator)) continue;
    const bool selected = Selected(arguments, entry);
    bool selected_below = false;
    if (arguments.recursive_match) {
      // RFC 5258 §3.5: CHILDINFO for a parent whose children were selected but do not match the
      // pattern themselves.
      selected_below = std::any_of(entries.begin(), entries.end(), [&](const MailboxEntry& other) {
        return IsBelow(other.name, entry.name, separator) && Selected(arguments, other) &&
               !MatchesAny(patterns, other.name, separator);
      });
    }
    if (!selected && !selected_below) continue;
    ListLine line;
    line.text =
        Line("LIST", Attributes(entry, show_subscribed, arguments.extended), entry.name, separator);
    if (selected_below && arguments.select_subscribed)
      line.text.append(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    if (!arguments.return_status.empty() && entry.exists) line.status_of = entry.name;
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<ListLine> LsubLines(const imap::ListArguments& arguments,
                                const std::vector<MailboxEntry>& entries, char separator) {
  std::vector<ListLine> lines;
  const std::vector<std::string> patterns = FullPatterns(arguments);
  std::set<std::string, std::less<>> told;
  for (const MailboxEntry& entry : entries) {
    if (!entry.subscribed) continue;
    if (MatchesAny(patterns, entry.name, separator)) {
      std::vector<std::string_view> attributes;
      if (!entry.exists) attributes.push_back("\\Noselect");
      if (told.insert(entry.name).second)
        lines.push_back({Line("LSUB", attributes, entry.name, separator), ""});
      continue;
    }
    // RFC 3501 §6.3.9: with '%', a level above a subscribed name that fits is shown as \Noselect.
    std::string_view parent = entry.name;
    for (size_t at = parent.rfind(separator); at != std::string_view::npos;
         at = parent.rfind(separator)) {
      parent = parent.substr(0, at);
      if (!MatchesAny(patterns, parent, separator)) continue;
      const bool itself = std::any_of(
          entries.begin(), entries.end(),
          [&](const MailboxEntry& other) { return other.subscribed && other.name == parent; });
      const bool percent = std::any_of(
          patterns.begin(), patterns.end(),
          [](const std::string& pattern) { return !pattern.empty() && pattern.back() == '%'; });
      if (!itself && percent && told.insert(std::string(parent)).second) {
        lines.push_back({Line("LSUB", {"\\Noselect"}, parent, separator), ""});
      }
      break;
    }
  }
  return lines;
}

}  // namespace postern::service
