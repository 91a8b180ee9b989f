// Tables: what an operator lists, and how a list answers.
//
// Keys are lower-cased when a table is built and all look-ups are lower-cased, regular expressions
// included (so `\S` means
// `\s`, as in OpenSMTPD). Of duplicate keys the last wins. When several entries match, the one
// whose key sorts first decides.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

// Table answers look-ups. Any thread. A table behind a file or a program may block: call it on the
// pool. An error is a temporary failure: the caller answers 4xx.
class Table {
 public:
  virtual ~Table() = default;

  // Lookup returns the value of the entry that matches `key` under the rules of `service`; "" for
  // an entry of a list.
  virtual StatusOr<std::optional<std::string>> Lookup(Service service, std::string_view key) = 0;
  // Match tells whether an entry matches.
  virtual StatusOr<bool> Match(Service service, std::string_view key);
  // Fetch returns the entries of a list in turn, in sorted order (sources, relay hosts); nullopt
  // when there is none.
  virtual StatusOr<std::optional<std::string>> Fetch(Service service) = 0;
  // CheckPassword asks a table that checks logins itself, instead of giving a hash to compare with
  // (the `auth` service of a program); nullopt when it does not.
  virtual StatusOr<std::optional<bool>> CheckPassword(std::string_view user,
                                                      std::string_view password) {
    (void)user, (void)password;
    return std::optional<bool>();
  }
  // SampleValue returns the value of some entry, or "". The password check of an unknown login
  // takes it as long as a known one.
  virtual std::string SampleValue() { return {}; }
  // EachValue calls `each` with the value of every entry that `service` would find, in no order;
  // false for a table that does not know all it has (a program's, a database's).
  virtual bool EachValue(Service service, const std::function<void(std::string_view)>& each) {
    (void)service, (void)each;
    return false;
  }
  // Blocks tells whether a call may have to wait (for a file, a program). One that says no may be
  // asked on a loop.
  virtual bool Blocks() const { return true; }
  // CanFail tells whether a call may end in an error. What cannot may be asked before its turn.
  virtual bool CanFail() const { return true; }
};

struct TableBuildOptions {
  std::vector<Service>
      services;  // what will be asked; another service finds nothing and is kFailedPrecondition
  char sub_address_delimiter = '+';  // for kMailaddr
  size_t max_regexes = 10000;
  int64_t max_regex_bytes = 1 << 20;  // RE2's memory for one expression
  bool check_hashes = false;          // warn of logins whose secret is no password hash
  bool check_pairs = false;           // a value that has no user or nothing at all is an error
  std::string file;                   // for errors: where the entries were read
};

// TableContents is a built table: immutable, look-ups in constant time for exact keys, networks and
// one-label globs
// (`*.example.org`), linear in the number of other globs and of regular expressions.
class TableContents {
 public:
  // Build makes the contents. What an entry cannot mean under one of the services (a network that
  // is none, an expression that RE2 refuses) is an error in `*diagnostics`, with the entry's line;
  // the contents are then null. A login that can never succeed is a warning.
  static std::shared_ptr<const TableContents> Build(std::vector<TableEntry> entries,
                                                    const TableBuildOptions& options,
                                                    Diagnostics* diagnostics);
  ~TableContents();

  StatusOr<std::optional<std::string>> Lookup(Service service, std::string_view key) const;
  // At returns the key of entry `turn` modulo size, in sorted order.
  std::optional<std::string> At(uint64_t turn) const;
  std::string SampleValue() const;
  void EachValue(const std::function<void(std::string_view)>& each) const;
  size_t size() const;

 private:
  struct Impl;
  explicit TableContents(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// StaticTable serves contents that never change.
class StaticTable final : public Table {
 public:
  explicit StaticTable(std::shared_ptr<const TableContents> contents)
      : contents_(std::move(contents)) {}
  StatusOr<std::optional<std::string>> Lookup(Service service, std::string_view key) override;
  StatusOr<std::optional<std::string>> Fetch(Service service) override;
  std::string SampleValue() override { return contents_->SampleValue(); }
  bool EachValue(Service, const std::function<void(std::string_view)>& each) override {
    contents_->EachValue(each);
    return true;
  }
  bool Blocks() const override { return false; }
  bool CanFail() const override { return false; }

 private:
  std::shared_ptr<const TableContents> contents_;
  std::atomic<uint64_t> turn_{0};
};

// TableSet holds the tables of a Config by TableId.
struct TableSet {
  std::vector<std::shared_ptr<Table>> tables;
  // Get returns the table, or null for kNoIndex.
  Table* Get(TableId id) const {
    return id == kNoIndex ? nullptr : tables.at(static_cast<size_t>(id)).get();
  }
  // Blocks tells whether any of them may block.
  bool Blocks() const;
};

// BuildOptionsFor collects what the uses of `declaration` ask of its contents.
TableBuildOptions BuildOptionsFor(const TableDeclaration& declaration, const Config& config);
// CheckTableForm compares the form that a table turned out to have with what its uses need; errors
// stand at the uses.
void CheckTableForm(const TableDeclaration& declaration, TableForm form, Diagnostics* diagnostics);

// --- The comparisons, for who needs one alone. All expect lower case. ---

// DomainGlobMatches compares as OpenSMTPD does: `*` runs up to the first occurrence of what follows
// it, so "*.a.b" matches exactly one label before ".a.b", and not "a.b" itself.
bool DomainGlobMatches(std::string_view name, std::string_view pattern);
// MailaddrMatches compares an address with an entry: "user", "@domain", "user@domain" (the domain
// may glob) or "@". What follows the delimiter in the address's user part is ignored unless the
// entry has one, too.
bool MailaddrMatches(std::string_view address, std::string_view entry, char sub_address_delimiter);

// --- Values ---

struct TableCredentials {
  std::string user;
  std::string secret;  // a hash, or a password in the clear on the relay side
};
// ParseCredentials splits at the first colon; without one, and for what is stored for SCRAM, the
// whole is the secret, and `key` the user.
TableCredentials ParseCredentials(std::string_view key, std::string_view value);

struct TableUserinfo {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;
};
// ParseUserinfo reads "uid:gid:home".
StatusOr<TableUserinfo> ParseUserinfo(std::string_view value);

}  // namespace postern::policy
