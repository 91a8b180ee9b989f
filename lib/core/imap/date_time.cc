#include "lib/core/imap/date_time.h"

#include "absl/time/civil_time.h"

#include "lib/core/base/strings.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {
namespace {

constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// TakeDigits reads `least` to `most` digits.
bool TakeDigits(Scanner& scanner, size_t least, size_t most, int* out) {
  const std::string_view digits = scanner.While(IsAsciiDigit);
  if (digits.size() < least || digits.size() > most) return false;
  *out = static_cast<int>(*ParseUint(digits));
  return true;
}

// TakeDay reads "1-Feb-1994".
bool TakeDay(Scanner& scanner, absl::CivilDay* out) {
  int day = 0;
  int year = 0;
  if (!TakeDigits(scanner, 1, 2, &day) || !scanner.Char('-')) return false;
  const std::string_view name = scanner.While(IsAsciiAlpha);
  int month = 0;
  for (int i = 0; i < 12; ++i) {
    if (EqualsIgnoreCase(name, kMonths[i])) month = i + 1;
  }
  if (month == 0 || !scanner.Char('-') || !TakeDigits(scanner, 4, 4, &year)) return false;
  *out = absl::CivilDay(year, month, day);
  return out->day() == day;  // CivilDay turns the 31st of February into March
}

std::string DayText(const absl::CivilDay& day) {
  std::string year = StrCat(day.year());
  while (year.size() < 4) year.insert(year.begin(), '0');
  return StrCat(day.day(), "-", kMonths[day.month() - 1], "-", year);
}

std::string TwoDigits(int n) { return n < 10 ? StrCat("0", n) : StrCat(n); }

}  // namespace

std::optional<int64_t> ParseSearchDate(std::string_view text) {
  Scanner scanner(text);
  absl::CivilDay day;
  if (!TakeDay(scanner, &day) || !scanner.AtEnd()) return std::nullopt;
  return day - absl::CivilDay(1970, 1, 1);
}

std::string FormatSearchDate(int64_t days) { return DayText(absl::CivilDay(1970, 1, 1) + days); }

std::optional<WallTime> ParseDateTime(std::string_view text) {
  Scanner scanner(text);
  scanner.Char(' ');
  absl::CivilDay day;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int zone = 0;
  if (!TakeDay(scanner, &day) || !scanner.Char(' ')) return std::nullopt;
  if (!TakeDigits(scanner, 2, 2, &hour) || !scanner.Char(':') ||
      !TakeDigits(scanner, 2, 2, &minute) || !scanner.Char(':') ||
      !TakeDigits(scanner, 2, 2, &second) || !scanner.Char(' ')) {
    return std::nullopt;
  }
  const bool west = scanner.Char('-');
  if (!west && !scanner.Char('+')) return std::nullopt;
  if (!TakeDigits(scanner, 4, 4, &zone) || !scanner.AtEnd()) return std::nullopt;
  // 60 is the leap second of RFC 5322 §3.3.
  if (hour > 23 || minute > 59 || second > 60 || zone % 100 > 59 || zone > 1400)
    return std::nullopt;
  const int offset_minutes = (zone / 100 * 60 + zone % 100) * (west ? -1 : 1);
  const absl::CivilSecond civil(day.year(), day.month(), day.day(), hour, minute, second);
  return absl::FromCivil(civil, absl::UTCTimeZone()) - absl::Minutes(offset_minutes);
}

std::string FormatDateTime(WallTime time) {
  absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  // date-year has four digits.
  if (civil.year() < 1) civil = absl::CivilSecond(1970, 1, 1);
  if (civil.year() > 9999) civil = absl::CivilSecond(9999, 12, 31);
  std::string day = DayText(absl::CivilDay(civil));
  if (civil.day() < 10) day.insert(day.begin(), ' ');
  return StrCat(day, " ", TwoDigits(civil.hour()), ":", TwoDigits(civil.minute()), ":",
                TwoDigits(civil.second()), " +0000");
}

}  // namespace postern::imap
