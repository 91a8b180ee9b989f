#include "lib/core/milter/macros.h"

namespace postern::milter {
namespace {

// PlainName takes the braces off a name.
std::string_view PlainName(std::string_view name) {
  if (name.size() > 2 && name.front() == '{' && name.back() == '}')
    return name.substr(1, name.size() - 2);
  return name;
}

}  // namespace

const SymbolLists& DefaultSymbols() {
  // Postfix's milter_*_macros joined with Sendmail's Milter.macros.*, and the client's address and
  // names, which filters ask for by configuration and mail servers are told to send.
  static const SymbolLists* const lists = new SymbolLists{{
      {"j", "_", "{daemon_name}", "{daemon_addr}", "{daemon_port}", "{if_name}", "{if_addr}", "v",
       "{client_addr}", "{client_port}", "{client_name}", "{client_ptr}", "{client_resolve}"},
      {"{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}", "{verify}"},
      {"i", "{auth_type}", "{auth_authen}", "{auth_author}", "{auth_ssf}", "{mail_addr}",
       "{mail_host}", "{mail_mailer}"},
      {"i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
      {"i"},
      {"i", "{msg_id}"},
      {"i"},
  }};
  return *lists;
}

bool MacroTable::Set(std::string_view name, std::string_view value) {
  name = PlainName(name);
  const auto found = values_.find(name);
  const size_t before = found == values_.end() ? 0 : name.size() + found->second.size();
  if (found == values_.end() && values_.size() >= max_macros_) return false;
  if (bytes_ - before + name.size() + value.size() > max_bytes_) return false;
  bytes_ += name.size() + value.size() - before;
  if (found == values_.end()) {
    values_.emplace(name, value);
  } else {
    found->second.assign(value);
  }
  return true;
}

void MacroTable::Unset(std::string_view name) {
  const auto found = values_.find(PlainName(name));
  if (found == values_.end()) return;
  bytes_ -= found->first.size() + found->second.size();
  values_.erase(found);
}

void MacroTable::Clear() {
  values_.clear();
  bytes_ = 0;
}

const std::string* MacroTable::Find(std::string_view name) const {
  const auto found = values_.find(PlainName(name));
  return found == values_.end() ? nullptr : &found->second;
}

void WriteMacros(Command command, const std::vector<std::string>& names, const MacroTable& table,
                 std::string* out) {
  bool any = false;
  for (const std::string& name : names) any = any || table.Find(name) != nullptr;
  if (!any) return;
  PacketWriter packet(out, static_cast<char>(Command::kMacro));
  packet.Octet(static_cast<char>(command));
  for (const std::string& name : names) {
    const std::string* const value = table.Find(name);
    if (value != nullptr) packet.Text(name).Text(*value);
  }
}

bool ReadMacros(std::string_view data, char* command, MacroTable* table) {
  FieldReader fields(data);
  if (!fields.Octet(command)) return false;
  while (!fields.done()) {
    std::string_view name;
    std::string_view value;
    if (!fields.Text(&name) || !fields.Text(&value)) return false;
    if (!table->Set(name, value)) return false;
  }
  return true;
}

}  // namespace postern::milter
