// The lines of the filter protocol of OpenSMTPD (smtpd-filters(7)), versions 0.5 to 0.7. Fields
// stand between bars; the last one of a line may have bars itself. Pure.
//
//   server   config|NAME|VALUE … config|ready
//   program  register|report|smtp-in|EVENT … register|filter|smtp-in|PHASE … register|ready
//   server   report|VERSION|TIME|smtp-in|EVENT|SESSION|FIELDS…
//   server   filter|VERSION|TIME|smtp-in|PHASE|SESSION|TOKEN|FIELDS…
//   program  filter-result|SESSION|TOKEN|DECISION[|TEXT]
//   program  filter-dataline|SESSION|TOKEN|LINE
//   program  report|TIME|smtp-in|SESSION|TEXT
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::filter {

enum class Version : uint8_t { k05, k06, k07 };
std::string_view VersionText(Version version);  // "0.7"

// kIdDigits: sessions and tokens are 16 hexadecimal digits.
inline constexpr size_t kIdDigits = 16;

// Decision is the word of a filter-result.
enum class Decision : uint8_t { kProceed, kJunk, kReject, kDisconnect, kRewrite, kReport };

// ProgramLine is a line that a program says. The views are into the line.
struct ProgramLine {
  enum class Kind : uint8_t {
    kRegisterReport,  // name: an event, or "*"; incoming
    kRegisterFilter,  // name: a phase
    kRegisterReady,
    kResult,    // session, token, decision, text
    kDataLine,  // session, token, text
    kReport,    // session, text
  };
  Kind kind = Kind::kRegisterReady;
  Decision decision = Decision::kProceed;
  bool incoming = true;  // smtp-in; else smtp-out
  uint64_t session = 0;
  uint64_t token = 0;
  std::string_view name = {};
  std::string_view text = {};
};

// ParseProgramLine reads a line without its end. An error says what is wrong with it.
StatusOr<ProgramLine> ParseProgramLine(std::string_view line);
// AppendProgramLine prints it, with LF: what a program of ours says.
void AppendProgramLine(const ProgramLine& line, std::string* out);

// ServerLine is a line that a server says. The views are into the line.
struct ServerLine {
  enum class Kind : uint8_t {
    kConfig,  // name, fields: the value
    kConfigReady,
    kReport,   // name: the event; session, fields
    kRequest,  // name: the phase; session, token, fields
  };
  Kind kind = Kind::kConfigReady;
  Version version = Version::k07;
  bool incoming = true;
  uint64_t session = 0;
  uint64_t token = 0;
  std::string_view name = {};
  std::string_view fields = {};  // with the bars between them
};

// ParseServerLine reads a line without its end.
StatusOr<ServerLine> ParseServerLine(std::string_view line);

// AppendConfig prints "config|name|value"; AppendConfigReady the line that ends them.
void AppendConfig(std::string_view name, std::string_view value, std::string* out);
void AppendConfigReady(std::string* out);

// AppendReport prints a report, AppendRequest a request (with a bar behind the token though nothing
// follows it). LF, CR and NUL in a field, which would make
// other lines of it, become blanks.
void AppendReport(Version version, WallTime now, std::string_view event, uint64_t session,
                  std::initializer_list<std::string_view> fields, std::string* out);
void AppendRequest(Version version, WallTime now, std::string_view phase, uint64_t session,
                   uint64_t token, std::initializer_list<std::string_view> fields,
                   std::string* out);

// DataLinePrefix is what all requests for the lines of one message begin with, up to the line
// itself.
std::string DataLinePrefix(Version version, WallTime now, uint64_t session, uint64_t token);
// AppendDataLine prints `line`, without its end, as a request: stuffed with a dot where it begins
// with one. The end of the message is a line of a single dot, which AppendDataEnd prints.
void AppendDataLine(std::string_view prefix, std::string_view line, std::string* out);
void AppendDataEnd(std::string_view prefix, std::string* out);

// UnstuffDataLine takes the dot away again; nullopt for the line that ends a message.
std::optional<std::string_view> UnstuffDataLine(std::string_view text);

// LineReader cuts what a program says into lines.
class LineReader {
 public:
  explicit LineReader(size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}
  // Feed adds octets.
  void Feed(std::string_view octets);
  // Next gives the next whole line, without its end (LF or CRLF), which lives until the next call
  // of Feed; nullopt when there is none yet.
  std::optional<std::string_view> Next();
  // overflowed: a line was longer than it may be. Nothing more is given.
  bool overflowed() const { return overflowed_; }

 private:
  size_t max_line_bytes_;
  std::string bytes_;
  size_t start_ = 0;
  size_t scanned_ = 0;
  bool overflowed_ = false;
};

}  // namespace postern::filter
