// A key record, an octet that says in what pieces the message comes, and the message. Whatever the
// pieces, the verdict is the same.
#include "tests/fuzz/answer_all.h"
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/trust/dkim_verify.h"

namespace {

using namespace postern;

trust::DkimVerdict Run(std::string_view message, const std::string& record, size_t step,
                       bool files) {
  trust::DkimVerifyOptions options;
  options.max_signatures = 3;
  trust::DkimVerifier verifier(options);
  trust::MessageScanOptions scan_options;
  scan_options.limits.max_header_bytes = 16 * 1024;
  scan_options.bare_lf_is_line_end = files;
  trust::MessageScan scan({&verifier}, scan_options);
  for (size_t at = 0; at < message.size(); at += step) scan.Feed(message.substr(at, step));
  scan.Finish();
  return AnswerAll(verifier.Check(absl::FromUnixSeconds(1'700'000'000)), record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\n');
  if (end == std::string_view::npos || end + 1 >= size) return 0;
  const std::string record(input.substr(0, end));
  const size_t step = 1 + static_cast<unsigned char>(input[end + 1]);
  const std::string_view message = input.substr(end + 2);
  for (const bool files : {false, true}) {
    const trust::DkimVerdict whole = Run(message, record, message.size() + 1, files);
    const trust::DkimVerdict pieces = Run(message, record, step, files);
    POSTERN_CHECK(whole.result == pieces.result && whole.explanation == pieces.explanation &&
                  whole.signatures.size() == pieces.signatures.size());
    POSTERN_CHECK(!whole.reason.empty() && !whole.explanation.empty());
  }
  return 0;
}
