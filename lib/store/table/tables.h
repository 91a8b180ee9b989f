// The tables of a configuration, loaded: static ones from the Config, file: and passwd: ones from
// their files.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/core/policy/table.h"
#include "lib/core/policy/table_text.h"
#include "lib/rt/files.h"

namespace postern::store {

struct TableLoadOptions {
  uint64_t max_file_bytes = 512ull << 20;  // of one table file
  policy::TableTextOptions text;
};

// FileTable serves a file: or passwd: table from memory. Look-ups from any thread, while Reload
// swaps the contents.
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
  // The contents are in memory; only Reload reads the file.
  bool Blocks() const override { return false; }
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

// ConfigTables holds all tables of one Config.
class ConfigTables {
 public:
  // Load builds and reads the tables. Null when there was an error. Tables of a kind that this
  // version cannot serve are left out (policy::UnsupportedFeatures names them). Blocks: on the pool
  // only. `files` outlives the result.
  static std::shared_ptr<ConfigTables> Load(std::shared_ptr<const policy::Config> config,
                                            rt::Files* files, const TableLoadOptions& options,
                                            policy::Diagnostics* diagnostics);

  const policy::TableSet& set() const { return set_; }
  const policy::Config& config() const { return *config_; }

  // Update reloads one table by name, as `smtpctl update table` asks. An error, also for a name
  // that there is not, leaves the old contents in force. Blocks: on the pool only; one caller at a
  // time.
  bool Update(std::string_view name, policy::Diagnostics* diagnostics);

 private:
  std::shared_ptr<const policy::Config> config_;
  policy::TableSet set_;
  std::vector<FileTable*> file_tables_;  // by TableId; null for others
};

// CheckCertificateFiles tells, at its line, about each certificate, key and ca of `config` that
// cannot be read. Whether they fit together is core/tls's to say. Blocks: on the pool only.
void CheckCertificateFiles(const policy::Config& config, rt::Files& files,
                           policy::Diagnostics* diagnostics);

// ReadTextFile reads a whole file of at most `limit_bytes`, through symbolic links; an error names
// the limit. Blocks: pool only.
StatusOr<std::string> ReadTextFile(rt::Files& files, const std::string& path, uint64_t limit_bytes);

}  // namespace postern::store
