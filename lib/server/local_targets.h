// LocalTargets tells the local deliverer where an envelope goes under the configuration in force.
#pragma once

#include "lib/core/policy/expansion.h"
#include "lib/rt/world.h"
#include "lib/server/runtime.h"
#include "lib/service/deliver/local_target.h"

namespace postern::server {

class LocalTargets final : public deliver::TargetResolver {
 public:
  LocalTargets(rt::World* world, RuntimeHolder* runtimes) : world_(world), runtimes_(runtimes) {}
  StatusOr<deliver::LocalTarget> ResolveTarget(const queue::Envelope& envelope) override;
  bool MayWait(const queue::Envelope& envelope) const override;
  // KindOf tells by which way a local envelope goes. Any thread.
  queue::Envelope::Kind KindOf(const queue::Envelope& envelope) const;

 private:
  rt::World* world_;
  RuntimeHolder* runtimes_;
};

// FindRecipientAccount looks up the account that `user` names for `action`: in its userbase, or the
// system's. kNotFound when there is none. Blocks.
StatusOr<policy::LocalAccount> FindRecipientAccount(rt::World& world, const Runtime& runtime,
                                                    const policy::Action& action,
                                                    const std::string& user);

}  // namespace postern::server
