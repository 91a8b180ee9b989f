// The log line of one delivery attempt, in OpenSMTPD's form, so that the tools that read its logs
// read ours:
//   SESSION mda delivery evpid=E from=<> to=<> rcpt=<-> user= delay= result=Ok stat=Delivered
//   SESSION mta delivery evpid=E from=<> to=<> rcpt=<-> source= relay= delay= result= stat=
#pragma once

#include "lib/core/base/log.h"
#include "lib/service/schedule/deliverer.h"

namespace postern::schedule {

// DeliveryRecord makes the record of what `result` says about `envelope` at `now`; `stat` stands in
// for its text, for those who run the server rather than for the sender.
LogRecord DeliveryRecord(const queue::Envelope& envelope, const DeliveryResult& result,
                         std::string stat, WallTime now);
inline LogRecord DeliveryRecord(const queue::Envelope& envelope, const DeliveryResult& result,
                                WallTime now) {
  return DeliveryRecord(envelope, result, result.text, now);
}

// DelayText writes a duration as OpenSMTPD does: "0s", "16h2s", "1d3h".
std::string DelayText(Duration delay);

}  // namespace postern::schedule
