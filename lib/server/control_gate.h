// ControlGate answers the control socket from the parts of a running server.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lib/core/control/stats.h"
#include "lib/core/control/verbs.h"
#include "lib/rt/world.h"
#include "lib/server/log_tap.h"
#include "lib/server/ports.h"
#include "lib/server/server.h"
#include "lib/service/control/control_service.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/store/queue/queue.h"

namespace postern::server {

// The file name of the control socket in the spool.
inline constexpr char kControlSocketName[] = "control.sock";

// ControlParts is what the gate works on; all of it outlives the gate.
struct ControlParts {
  rt::World* world = nullptr;
  LogTap* log = nullptr;
  RuntimeHolder* runtimes = nullptr;
  store::Queue* queue = nullptr;
  schedule::Scheduler* scheduler = nullptr;
  std::vector<relay::RelayDeliverer*> relays;
  Ports* ports = nullptr;
  // reload is Server::Reload, called on the pool.
  std::function<Status(policy::Diagnostics*)> reload;
  // submit queues a message as if it came by the local socket.
  std::function<rt::Task<SubmissionResult>(Submission)> submit;
};

// ControlGate lives on the main loop.
class ControlGate final : public service::ControlBackend {
 public:
  // Octets of messages that are being handed in over the socket, of all clients together; who does
  // not fit is told to try again.
  static constexpr size_t kMaxInputBytes = 256 << 20;

  explicit ControlGate(ControlParts parts);

  rt::Task<int> Answer(service::ControlCall* call) override;

  // Numbers are the server's, as `show stats` has them.
  rt::Task<control::StatBook> Numbers();
  void set_sessions(const service::ControlService* service) { service_ = service; }

 private:
  using Call = service::ControlCall;
  using Ids = std::vector<queue::EnvelopeId>;

  rt::Task<int> Carry(Call* call, control::Command command);
  rt::Task<int> Done(Call* call, Status status);
  rt::Task<int> Plain(Call* call, std::string text, std::string json);

  // control_queue.cc
  rt::Task<int> ShowQueue(Call* call, std::vector<std::string> operands);
  rt::Task<int> ShowEnvelope(Call* call, std::string id);
  rt::Task<int> ShowMessage(Call* call, std::string id);
  rt::Task<int> ShowParked(Call* call);
  rt::Task<int> FreeParked(Call* call, std::string id, bool plain);
  // Each applies a verb to the envelopes that an operand names, and says how many it was done to.
  rt::Task<int> ForEach(Call* call, control::Verb verb, std::string id);
  rt::Task<StatusOr<bool>> Apply(control::Verb verb, const queue::Envelope* envelope);

  // control_show.cc
  void NumbersOfRelays(const schedule::SchedulerCounters& scheduler, control::StatBook* book) const;
  rt::Task<int> ShowStats(Call* call);
  rt::Task<int> ShowStatus(Call* call);
  rt::Task<int> ShowHosts(Call* call);
  rt::Task<int> ShowHostStats(Call* call);
  rt::Task<int> ShowRoutes(Call* call);
  rt::Task<int> ShowRelays(Call* call);
  rt::Task<int> ShowMtaPaused(Call* call);
  rt::Task<int> Monitor(Call* call);
  rt::Task<int> Trace(Call* call, std::string what);

  // control_act.cc
  // Pauses carries out those verbs that pause and resume all mail of a kind, or for a destination:
  // as with smtpctl(8), what is so already is a failure.
  Status Pauses(const control::Command& command);
  rt::Task<int> UpdateTable(Call* call, std::string name);
  rt::Task<int> Reload(Call* call);
  rt::Task<int> Submit(Call* call, std::vector<std::string> operands);

  const ControlParts parts_;
  const Instant started_;
  const service::ControlService* service_ = nullptr;
  std::mutex update_mutex_;
  size_t input_bytes_ = 0;
};

}  // namespace postern::server
