#include "lib/core/policy/diagnostic.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "lib/core/base/strings.h"

namespace postern::policy {

std::string SourceLocation::ToString() const {
  std::string out = Escape(file, 1024);
  if (line > 0) StrAppend(out, ":", line);
  if (line > 0 && column > 0) StrAppend(out, ":", column);
  return out;
}

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kError: return "error";
    case Severity::kNote: return "note";
    case Severity::kWarning: break;
  }
  return "warning";
}

std::string Diagnostic::ToString() const {
  std::string out = location.ToString();
  if (!out.empty()) out += ": ";
  return StrCat(out, SeverityName(severity), ": ", message, edit.empty() ? "" : "; ", edit);
}

bool HasErrors(const Diagnostics& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

Diagnostic MakeError(SourceLocation location, std::string message) {
  return Diagnostic{Severity::kError, std::move(location), std::move(message)};
}

Diagnostic MakeWarning(SourceLocation location, std::string message) {
  return Diagnostic{Severity::kWarning, std::move(location), std::move(message)};
}

Diagnostic MakeNote(SourceLocation location, std::string message) {
  return Diagnostic{Severity::kNote, std::move(location), std::move(message)};
}

// What is known at the end goes where it belongs: an operator mends a file from its top.
void SortByPlace(Diagnostics* diagnostics) {
  std::map<std::string, size_t> files;
  for (const Diagnostic& each : *diagnostics) files.try_emplace(each.location.file, files.size());
  const auto rank = [&files](const Diagnostic& d) {
    const SourceLocation& at = d.location;
    return std::tuple(at.line == 0, files[at.file], at.line, at.column);
  };
  std::stable_sort(diagnostics->begin(), diagnostics->end(),
                   [&rank](const Diagnostic& a, const Diagnostic& b) { return rank(a) < rank(b); });
}

namespace {

struct OtherWord {
  std::string_view found;
  std::string_view word;
};
// Words of older versions and of other mail servers, and ours for them.
constexpr OtherWord kOtherWords[] = {
    {"starttls", "tls"},
    {"secure", "tls"},
    {"ssl", "smtps"},
    {"certificate", "cert"},
    {"all", "any"},
    {"sender", "mail-from"},
    {"recipient", "rcpt-to"},
    {"tagged", "tag"},
    {"deny", "reject"},
    {"drop", "reject"},
    {"via", "host"},
    {"expire", "queue"},
    {"banner", "hostname"},
    {"mask-source", "mask-src"},
    {"source", "src"},
    {"domains", "domain"},
    {"as", "mail-from"},
    {"mailbox", "mbox"},
    {"size", "max-message-size"},
    {"noverify", "no-verify"},
};

// IsSwap tells whether two neighbours changed places: one slip of the fingers, two edits.
bool IsSwap(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  size_t i = 0;
  while (i < a.size() && a[i] == b[i]) ++i;
  return i + 1 < a.size() && a[i] == b[i + 1] && a[i + 1] == b[i] &&
         a.substr(i + 2) == b.substr(i + 2);
}

}  // namespace

std::string DidYouMean(std::string_view found, const std::vector<std::string>& known) {
  constexpr size_t kMaxWordBytes = 64;  // EditDistance is quadratic
  if (found.empty() || found.size() > kMaxWordBytes) return "";
  const std::string* best = nullptr;
  // nearer than this: one slip in a short word (nope is not pop3), two in a longer one
  size_t best_distance = found.size() <= 4 ? 2 : 3;
  for (const std::string& word : known) {
    if (word.size() > kMaxWordBytes) continue;
    const size_t distance = IsSwap(found, word) ? 1 : EditDistance(found, word);
    if (distance >= best_distance || distance >= word.size()) continue;
    best_distance = distance;
    best = &word;
  }
  for (const OtherWord& row : kOtherWords) {
    if (best != nullptr || row.found != found) continue;
    const auto ours = std::find(known.begin(), known.end(), row.word);
    if (ours != known.end()) best = &*ours;
  }
  return best == nullptr ? "" : StrCat(" (did you mean \"", Escape(*best), "\"?)");
}

std::string Declared(std::string_view found, const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 8;
  std::string out = DidYouMean(found, names);
  if (!out.empty() || names.empty()) return out;
  for (size_t i = 0; i < names.size() && i < kMaxNames; ++i)
    StrAppend(out, i == 0 ? " (declared: " : ", ", Escape(names[i], 40));
  return out + (names.size() > kMaxNames ? ", ...)" : ")");
}

}  // namespace postern::policy
