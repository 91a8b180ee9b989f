#include "lib/core/mail/date.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

#include "lib/core/base/strings.h"

namespace postern::mail {
namespace {

constexpr std::string_view kMonths[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
constexpr std::string_view kWeekdays[] = {"monday", "tuesday",  "wednesday", "thursday",
                                          "friday", "saturday", "sunday"};

struct NamedZone {
  std::string_view name;
  int offset_minutes;
};
// RFC 5322 §4.3 defines the zones of North America, UT and GMT. The others are those that mean one
// thing only in the mail of the world; every other name counts as "-0000".
constexpr NamedZone kZones[] = {
    {"ut", 0},     {"gmt", 0},     {"utc", 0},     {"z", 0},      {"est", -300}, {"edt", -240},
    {"cst", -360}, {"cdt", -300},  {"mst", -420},  {"mdt", -360}, {"pst", -480}, {"pdt", -420},
    {"wet", 0},    {"west", 60},   {"cet", 60},    {"cest", 120}, {"met", 60},   {"mest", 120},
    {"mez", 60},   {"eet", 120},   {"eest", 180},  {"msk", 180},  {"jst", 540},  {"kst", 540},
    {"hst", -600}, {"akst", -540}, {"akdt", -480}, {"nzst", 720}, {"nzdt", 780}, {"aest", 600},
    {"aedt", 660}, {"sast", 120},
};

// Token is a run of digits, a run of letters, or one other character.
struct Token {
  enum Kind : uint8_t { kEnd, kNumber, kWord, kMark } kind = kEnd;
  std::string_view text;
  int value = 0;  // of a number, held to 99999999
};

// Date-times have about fifteen tokens; what comes after this many is not part of one.
constexpr size_t kMaxTokens = 32;

// Tokens cuts the text; blanks and comments only separate (CFWS of RFC 5322 §3.2.2, nested to any
// depth without recursion).
class Tokens {
 public:
  explicit Tokens(std::string_view text) {
    size_t i = 0;
    while (i < text.size() && count_ < kMaxTokens) {
      const char c = text[i];
      if (c == '(') {
        i = SkipComment(text, i);
      } else if (IsAsciiDigit(c)) {
        const size_t start = i;
        int value = 0;
        for (; i < text.size() && IsAsciiDigit(text[i]); ++i)
          value = std::min(value * 10 + (text[i] - '0'), 99999999);
        Add({Token::kNumber, text.substr(start, i - start), value});
      } else if (IsAsciiAlpha(c)) {
        const size_t start = i;
        while (i < text.size() && IsAsciiAlpha(text[i])) ++i;
        Add({Token::kWord, text.substr(start, i - start), 0});
      } else {
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
          Add({Token::kMark, text.substr(i, 1), 0});
        ++i;
      }
    }
  }

  const Token& Peek(size_t ahead = 0) const {
    static constexpr Token kNone;
    return at_ + ahead < count_ ? tokens_[at_ + ahead] : kNone;
  }
  void Skip(size_t n = 1) { at_ += n; }
  bool SkipMark(char c) {
    if (!IsMark(c)) return false;
    ++at_;
    return true;
  }
  bool IsMark(char c, size_t ahead = 0) const {
    return Peek(ahead).kind == Token::kMark && Peek(ahead).text[0] == c;
  }

 private:
  static size_t SkipComment(std::string_view text, size_t i) {
    for (size_t depth = 0; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == '(') {
        ++depth;
      } else if (text[i] == ')' && --depth == 0) {
        return i + 1;
      }
    }
    return text.size();
  }
  void Add(Token token) { tokens_[count_++] = token; }

  std::array<Token, kMaxTokens> tokens_;
  size_t count_ = 0;
  size_t at_ = 0;
};

// NameIndex finds a word that is a name or begins with its first three letters and is a prefix of
// it; -1 when there is none.
template <size_t N>
int NameIndex(const std::string_view (&names)[N], std::string_view word) {
  if (word.size() < 3) return -1;
  for (size_t i = 0; i < N; ++i) {
    if (StartsWithIgnoreCase(names[i], word)) return static_cast<int>(i);
  }
  // "Sept", "Thur", "Tues" are prefixes; "Thrus" and the like are not worth guessing.
  return -1;
}

struct Parts {
  int year = -1, month = -1, day = -1;
  int hour = -1, minute = 0, second = 0;
  int offset_minutes = 0;
  bool zone_seen = false;
  bool zone_unknown = false;
};

int FullYear(const Token& token) {
  // RFC 5322 §4.3: two digits below 50 are 2000 to 2049, other two and all three digits count from
  // 1900.
  if (token.text.size() <= 2) return token.value + (token.value < 50 ? 2000 : 1900);
  if (token.text.size() == 3) return token.value + 1900;
  return token.value;
}

bool ReadTime(Tokens& tokens, Parts& parts) {
  const char mark = tokens.IsMark(':', 1) ? ':' : '.';
  if (tokens.Peek().kind != Token::kNumber || !tokens.IsMark(mark, 1) ||
      tokens.Peek(2).kind != Token::kNumber) {
    return false;
  }
  parts.hour = tokens.Peek().value;
  parts.minute = tokens.Peek(2).value;
  tokens.Skip(3);
  if (tokens.IsMark(mark) && tokens.Peek(1).kind == Token::kNumber) {
    parts.second = tokens.Peek(1).value;
    tokens.Skip(2);
    // Fractions of a second are no part of the grammar, and are written.
    if (tokens.IsMark('.') && tokens.Peek(1).kind == Token::kNumber) tokens.Skip(2);
  }
  if (tokens.Peek().kind == Token::kWord && parts.hour <= 12) {
    const bool pm = EqualsIgnoreCase(tokens.Peek().text, "pm");
    if (pm || EqualsIgnoreCase(tokens.Peek().text, "am")) {
      parts.hour = parts.hour % 12 + (pm ? 12 : 0);
      tokens.Skip();
    }
  }
  return true;
}

bool ReadNumericZone(Tokens& tokens, Parts& parts) {
  const bool west = tokens.IsMark('-');
  if ((!west && !tokens.IsMark('+')) || tokens.Peek(1).kind != Token::kNumber) return false;
  const Token& number = tokens.Peek(1);
  int hours = 0, minutes = 0;
  size_t used = 2;
  if (number.text.size() <= 2) {
    hours = number.value;
    if (tokens.IsMark(':', 2) && tokens.Peek(3).kind == Token::kNumber) {
      minutes = tokens.Peek(3).value;
      used = 4;
    }
  } else {
    hours = number.value / 100;
    minutes = number.value % 100;
  }
  tokens.Skip(used);
  parts.zone_seen = true;
  // RFC 5322 §3.3: the zone is within +-9959; what no clock shows tells nothing.
  if (minutes > 59 || hours > 99) {
    parts.zone_unknown = true;
    return true;
  }
  parts.offset_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
  parts.zone_unknown = west && hours == 0 && minutes == 0;
  return true;
}

void ReadZone(Tokens& tokens, Parts& parts) {
  if (ReadNumericZone(tokens, parts) || tokens.Peek().kind != Token::kWord) return;
  const std::string_view word = tokens.Peek().text;
  tokens.Skip();
  parts.zone_seen = true;
  for (const NamedZone& zone : kZones) {
    if (!EqualsIgnoreCase(zone.name, word)) continue;
    parts.offset_minutes = zone.offset_minutes;
    if (zone.offset_minutes == 0) ReadNumericZone(tokens, parts);  // "GMT+0200"
    return;
  }
  parts.zone_unknown = true;
}

// ReadDay reads day, month and year in one of the orders that mail has; the time of asctime's order
// comes along.
bool ReadDay(Tokens& tokens, Parts& parts) {
  const auto skip_marks = [&tokens] {
    while (tokens.IsMark('-') || tokens.IsMark(',') || tokens.IsMark('.') || tokens.IsMark('/'))
      tokens.Skip();
  };
  if (tokens.Peek().kind == Token::kWord) {
    // "Sep  6 11:12:13 [PDT] 1999"
    parts.month = NameIndex(kMonths, tokens.Peek().text) + 1;
    if (parts.month == 0) return false;
    tokens.Skip();
    skip_marks();
    if (tokens.Peek().kind != Token::kNumber) return false;
    parts.day = tokens.Peek().value;
    tokens.Skip();
    skip_marks();
    if (ReadTime(tokens, parts)) {
      if (tokens.Peek().kind != Token::kNumber) ReadZone(tokens, parts);
    }
    if (tokens.Peek().kind != Token::kNumber) return false;
    parts.year = FullYear(tokens.Peek());
    tokens.Skip();
    return true;
  }
  if (tokens.Peek().kind != Token::kNumber) return false;
  if (tokens.Peek().text.size() == 4 && tokens.IsMark('-', 1) &&
      tokens.Peek(2).kind == Token::kNumber && tokens.IsMark('-', 3) &&
      tokens.Peek(4).kind == Token::kNumber) {
    // ISO 8601, which some programs write: "2021-07-01T10:52:37Z"
    parts.year = tokens.Peek().value;
    parts.month = tokens.Peek(2).value;
    parts.day = tokens.Peek(4).value;
    tokens.Skip(5);
    if (tokens.Peek().kind == Token::kWord && EqualsIgnoreCase(tokens.Peek().text, "T"))
      tokens.Skip();
    return true;
  }
  parts.day = tokens.Peek().value;
  tokens.Skip();
  skip_marks();
  if (tokens.Peek().kind != Token::kWord) return false;
  parts.month = NameIndex(kMonths, tokens.Peek().text) + 1;
  if (parts.month == 0) return false;
  tokens.Skip();
  skip_marks();
  if (tokens.Peek().kind != Token::kNumber) return false;
  parts.year = FullYear(tokens.Peek());
  tokens.Skip();
  return true;
}

}  // namespace

int64_t MailDate::LocalDay() const {
  return absl::ToCivilDay(time + absl::Minutes(offset_minutes), absl::UTCTimeZone()) -
         absl::CivilDay(1970, 1, 1);
}

StatusOr<MailDate> ParseDate(std::string_view text) {
  Tokens tokens(text);
  Parts parts;
  if (tokens.Peek().kind == Token::kEnd) return InvalidArgument("the date is empty");
  if (tokens.Peek().kind == Token::kWord && NameIndex(kMonths, tokens.Peek().text) < 0) {
    // The weekday adds nothing, so a wrong or foreign one is passed over, as any word before the
    // day is.
    tokens.Skip();
    tokens.SkipMark('.');
  } else if (tokens.Peek().kind == Token::kWord && NameIndex(kWeekdays, tokens.Peek().text) >= 0) {
    tokens.Skip();
  }
  while (tokens.SkipMark(',')) {
  }
  if (!ReadDay(tokens, parts)) return InvalidArgument("the date has no day, month and year");
  if (parts.hour < 0) {
    while (tokens.SkipMark(',')) {
    }
    if (!ReadTime(tokens, parts)) return InvalidArgument("the date has no time");
  }
  if (!parts.zone_seen || parts.zone_unknown) ReadZone(tokens, parts);
  if (!parts.zone_seen) parts.zone_unknown = true;

  if (parts.year < 1 || parts.year > 9999) return InvalidArgument("the year is out of range");
  const absl::CivilDay day(parts.year, parts.month, parts.day);
  if (day.month() != parts.month || day.day() != parts.day)
    return InvalidArgument("there is no such day");
  // RFC 5322 §3.3: seconds go to 60, for leap seconds.
  if (parts.hour > 23 || parts.minute > 59 || parts.second > 60)
    return InvalidArgument("there is no such time of day");
  const absl::CivilSecond local(parts.year, parts.month, parts.day, parts.hour, parts.minute,
                                parts.second);
  MailDate date;
  date.time = absl::FromCivil(local, absl::UTCTimeZone()) - absl::Minutes(parts.offset_minutes);
  date.offset_minutes = parts.offset_minutes;
  date.zone_unknown = parts.zone_unknown;
  return date;
}

std::string FormatDate(WallTime time, int offset_minutes) {
  static constexpr std::string_view kMonthNames = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static constexpr std::string_view kDayNames = "MonTueWedThuFriSatSun";
  // What is held is the date as it is shown, in its zone.
  const WallTime earliest = absl::FromCivil(absl::CivilSecond(1, 1, 1), absl::UTCTimeZone());
  const WallTime latest =
      absl::FromCivil(absl::CivilSecond(9999, 12, 31, 23, 59, 59), absl::UTCTimeZone());
  offset_minutes = std::clamp(offset_minutes, -5999, 5999);
  const absl::CivilSecond s = absl::ToCivilSecond(
      std::clamp(time + absl::Minutes(offset_minutes), earliest, latest), absl::UTCTimeZone());
  const auto two = [](int value) {
    return std::string{static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10)};
  };
  const size_t weekday = static_cast<size_t>(absl::GetWeekday(absl::CivilDay(s)));
  const int zone = offset_minutes < 0 ? -offset_minutes : offset_minutes;
  return StrCat(kDayNames.substr(weekday * 3, 3), ", ", s.day(), " ",
                kMonthNames.substr(static_cast<size_t>(s.month() - 1) * 3, 3), " ",
                two(static_cast<int>(s.year() / 100)), two(static_cast<int>(s.year() % 100)), " ",
                two(s.hour()), ":", two(s.minute()), ":", two(s.second()),
                offset_minutes < 0 ? " -" : " +", two(zone / 60), two(zone % 60));
}

}  // namespace postern::mail
