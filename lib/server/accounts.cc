#include "lib/server/accounts.h"

namespace postern::server {

rt::Credentials CredentialsOf(rt::World& world, const policy::LocalAccount& account) {
  rt::Credentials credentials{.uid = account.uid, .gid = account.gid, .groups = {account.gid}};
  const StatusOr<rt::Account> known = world.processes().FindAccount(account.name);
  if (known.ok() && known->uid == account.uid) credentials.groups = known->groups;
  return credentials;
}

}  // namespace postern::server
