// Tables as an smtpd.conf declares and uses them. table.h has how they answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"

namespace postern::policy {

inline constexpr size_t kMaxTableNameBytes = 64;

// Service says how the entries of a table are compared with what is asked (table.h has the rules).
enum class Service : uint8_t {
  kAlias,        // user -> comma list of what it stands for; also `virtual`
  kDomain,       // domains, `*` as glob
  kCredentials,  // login -> hash, or label -> user:password
  kNetaddr,      // addresses and networks; the word `local` is the local socket
  kUserinfo,     // user -> uid:gid:home
  kSource,       // addresses, fetched in turn
  kMailaddr,     // user, @domain, user@domain, @
  kAddrname,     // address -> host name
  kMailaddrmap,  // user -> comma list of mail addresses
  kRelayhost,    // relay URLs: fetched in turn, or by domain
  kString,       // exact
  kRegex,        // RE2 expressions, unanchored
};
// ServiceName is the word of the table protocol: "alias", "domain", ...
const char* ServiceName(Service service);

enum class TableKind : uint8_t { kStatic, kFile, kDb, kPasswd, kSqlite, kProc };
enum class TableForm : uint8_t { kUnknown, kList, kMapping };

struct TableEntry {
  std::string key;    // lower-cased when the table is built, not here
  std::string value;  // empty in a list
  int line = 0;       // in the file the table was declared or read from
  int column = 0;     // of an entry in the configuration; 0 in a table's file
};

// TableUse is one place that uses a table: what it wants of it. The loader checks form and entries
// against all uses.
struct TableUse {
  Service service = Service::kString;
  TableForm needs = TableForm::kUnknown;  // kUnknown: either form will do
  std::string word;                       // the word of the directive: "alias", "from src", ...
  SourceLocation location;
};

struct TableDeclaration {
  std::string name;  // "<anonymous:N>" for a table written in place
  bool anonymous = false;
  TableKind kind = TableKind::kStatic;
  TableForm form = TableForm::kUnknown;  // known for static tables; for the others once loaded
  std::string backend;                   // as written: "file", "passwd", "ldap", ...
  std::string path;                      // for all but static tables: absolute
  std::vector<TableEntry> entries;       // of a static table, as written
  std::vector<TableUse> uses;
  SourceLocation location;
};

}  // namespace postern::policy
