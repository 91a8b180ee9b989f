#include "lib/core/policy/diagnostic.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::policy {

std::string SourceLocation::ToString() const {
  std::string out = Escape(file, 1024);
  if (line > 0) StrAppend(out, ":", line);
  if (line > 0 && column > 0) StrAppend(out, ":", column);
  return out;
}

std::string Diagnostic::ToString() const {
  std::string out = location.ToString();
  if (!out.empty()) out += ": ";
  return StrCat(out, severity == Severity::kError ? "error: " : "warning: ", message);
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

std::string DidYouMean(std::string_view found, const std::vector<std::string>& known) {
  constexpr size_t kMaxWordBytes = 64;  // EditDistance is quadratic
  if (found.empty() || found.size() > kMaxWordBytes) return "";
  const std::string* best = nullptr;
  // nearer than this: one slip in a short word, two in a longer one
  size_t best_distance = found.size() <= 3 ? 2 : 3;
  for (const std::string& word : known) {
    if (word.size() > kMaxWordBytes) continue;
    const size_t distance = EditDistance(found, word);
    if (distance >= best_distance || distance >= word.size()) continue;
    best_distance = distance;
    best = &word;
  }
  return best == nullptr ? "" : StrCat(" (did you mean \"", Escape(*best), "\"?)");
}

}  // namespace postern::policy
