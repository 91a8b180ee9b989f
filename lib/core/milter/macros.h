// Macros: what a mail server knows beside what a command says, told to filters by the names that
// Sendmail's configuration has for it. A name of more than one letter stands in braces.
//
//   j                 our host name              i                 the message's queue id
//   _                 the client: its name, and its address in brackets
//   v                 the version of the mail server's software
//   {daemon_name}     the listener               {daemon_addr}, {daemon_port}
//   {client_addr}     {client_port}              {client_name}     confirmed name, or "unknown"
//   {client_ptr}      the name by PTR alone      {client_resolve}  OK, FAIL, FORGED, TEMP
//   {tls_version}     {cipher}  {cipher_bits}    {cert_subject}  {cert_issuer}
//   {auth_type}       the SASL mechanism         {auth_authen}     who logged in
//   {auth_author}     the login acted for        {auth_ssf}        bits of the login's own layer
//   {mail_addr}       {mail_host}  {mail_mailer} the sender's address, next hop, transport
//   {rcpt_addr}       {rcpt_host}  {rcpt_mailer} the recipient's. A recipient that we refused has
//                     the mailer "error", the enhanced status as its host and the reply's text as
//                     its address
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/milter/packet.h"
#include "lib/core/milter/protocol.h"

namespace postern::milter {

// Stage is a group of steps whose macros a filter may choose. The numbers are those of the
// negotiation (SMFIM_*).
enum class Stage : uint8_t {
  kConnect = 0,
  kHelo = 1,
  kMail = 2,
  kRcpt = 3,
  kData = 4,
  kEndOfMessage = 5,
  kEndOfHeaders = 6,
};
inline constexpr size_t kStageCount = 7;

// SymbolLists say which macros go with which stage.
using SymbolLists = std::array<std::vector<std::string>, kStageCount>;

// DefaultSymbols are those that Postfix and Sendmail send where a filter does not choose.
const SymbolLists& DefaultSymbols();

// MacroTable holds macros by name, bounded. A name is given as it stands in lists: "i",
// "{client_addr}".
class MacroTable {
 public:
  // More than `max_macros`, or values of more than `max_bytes` in all, are not taken.
  explicit MacroTable(size_t max_macros = 256, size_t max_bytes = 65'536)
      : max_macros_(max_macros), max_bytes_(max_bytes) {}

  // Set gives `name` a value; an empty value is one. False when there is no room for it.
  bool Set(std::string_view name, std::string_view value);
  void Unset(std::string_view name);
  void Clear();
  // Find lends the value, null when the macro has none; until the next change. "i" and "{i}" are
  // the same name.
  const std::string* Find(std::string_view name) const;
  size_t size() const { return values_.size(); }

 private:
  size_t max_macros_;
  size_t max_bytes_;
  size_t bytes_ = 0;
  std::map<std::string, std::string, std::less<>> values_;
};

// WriteMacros writes the packet that goes before `command`, with those of `names` that have a value
// in `table`; without any it writes nothing.
void WriteMacros(Command command, const std::vector<std::string>& names, const MacroTable& table,
                 std::string* out);

// ReadMacros puts what a packet told into `*table` and says which command it goes before; false for
// a packet that is cut off, or more than the table takes.
bool ReadMacros(std::string_view data, char* command, MacroTable* table);

}  // namespace postern::milter
