#include "lib/server/logins.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/password.h"

namespace postern::server {

std::string SystemUserOf(const Runtime& runtime, const std::string& user) {
  const size_t at = user.rfind('@');
  if (at == std::string::npos ||
      !EqualsIgnoreCase(std::string_view(user).substr(at + 1), runtime.server_name()))
    return user;
  return user.substr(0, at);
}

StatusOr<bool> CheckLogin(const Runtime& runtime, policy::TableId table, const std::string& user,
                          const std::string& password) {
  if (table != policy::kNoIndex)
    return policy::CheckLogin(*runtime.tables().Get(table), user, password);
  return policy::CheckLogin(runtime.system_logins(), SystemUserOf(runtime, user), password);
}

StatusOr<bool> KnowsLogin(const Runtime& runtime, policy::TableId table, const std::string& user) {
  policy::Table& logins =
      table == policy::kNoIndex ? runtime.system_logins() : *runtime.tables().Get(table);
  const std::string name = table == policy::kNoIndex ? SystemUserOf(runtime, user) : user;
  const StatusOr<std::optional<std::string>> found =
      logins.Lookup(policy::Service::kCredentials, name);
  if (!found.ok()) return found.status();
  return found->has_value();
}

}  // namespace postern::server
