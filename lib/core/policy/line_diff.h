// A unified diff of changes that are made in the order of the lines, as diff -u prints it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::policy {

class LineDiff {
 public:
  // `lines` outlives it; `newline`: the last of them ends in one. `name` is for the two headings.
  LineDiff(const std::string& name, const std::vector<std::string_view>* lines, bool newline);

  // Replace puts `with` in place of `count` lines from index `first` on. Calls come in the order of
  // the lines and do not overlap.
  void Replace(size_t first, size_t count, const std::vector<std::string>& with);

  // Take is the diff, with three lines of context; empty when nothing was replaced.
  std::string Take();

 private:
  static constexpr size_t kContext = 3;

  void Line(char mark, std::string_view text, size_t old_line);
  void Context(size_t until);
  void Close();

  const std::vector<std::string_view>& lines_;
  bool newline_;
  std::string front_;
  std::string out_;
  std::string body_;
  bool open_ = false;
  size_t start_ = 0;
  size_t end_ = 0;  // the next old line
  size_t removed_ = 0;
  size_t added_ = 0;
  size_t shift_ = 0;
};

}  // namespace postern::policy
