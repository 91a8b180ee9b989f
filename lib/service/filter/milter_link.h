// MilterLink is one connection to a milter: milter::Client over a stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/milter/client.h"
#include "lib/rt/network.h"
#include "lib/service/filter/milter_rest.h"

namespace postern::service {

struct MilterOptions {
  std::string name;  // of the filter, for replies and logs
  Endpoint endpoint;
  enum class WhenAway : uint8_t { kTempFail, kReject, kAccept };
  WhenAway when_away = WhenAway::kTempFail;
  Duration connect_timeout = absl::Seconds(30);
  std::shared_ptr<const milter::ClientOptions> protocol;
  std::shared_ptr<MilterRest> rest;      // what all its sessions know of it; null: nothing
  size_t max_header_bytes = 1 << 20;     // of a message; a longer one is refused
  size_t max_rejected_recipients = 100;  // told at a time, to a milter that asks for them
};

// MilterChanges takes the changes that a milter asks for.
class MilterChanges {
 public:
  virtual ~MilterChanges() = default;
  // Take takes one, which is lent until the Task ends. An error is the end of the connection.
  virtual rt::Task<Status> Take(const milter::Change& change) = 0;
};

// MilterLink belongs to one loop.
class MilterLink {
 public:
  // All that is given outlives the link.
  MilterLink(rt::Executor* loop, rt::Network* network, const MilterOptions* options)
      : loop_(loop), network_(network), options_(options) {}
  ~MilterLink() { Close(); }

  // Open connects and negotiates, unless it is known to be away (MilterOptions::rest); false:
  // failure() says why not.
  rt::Task<bool> Open();
  void Close();
  // IsOpen tells whether steps can be taken. Between messages the milter may have gone: IsAlive
  // looks.
  bool IsOpen() const { return client_ != nullptr; }
  bool IsAlive();

  // client is for steps; Settle then gives the verdict of the one that was begun, null when the
  // connection failed, which closes it. `changes` may be null where none can come.
  milter::Client& client() { return *client_; }
  rt::Task<const milter::Verdict*> Settle(MilterChanges* changes);
  // Flush writes what is pending, for as long as `deadline` allows.
  rt::Task<Status> Flush(Instant deadline);

  // failure is why the link is closed, and failed_at at which step.
  const std::string& failure() const { return failure_; }
  std::string_view failed_at() const { return failed_at_; }
  Instant Now() const { return loop_->Now(); }

 private:
  rt::Task<bool> Connect(Instant deadline);
  rt::Task<void> Receive();
  void Fail(const milter::ClientEvent& event);

  rt::Executor* loop_;
  rt::Network* network_;
  const MilterOptions* options_;
  std::unique_ptr<rt::Stream> stream_;
  std::unique_ptr<milter::Client> client_;
  milter::Verdict verdict_;
  std::string input_;  // what the client has not taken yet
  std::string failure_;
  std::string_view failed_at_;
};

}  // namespace postern::service
