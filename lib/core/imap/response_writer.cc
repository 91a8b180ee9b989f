#include "lib/core/imap/response_writer.h"

#include "lib/core/imap/strings_out.h"

namespace postern::imap {

void ResponseWriter::Untagged(std::string_view line) {
  pending_.append("* ").append(line).append("\r\n");
}

void ResponseWriter::Condition(std::string_view condition, std::string_view code,
                               std::string_view text) {
  pending_.append(condition).push_back(' ');
  if (!code.empty()) pending_.append("[").append(code).append("] ");
  // RFC 3501 §9, resp-text: the text is not empty.
  AppendText(pending_, text.empty() ? "Done" : text);
  pending_.append("\r\n");
}

void ResponseWriter::UntaggedCondition(std::string_view condition, std::string_view code,
                                       std::string_view text) {
  pending_.append("* ");
  Condition(condition, code, text);
}

void ResponseWriter::Tagged(std::string_view tag, std::string_view condition, std::string_view code,
                            std::string_view text) {
  pending_.append(tag).push_back(' ');
  Condition(condition, code, text);
}

void ResponseWriter::Continuation(std::string_view text) {
  pending_.append("+ ").append(text).append("\r\n");
}

void ResponseWriter::Wrote(size_t n) {
  sent_ += n;
  if (sent_ < pending_.size()) return;
  sent_ = 0;
  // An idle session holds no buffer.
  if (pending_.capacity() > 1024) {
    std::string().swap(pending_);
  } else {
    pending_.clear();
  }
}

}  // namespace postern::imap
