// The tables of a configuration, loaded: static ones from the Config, file:, passwd: and db: ones
// from their files, sqlite: ones with their database (sqlite_table.h), and those that a program
// serves (proc_table.h).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/table_text.h"
#include "lib/rt/files.h"
#include "lib/rt/processes.h"
#include "lib/rt/world.h"

namespace postern::store {

struct TableLoadOptions {
  uint64_t max_file_bytes = 512ull << 20;  // of one table file
  policy::TableTextOptions text;
};

// TableSources are what tables are made from. All outlive the tables. Without `processes` and
// `clock` a table that a program serves, or a database, is refused.
struct TableSources {
  TableSources(rt::Files* table_files, rt::Processes* table_processes = nullptr,
               rt::Clock* table_clock = nullptr, LogSink* table_log = nullptr)
      : files(table_files), processes(table_processes), clock(table_clock), log(table_log) {}
  rt::Files* files;
  rt::Processes* processes;
  rt::Clock* clock;
  // run_as is whom programs run as where we are root; unset: as we do.
  std::optional<rt::Credentials> run_as = {};
  LogSink* log;  // for what befalls a table later; null: nobody is told
};

// FileTable serves a file:, passwd: or db: table from memory. Look-ups from any thread, while
// Reload swaps the contents.
class FileTable final : public policy::Table {
 public:
  // `declaration` and `config` outlive the table.
  FileTable(const policy::TableDeclaration* declaration, const policy::Config* config,
            rt::Files* files, TableLoadOptions options)
      : declaration_(declaration), config_(config), files_(files), options_(options) {}

  // Reload reads the file anew. On any error the old contents stay and false is returned;
  // `*diagnostics` says what is wrong: at the table's line of the configuration when the file
  // cannot be read, else at the file's own line, and at the use when the table turned out to be a
  // list where a mapping is wanted. Blocks: on the pool only; one caller at a time.
  bool Reload(policy::Diagnostics* diagnostics);

  StatusOr<std::optional<std::string>> Lookup(policy::Service service,
                                              std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  std::string SampleValue() override;
  bool EachValue(policy::Service service,
                 const std::function<void(std::string_view)>& each) override;
  // The contents are in memory; only Reload reads the file. Once loaded, there is no error.
  bool Blocks() const override { return false; }
  bool CanFail() const override { return false; }
  // size is the number of entries.
  size_t size();

 private:
  using Contents = std::shared_ptr<const policy::TableContents>;
  Contents ContentsFor(policy::Service service);
  bool BuildPart(policy::TableText text, const std::vector<policy::Service>& services,
                 Contents* out, policy::Diagnostics* diagnostics);

  const policy::TableDeclaration* declaration_;
  const policy::Config* config_;
  rt::Files* files_;
  TableLoadOptions options_;
  std::mutex mutex_;  // guards the two below
  Contents entries_;
  Contents users_;  // passwd: only, for kUserinfo
  std::atomic<uint64_t> turn_{0};
};

// DbTable is a FileTable that reads its file anew by itself when that has changed, as OpenSMTPD
// does with what makemap writes: the first question a second or more after the last look looks
// again. While the new file is wrong (still being written, say) the old contents stay; the log says
// so once, and when it is right again. Calls block: on the pool only.
class DbTable final : public policy::Table {
 public:
  DbTable(const policy::TableDeclaration* declaration, const policy::Config* config,
          const TableSources& sources, TableLoadOptions options)
      : path_(declaration->path),
        files_(sources.files),
        clock_(sources.clock),
        log_(sources.log),
        location_(declaration->location),
        table_(declaration, config, sources.files, options) {}

  // Reload reads the file now; see FileTable.
  bool Reload(policy::Diagnostics* diagnostics);

  StatusOr<std::optional<std::string>> Lookup(policy::Service service,
                                              std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(policy::Service service) override;
  std::string SampleValue() override { return table_.SampleValue(); }
  bool EachValue(policy::Service service,
                 const std::function<void(std::string_view)>& each) override {
    return table_.EachValue(service, each);
  }
  size_t size() { return table_.size(); }

 private:
  struct Stamp {
    WallTime modified;
    uint64_t inode = 0;
    uint64_t size_bytes = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  std::optional<Stamp> StampNow();
  void LookAgain();
  // TellOfChange logs that the file has become wrong, or right. With `mutex_` held.
  void TellOfChange(bool is_bad, const std::string& reason);

  const std::string path_;
  rt::Files* files_;
  rt::Clock* clock_;
  LogSink* log_;
  const policy::SourceLocation location_;
  FileTable table_;
  std::mutex mutex_;            // guards the rest; who holds it may read the file
  std::optional<Stamp> stamp_;  // of the file that is in memory
  std::optional<Stamp> bad_;    // of one that was wrong since
  bool is_bad_ = false;         // the log has it that the file is wrong
  Instant next_look_;
};

// ConfigTables holds all tables of one Config.
class ConfigTables {
 public:
  // Load builds and reads the tables, and finds the programs of those that have one (a program is
  // started by the first question). Null when there was an error. Blocks: on the pool only.
  static std::shared_ptr<ConfigTables> Load(std::shared_ptr<const policy::Config> config,
                                            const TableSources& sources,
                                            const TableLoadOptions& options,
                                            policy::Diagnostics* diagnostics);

  const policy::TableSet& set() const { return set_; }
  const policy::Config& config() const { return *config_; }

  // Update reloads one table by name, as `smtpctl update table` asks; a program is told to. An
  // error, also for a name that there is not, leaves the old contents in force. Blocks: on the pool
  // only; one caller at a time.
  bool Update(std::string_view name, policy::Diagnostics* diagnostics);

 private:
  std::shared_ptr<const policy::Config> config_;
  policy::TableSet set_;
  // By TableId; empty for a table that is written in the configuration.
  std::vector<std::function<bool(policy::Diagnostics*)>> reloads_;
};

// CheckCertificateFiles tells, at its line, about each certificate, key and ca of `config` that
// cannot be read. Whether they fit together is core/tls's to say. Blocks: on the pool only.
void CheckCertificateFiles(const policy::Config& config, rt::Files& files,
                           policy::Diagnostics* diagnostics);

// ReadTextFile reads a whole file of at most `limit_bytes`, through symbolic links; an error names
// the limit. Blocks: pool only.
StatusOr<std::string> ReadTextFile(rt::Files& files, const std::string& path, uint64_t limit_bytes);

}  // namespace postern::store
