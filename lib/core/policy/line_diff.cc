#include "lib/core/policy/line_diff.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::policy {

LineDiff::LineDiff(const std::string& name, const std::vector<std::string_view>* lines,
                   bool newline)
    : lines_(*lines), newline_(newline) {
  front_ = StrCat("--- ", name, "\n+++ ", name, "\n");
}

void LineDiff::Replace(size_t first, size_t count, const std::vector<std::string>& with) {
  if (open_ && first > end_ + 2 * kContext) Close();
  if (!open_) {
    start_ = first > kContext ? first - kContext : 0;
    end_ = start_;
    open_ = true;
    body_.clear();
    removed_ = added_ = 0;
  }
  Context(first);
  for (size_t i = 0; i < count; ++i) Line('-', lines_[first + i], first + i);
  for (const std::string& line : with) Line('+', line, std::string::npos);
  removed_ += count;
  added_ += with.size();
  end_ = first + count;
}

std::string LineDiff::Take() {
  if (open_) Close();
  return out_.empty() ? "" : front_ + out_;
}

void LineDiff::Line(char mark, std::string_view text, size_t old_line) {
  StrAppend(body_, mark, text, "\n");
  if (!newline_ && old_line != std::string::npos && old_line + 1 == lines_.size())
    body_ += "\\ No newline at end of file\n";
}

void LineDiff::Context(size_t until) {
  for (; end_ < until; ++end_) Line(' ', lines_[end_], end_);
}

void LineDiff::Close() {
  Context(std::min(lines_.size(), end_ + kContext));
  const size_t old_count = end_ - start_;
  const size_t new_count = old_count + added_ - removed_;
  StrAppend(out_, "@@ -", start_ + 1, ",", old_count, " +", start_ + 1 + shift_, ",", new_count,
            " @@\n", body_);
  shift_ += added_ - removed_;  // wraps where lines go, which the sum above undoes
  open_ = false;
}

}  // namespace postern::policy
