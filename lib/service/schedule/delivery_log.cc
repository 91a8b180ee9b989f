#include "lib/service/schedule/delivery_log.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::schedule {

std::string DelayText(Duration delay) {
  int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(delay));
  if (seconds == 0) return "0s";
  std::string text;
  for (const auto& [unit, name] :
       {std::pair<int64_t, char>{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}) {
    if (seconds >= unit) StrAppend(text, seconds / unit, name);
    seconds %= unit;
  }
  return text;
}

LogRecord DeliveryRecord(const queue::Envelope& envelope, const DeliveryResult& result,
                         std::string stat, WallTime now) {
  const bool relay = envelope.kind == queue::Envelope::Kind::kRelay;
  LogRecord record;
  record.subsystem = relay ? "mta" : "mda";
  record.session = envelope.session.empty() ? std::string(16, '0') : envelope.session;
  record.event = "delivery";
  const auto field = [&record](std::string_view name, std::string value) {
    record.fields.push_back(LogField{name, std::move(value)});
  };
  field("evpid", queue::EnvelopeIdText(envelope.id));
  field("from", StrCat("<", envelope.sender.address.ToString(), ">"));
  field("to", StrCat("<", envelope.destination.ToString(), ">"));
  field("rcpt", envelope.recipient == envelope.destination
                    ? std::string("<->")
                    : StrCat("<", envelope.recipient.ToString(), ">"));
  if (relay) {
    field("source", result.source_address.empty() ? "-" : result.source_address);
    field("relay", StrCat(result.remote_address.empty() ? "-" : result.remote_address,
                          result.remote_host.empty() ? "" : StrCat(" (", result.remote_host, ")")));
  } else {
    field("user", envelope.user);
  }
  field("delay", DelayText(now - envelope.created));
  switch (result.outcome) {
    case DeliveryResult::Outcome::kDelivered: field("result", "Ok"); break;
    case DeliveryResult::Outcome::kTemporary:
      record.level = LogLevel::kWarning;
      field("result", "TempFail");
      break;
    case DeliveryResult::Outcome::kPermanent:
      record.level = LogLevel::kWarning;
      field("result", "PermFail");
      break;
  }
  field("stat", std::move(stat));
  return record;
}

}  // namespace postern::schedule
