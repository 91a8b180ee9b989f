// IMAP's own dates (RFC 3501 §9): date ("1-Feb-1994", in SEARCH) and date-time ("\"17-Jul-1996
// 02:44:25 -0700\"", INTERNALDATE).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/time.h"

namespace postern::imap {

// ParseSearchDate reads a date of SEARCH and gives it as days since 1970-01-01; nullopt when it is
// none.
std::optional<int64_t> ParseSearchDate(std::string_view text);

// FormatSearchDate writes it again.
std::string FormatSearchDate(int64_t days);

// ParseDateTime reads a date-time without its quotes; a blank may stand for the first digit of the
// day (date-day-fixed), and may also be missing. nullopt when it is none, when the day does not
// exist, or for a zone beyond 14 hours.
std::optional<WallTime> ParseDateTime(std::string_view text);

// FormatDateTime writes `time` in UTC: "17-Jul-1996 09:44:25 +0000", the day padded with a blank;
// no quotes.
std::string FormatDateTime(WallTime time);

}  // namespace postern::imap
