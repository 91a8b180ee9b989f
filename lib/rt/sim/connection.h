// Connection: one TCP or Unix connection between two simulated machines, and the stream and
// listener on top of it. Internal to rt/sim.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/stream.h"

namespace postern::rt::sim {

class SimStream;

// Connection has two sides: 0 opened it, 1 accepted it. Each side is a kernel's half: it outlives
// the stream on it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Segment {
    std::string data;
    bool end = false;  // FIN
  };
  struct Side {
    Life* life = nullptr;
    Endpoint local;
    Endpoint remote;
    SimStream* stream = nullptr;  // null before accept, and after close
    // Receiving.
    std::string received;
    size_t taken = 0;
    bool end_received = false;
    bool reset = false;
    int reset_errno = 0;
    bool writer_waits = false;
    // Sending.
    std::deque<Segment> in_flight;
    size_t in_flight_bytes = 0;
    bool end_sent = false;
    bool closed = false;
    bool dark = false;     // the machine lost power: nothing leaves or is heard any more
    bool stalled = false;  // the front segment cannot be delivered now
    uint64_t round = 0;    // of deliveries; a kick starts a new one
    Instant last_delivery;
    Instant stalled_since;
  };

  Connection(Fabric* fabric, uint64_t id, Life* opener, Life* acceptor, bool loopback);

  Side& side(int index) { return sides_[index]; }
  Fabric& fabric() { return *fabric_; }
  uint64_t id() const { return id_; }

  // Send takes as much of `data` as the buffer has room for.
  size_t Send(int from, std::string_view data);
  void SendEnd(int from);
  // Taken is called when side `by` has read: room for a waiting writer.
  void Taken(int by);
  // Close closes side `by`, as close(2) does: unread data make it a reset. Abort resets.
  void Close(int by);
  void Abort(int by, int error_number);
  // LosePower makes side `by` fall silent.
  void LosePower(int by);
  void Kick();
  Host& host(int index) { return sides_[index].life->host(); }

 private:
  void Schedule(int from);
  void Deliver(int from);
  void Stall(int from);
  void SendReset(int from);  // towards the peer
  void ReceiveReset(int at, int error_number);
  void ForgetIfOver();
  bool OnSameHost() const { return loopback_; }
  Duration Latency();

  Fabric* fabric_;
  uint64_t id_;
  bool loopback_;
  bool tiny_;  // this connection's octets come in very small cuts
  bool forgotten_ = false;
  Side sides_[2];
};

class SimStream : public Stream, public Mortal {
 public:
  // `on_reserve`: the stream took the life's reserve in place of a descriptor of its own.
  SimStream(Executor* executor, std::shared_ptr<Connection> connection, int side,
            bool on_reserve = false);
  ~SimStream() override;

  Task<Status> WaitReadable(Instant deadline) override;
  StatusOr<size_t> TryRead(std::span<char> into) override;
  Task<Status> Write(std::string_view data, Instant deadline) override;
  Task<Status> ShutdownWrite(Instant deadline) override;
  void Close() override;
  const Endpoint& local() const override { return local_; }
  const Endpoint& remote() const override { return remote_; }
  Executor& executor() override { return *executor_; }
  bool accepted_on_reserve() const override { return on_reserve_; }
  // A simulated machine has one user.
  std::optional<uint32_t> peer_uid() const override {
    return local_.is_unix() ? std::optional<uint32_t>(0) : std::nullopt;
  }

  void OnHostDown() override;
  void WakeReader() { readable_.Pulse(); }
  void WakeWriter() { writable_.Pulse(); }

 private:
  Status Gone() const;

  Executor* executor_;
  std::shared_ptr<Connection> connection_;
  int side_;
  bool on_reserve_;
  Life* life_;
  Endpoint local_;
  Endpoint remote_;
  bool closed_ = false;
  uint64_t enrolment_;
  Event readable_;
  Event writable_;
};

class SimListener : public Listener, public Mortal {
 public:
  SimListener(Fabric* fabric, Life* life, Executor* loop, Endpoint local, ListenOptions options);
  ~SimListener() override;

  Task<StatusOr<std::unique_ptr<Stream>>> Accept(Executor& worker) override;
  void Close() override;
  const Endpoint& local() const override { return local_; }

  void OnHostDown() override;
  bool Covers(const Endpoint& endpoint) const;
  bool Conflicts(const Endpoint& endpoint, bool v6_only) const;
  Life& life() { return *life_; }
  bool closed() const { return closed_; }
  // Offer queues an established connection; false when the backlog is full.
  bool Offer(const std::shared_ptr<Connection>& connection);

 private:
  Fabric* fabric_;
  Life* life_;
  Endpoint local_;
  ListenOptions options_;
  bool closed_ = false;
  uint64_t enrolment_;
  std::deque<std::shared_ptr<Connection>> queue_;
  Event arrival_;
};

}  // namespace postern::rt::sim
