// Tables that SQL queries answer: `table N sqlite:/path`, in process.
//
// The file is table-sqlite's (OpenSMTPD-extras), line for line: `dbpath /path` names the database,
// `query_SERVICE SELECT ... WHERE key=?` the query of each service, `fetch_source SELECT ...` the
// list of sources, with `fetch_source_expire SECONDS` (60) and `fetch_source_refresh TIMES` (1000)
// for how long it is good. Beside upstream's services (alias, domain, credentials, netaddr,
// userinfo, source, mailaddr, addrname, mailaddrmap) there are relayhost, string and regex, and
// fetch_relayhost.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"
#include "lib/rt/world.h"
#include "lib/store/sqlite/database.h"

namespace postern::store {

struct SqliteTableOptions {
  uint64_t max_file_bytes = 1 << 20;  // of the table's file
  sqlite::QueryOptions query;
  size_t max_rows = 1000;            // of one alias or mailaddrmap, joined by commas
  size_t max_sources = 10'000;       // of a fetched list
  size_t max_value_bytes = 1 << 20;  // of one answer
};

// SqliteTable asks a database that is opened for reading alone. Keys are bound, never put into the
// text. A database that is locked for longer than the busy limit, damaged or gone makes temporary
// failures; one that was replaced (another inode under its name) is opened anew by the next
// question. One question at a time; calls block: on the pool only.
class SqliteTable final : public policy::Table {
 public:
  // All outlive the table.
  SqliteTable(const policy::TableDeclaration* declaration, rt::Files* files, rt::Clock* clock,
              SqliteTableOptions options = {});

  // Reload reads the table's file and opens the database. On any error what was in force stays and
  // false is returned; `*diagnostics` says what is wrong, at its line.
  bool Reload(policy::Diagnostics* diagnostics);

  StatusOr<std::optional<std::string>> Lookup(policy::Service service,
                                              std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  // SampleValue is the secret that was found last.
  std::string SampleValue() override;

 private:
  static constexpr size_t kServices = 12;
  struct Query {
    std::string sql;  // empty: there is none
    int line = 0;
  };
  struct Settings {
    std::string path;
    int path_line = 0;
    std::array<Query, kServices> queries;
    std::array<Query, kServices> fetches;
    int64_t fetch_expire_s = 60;
    uint64_t fetch_refresh = 1000;
  };
  // Open is a database with its statements. They die before it.
  struct Open {
    std::unique_ptr<sqlite::Database> database;
    std::array<std::optional<sqlite::Statement>, kServices> queries;
    std::array<std::optional<sqlite::Statement>, kServices> fetches;
    uint64_t inode = 0;
    uint64_t device = 0;
  };
  struct Fetched {
    std::vector<std::string> entries;  // sorted
    Instant at;
    uint64_t calls = 0;
    bool known = false;
  };

  std::optional<Settings> ReadSettings(policy::Diagnostics* diagnostics);
  // OpenDatabase opens what `settings` says; an error with the line it is about.
  StatusOr<std::unique_ptr<Open>> OpenDatabase(const Settings& settings, int* line);
  // Current gives the open database, a new one when the file was replaced. Under the mutex.
  StatusOr<Open*> Current();
  StatusOr<std::optional<std::string>> Ask(Open& open, policy::Service service,
                                           const std::string& key);
  Status About(const Status& status) const;

  const policy::TableDeclaration* declaration_;
  rt::Files* files_;
  rt::Clock* clock_;
  const SqliteTableOptions options_;

  std::mutex mutex_;  // guards all below
  Settings settings_;
  std::unique_ptr<Open> open_;
  std::array<Fetched, kServices> fetched_;
  uint64_t turn_ = 0;
  std::string last_secret_;
};

}  // namespace postern::store
