// A parsed configuration with its tables and a machine of made-up accounts.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "lib/core/policy/expansion.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/ruleset.h"

namespace postern::policy {

class FakeAccounts final : public AccountSource {
 public:
  FakeAccounts() {
    for (const char* name : {"alice", "bob", "carol", "jdoe", "_vmail", "root"}) Add(name);
    accounts_["root"].uid = 0;
  }
  void Add(const std::string& name) {
    accounts_[name] = {name, next_uid_, next_uid_, "/home/" + name}, ++next_uid_;
  }

  StatusOr<std::optional<LocalAccount>> FindAccount(const std::string& name) override {
    if (name == "flaky") return Unavailable("directory is away");
    const auto it = accounts_.find(name);
    if (it == accounts_.end()) return std::optional<LocalAccount>();
    return std::optional<LocalAccount>(it->second);
  }
  StatusOr<ForwardFile> ReadForward(const LocalAccount& account) override {
    const auto it = forwards.find(account.name);
    return it == forwards.end() ? ForwardFile{} : it->second;
  }
  StatusOr<std::string> ReadInclude(const std::string& path) override {
    const auto it = includes.find(path);
    if (it == includes.end()) return NotFound("no such file");
    return it->second;
  }
  void Forward(const std::string& user, const std::string& text) {
    forwards[user] = {ForwardFile::State::kPresent, text};
  }

  std::map<std::string, ForwardFile> forwards;
  std::map<std::string, std::string> includes;

 private:
  std::map<std::string, LocalAccount> accounts_;
  uint32_t next_uid_ = 1000;
};

// Policy is a configuration ready to decide. Its static tables are built; there are no files.
struct Policy {
  explicit Policy(const std::string& text) {
    MemoryLoader loader("smtpd.conf", text);
    ParseResult result = Parse("smtpd.conf", loader);
    for (const Diagnostic& d : result.diagnostics) {
      if (d.severity == Severity::kError) ADD_FAILURE() << d.ToString();
    }
    config = result.config;
    for (const TableDeclaration& table : config->tables) {
      Diagnostics diagnostics;
      tables.tables.push_back(std::make_shared<StaticTable>(
          TableContents::Build(table.entries, BuildOptionsFor(table, *config), &diagnostics)));
    }
    LocalNames local;
    local.server_name = "mail.athome.tld";
    local.addresses = {*IpAddress::Parse("192.0.2.25")};
    ruleset = std::make_unique<Ruleset>(config.get(), &tables, local);
  }

  std::shared_ptr<const Config> config;
  TableSet tables;
  std::unique_ptr<Ruleset> ruleset;
};

inline mail::Address MakeAddress(const std::string& text) {
  const size_t at = text.rfind('@');
  return at == std::string::npos ? mail::Address{text, ""}
                                 : mail::Address{text.substr(0, at), text.substr(at + 1)};
}

inline EnvelopeContext Remote(const std::string& recipient) {
  EnvelopeContext context;
  context.remote = *IpAddress::Parse("203.0.113.9");
  context.reverse_name = "client.example.net";
  context.helo = "helo.example.net";
  context.sender = {"someone", "example.net"};
  context.recipient = MakeAddress(recipient);
  return context;
}

}  // namespace postern::policy
