// HelpedWorld: the real machine for a server that root started and that gives root's rights up.
//
// Until Become it is the World that it was made of, and notes which files are opened for reading.
// From then on the process is another account, the helper does what needs the rights of users
// (World::helper), the files that were noted can still be read, and ports of mail be listened on:
// so certificates that only root may read are there for a reload, and new listeners.
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "lib/rt/helper.h"
#include "lib/rt/world.h"

namespace postern::rt {

class HelpedWorld final : public World {
 public:
  // `inner` outlives it.
  HelpedWorld(World* inner, std::unique_ptr<Helper> helper);
  ~HelpedWorld() override;

  // Become makes this process `account`, for good. `passwords`: system passwords are asked for.
  // `pairs`: Helper::AllowPairs; `programs`: Helper::AllowProgram. After an error nothing may go
  // on: the process may be half of each.
  Status Become(const Account& account, bool passwords,
                const std::vector<std::pair<uint32_t, uint32_t>>& pairs,
                const std::vector<std::pair<std::string, ProcessSpec>>& programs);

  // AllowLog, before Become, lets OpenLog open the log file `path` anew afterwards
  // (Helper::OpenLog), though only root may write there; kUnavailable when nobody was become.
  Status AllowLog(const std::string& path);
  StatusOr<int> OpenLog(const std::string& path);

  Clock& clock() override { return inner_->clock(); }
  Random& random() override { return inner_->random(); }
  Files& files() override;
  Network& network() override;
  Processes& processes() override;
  Helper* helper() override;
  Helper* login_helper() override { return helper_.get(); }
  size_t worker_count() const override { return inner_->worker_count(); }
  Executor& worker(size_t index) override { return inner_->worker(index); }

 private:
  struct Parts;
  World* inner_;
  std::unique_ptr<Helper> helper_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::rt
