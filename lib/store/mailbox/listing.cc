#include "lib/store/mailbox/listing.h"

#include <map>

namespace postern::mailbox {

std::vector<MailboxEntry> BuildListing(const std::set<std::string>& names,
                                       const std::set<std::string>& subscribed, char separator) {
  std::map<std::string, MailboxEntry> entries;
  const auto entry = [&entries](const std::string& name) -> MailboxEntry& {
    const auto [at, made] = entries.try_emplace(name);
    if (made) {
      at->second.name = name;
      at->second.exists = false;
      at->second.special_use = SpecialUseOf(name);
    }
    return at->second;
  };
  entry("INBOX").exists = true;
  for (const std::string& name : names) {
    entry(name).exists = true;
    for (size_t at = name.rfind(separator); at != std::string::npos && at > 0;
         at = name.rfind(separator, at - 1)) {
      entry(name.substr(0, at)).has_children = true;
    }
  }
  for (const std::string& name : subscribed) entry(name).subscribed = true;

  std::vector<MailboxEntry> listing;
  listing.reserve(entries.size());
  listing.push_back(entries["INBOX"]);
  for (auto& [name, line] : entries) {
    if (name != "INBOX") listing.push_back(std::move(line));
  }
  return listing;
}

}  // namespace postern::mailbox
