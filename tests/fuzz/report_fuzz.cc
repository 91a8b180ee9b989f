// Any octets as a report: a bounce, a delivery status, a diagnostic, a disposition notification.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/base/strings.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/mdn.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  BounceLimits limits;
  limits.max_recipients = 5;
  Bounce status;
  ParseDeliveryStatus(text, limits, &status);
  Require(status.recipients.size() <= limits.max_recipients);
  const SmtpReplyIn reply = FindSmtpReply(text);
  Require(reply.code == 0 || (reply.code >= 400 && reply.code < 600));
  const Bounce bounce = ReadBounce(ParseMessage(text), limits);
  Require(bounce.recipients.size() <= limits.max_recipients);
  // The same text as a bounce without a status part, and as the part itself.
  const std::string prose = postern::StrCat("From: MAILER-DAEMON@example.org\n\n", text);
  Require(ReadBounce(ParseMessage(prose), limits).recipients.size() <= limits.max_recipients);
  const std::string part =
      postern::StrCat("Content-Type: message/disposition-notification\n\n", text);
  const postern::StatusOr<Mdn> mdn = ParseMdn(ParseMessage(part));
  if (mdn.ok()) {
    // What was read can be written, and reads back.
    MdnRequest request;
    request.mdn = *mdn;
    request.boundary_seed = "0123456789abcdef";
    const std::string built = BuildMdn(request);
    Require(postern::IsAscii(built));
    const postern::StatusOr<Mdn> again = ParseMdn(ParseMessage(built));
    if (!postern::Trim(mdn->final_recipient).empty())
      Require(again.ok() && again->disposition == mdn->disposition);
  }
  MdnRecipient(ParseMessage(text));
  return 0;
}
