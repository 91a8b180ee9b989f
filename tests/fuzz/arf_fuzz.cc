// Any octets as a message with a feedback report: what is read prints as fields that read the same,
// apart from blanks, which a line that is too long gets wherever it is cut.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/message/arf.h"

namespace {

std::string WithoutBlanks(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](char c) { return c == ' ' || c == '\r' || c == '\n'; }),
             text.end());
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto check = [](const postern::StatusOr<ArfReport>& report) {
    if (!report.ok()) return;
    const std::string printed = FormatFeedbackFields(*report);
    const postern::StatusOr<ArfReport> again = ParseFeedbackFields(printed);
    if (!again.ok() || WithoutBlanks(FormatFeedbackFields(*again)) != WithoutBlanks(printed))
      std::abort();
    ArfMail mail;
    mail.from = "a@example.org";
    mail.boundary_seed = "0123456789abcdef";
    BuildArf(*report, mail);
  };
  check(ParseArf(ParseMessage(text)));
  check(ParseFeedbackFields(text));
  return 0;
}
