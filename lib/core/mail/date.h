// Dates of RFC 5322 §3.3 and §4.3.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::mail {

// MailDate is a moment and the zone it was written in. The zone is part of what the sender said, so
// IMAP SENTBEFORE and the like can look at the date as written (RFC 3501 §6.4.4).
struct MailDate {
  WallTime time;
  int offset_minutes = 0;     // east of UTC
  bool zone_unknown = false;  // "-0000", a military letter or a name that nobody defined: UTC is
                              // assumed (RFC 5322 §4.3)

  // LocalDay is the day as written: days since 1970-01-01 in the zone of the date.
  int64_t LocalDay() const;
};

// ParseDate reads a date-time with everything RFC 5322 §4.3 allows: comments, white space anywhere,
// years of two and three digits, zones by name. Beyond the RFC, because mail has it: no weekday or
// a wrong one, no seconds, no zone, full names of months, one-digit hours, "+02:00", "GMT+0200",
// asctime order ("Mon Sep  6 11:12:13 1999 PDT"), and more text after the zone. The error says what
// is wrong.
StatusOr<MailDate> ParseDate(std::string_view text);

// FormatDate writes `time` as "Tue, 1 Jul 2003 10:52:37 +0200" in the zone of `offset_minutes` (RFC
// 5322 §3.3). Years are held to 1..9999 and have four digits.
std::string FormatDate(WallTime time, int offset_minutes);

}  // namespace postern::mail
