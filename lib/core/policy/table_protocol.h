// The table protocol 0.1: how OpenSMTPD talks with `table-TYPE` programs, as lines of text and
// without I/O.
//
// We say who we are and end with `config|ready`; the program names the services it has and ends
// with `register|ready`. From then on each question has an id of its own, and the program answers
// in whatever order it likes: many at a time, or one by one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

enum class TableOperation : uint8_t { kCheck, kLookup, kFetch, kUpdate };

// TableGreeting is what the program hears first.
std::string TableGreeting(std::string_view version, std::string_view table_name);

struct TableRequest {
  TableOperation operation = TableOperation::kLookup;
  std::string_view service;  // ServiceName, or "auth"; not of an update
  uint32_t id = 0;
  std::string_view key;  // of check and lookup, as it is to be sent
};
// FormatTableRequest gives the line with its end. Keys with CR, LF or NUL cannot be said and are
// kInvalidArgument.
StatusOr<std::string> FormatTableRequest(const TableRequest& request, std::string_view table_name,
                                         WallTime now);

struct TableAnswer {
  enum class Kind : uint8_t { kFound, kNotFound, kUpdated, kError };
  uint32_t id = 0;
  TableOperation operation = TableOperation::kLookup;
  Kind kind = Kind::kNotFound;
  std::string text;  // the value; of kError what the program says
};

struct TableProtocolOptions {
  size_t max_line_bytes = 64 << 10;  // of one answer
  size_t max_services = 64;          // register lines
};

// TableReader reads what a program says.
class TableReader {
 public:
  explicit TableReader(TableProtocolOptions options = {}) : options_(options) {}

  // Feed takes octets and appends the answers in them to `*answers`. After an error (a line that is
  // none of the protocol, too long a line) the program cannot be believed any more: end it. Linear.
  Status Feed(std::string_view octets, std::vector<TableAnswer>* answers);

  // ready is true once the program has named its services; then Serves tells which it has, by the
  // protocol's word. Words that we do not know are kept: nobody asks for them.
  bool ready() const { return ready_; }
  bool Serves(std::string_view service) const;

 private:
  Status TakeLine(std::string_view line, std::vector<TableAnswer>* answers);

  TableProtocolOptions options_;
  std::string rest_;  // a line without its end
  std::vector<std::string> services_;
  bool ready_ = false;
};

}  // namespace postern::policy
