// ControlService serves the clients of the control socket.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/service/control/control_call.h"

namespace postern::service {

// ControlBackend carries out what is asked for.
class ControlBackend {
 public:
  virtual ~ControlBackend() = default;
  // Answer carries out `call`'s request, says what there is to say, and returns the exit status
  // that the client ends with. It decides who may ask for what. On the main loop.
  virtual rt::Task<int> Answer(ControlCall* call) = 0;
};

// ControlService lives on the main loop. Await Stop before it goes.
class ControlService {
 public:
  // All outlive it.
  ControlService(rt::World* world, ControlBackend* backend, LogSink* log,
                 ControlLimits limits = {});
  ~ControlService();

  // Serve answers one client; it returns at once.
  void Serve(std::unique_ptr<rt::Stream> stream);
  // Stop ends what goes on for as long as it is asked for, and cuts the rest after `grace`.
  rt::Task<void> Stop(Duration grace);

  size_t sessions() const { return sessions_.size(); }

 private:
  rt::Task<void> ServeClient(std::unique_ptr<rt::Stream> stream);
  rt::Task<void> Converse(ControlCall* call);

  rt::World* world_;
  ControlBackend* backend_;
  const ControlLimits limits_;
  std::list<ControlCall*> sessions_;
  std::map<uint32_t, size_t> sessions_by_user_;
  rt::Event stop_;
  rt::Event all_gone_;
  rt::TaskGroup tasks_;
};

}  // namespace postern::service
