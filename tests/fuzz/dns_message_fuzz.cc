// A DNS reply from a stranger, and each record's data alone.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  StatusOr<dns::WireMessage> message = dns::ParseMessage(octets);
  if (message.ok() && !message->questions.empty()) {
    dns::AnswerFrom(*message, message->questions[0].name, message->questions[0].type);
  }
  for (const dns::Type type :
       {dns::Type::kA, dns::Type::kNs, dns::Type::kSoa, dns::Type::kMx, dns::Type::kTxt,
        dns::Type::kAaaa, dns::Type::kSrv, dns::Type::kTlsa}) {
    const std::optional<dns::Data> parsed = dns::ParseRdata(type, octets, 0, size);
    if (!parsed) continue;
    // What was read and written again reads as the same.
    const std::string wire = dns::RdataToWire(type, *parsed);
    const std::optional<dns::Data> again = dns::ParseRdata(type, wire, 0, wire.size());
    POSTERN_CHECK(again.has_value() && *again == *parsed);
    dns::RdataToText(type, *parsed);
  }
  return 0;
}
