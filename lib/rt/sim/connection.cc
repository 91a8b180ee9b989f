#include "lib/rt/sim/connection.h"

#include <algorithm>
#include <cerrno>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {
// One connection in eight delivers the first octets of each write in cuts of at most kTinyCut: what
// a parser must survive.
constexpr uint64_t kTinyOneIn = 8;
constexpr uint64_t kTinyCut = 12;
constexpr size_t kTinyPart = 256;
constexpr uint64_t kTraceSegment = 0x100;
constexpr uint64_t kTraceReset = 0x101;
}  // namespace

Connection::Connection(Fabric* fabric, uint64_t id, Life* opener, Life* acceptor, bool loopback)
    : fabric_(fabric),
      id_(id),
      loopback_(loopback),
      tiny_(fabric->random().Below(kTinyOneIn) == 0) {
  sides_[0].life = opener;
  sides_[1].life = acceptor;
}

Duration Connection::Latency() { return fabric_->Latency(host(0), host(1)); }

size_t Connection::Send(int from, std::string_view data) {
  Side& side = sides_[from];
  const Side& peer = sides_[1 - from];
  const size_t used = side.in_flight_bytes + (peer.received.size() - peer.taken);
  const size_t limit = fabric_->options().buffer_bytes;
  size_t room = std::min(used < limit ? limit - used : 0, data.size());
  const size_t sent = room;
  size_t position = 0;
  while (room > 0) {
    const uint64_t most =
        tiny_ && position < kTinyPart ? kTinyCut : fabric_->options().segment_bytes;
    const size_t cut = std::min<size_t>(room, fabric_->random().Between(1, most));
    Segment segment;
    segment.data.assign(data.substr(position, cut));
    side.in_flight.push_back(std::move(segment));
    side.in_flight_bytes += cut;
    position += cut;
    room -= cut;
    if (!side.stalled) Schedule(from);
  }
  return sent;
}

void Connection::SendEnd(int from) {
  Side& side = sides_[from];
  if (side.end_sent) return;
  side.end_sent = true;
  side.in_flight.push_back(Segment{std::string(), true});
  if (!side.stalled) Schedule(from);
}

void Connection::Schedule(int from) {
  Side& side = sides_[from];
  Simulation& simulation = fabric_->simulation();
  // Order is kept: a segment never overtakes the one before.
  const Instant at = std::max(simulation.now() + Latency(), side.last_delivery);
  side.last_delivery = at;
  simulation.At(at, nullptr, [self = shared_from_this(), from, round = side.round] {
    if (self->sides_[from].round == round) self->Deliver(from);
  });
}

void Connection::Stall(int from) {
  Side& side = sides_[from];
  if (side.stalled) return;
  side.stalled = true;
  ++side.round;
  side.stalled_since = fabric_->simulation().now();
  fabric_->simulation().After(fabric_->options().give_up, nullptr,
                              [self = shared_from_this(), from, since = side.stalled_since] {
                                Side& stalled = self->sides_[from];
                                if (!stalled.stalled || stalled.stalled_since != since) return;
                                self->ReceiveReset(from, ETIMEDOUT);
                              });
}

void Connection::Kick() {
  for (int from = 0; from < 2; ++from) {
    Side& side = sides_[from];
    if (!side.stalled) continue;
    side.stalled = false;
    ++side.round;
    for (size_t i = 0; i < side.in_flight.size(); ++i) Schedule(from);
  }
}

void Connection::Deliver(int from) {
  Side& side = sides_[from];
  Side& peer = sides_[1 - from];
  if (side.in_flight.empty()) return;
  Host& target = host(1 - from);
  if (!loopback_ && (!fabric_->Reachable(host(from), target) || !target.powered())) {
    Stall(from);
    return;
  }
  // Nobody is there any more who knows this connection.
  if (peer.dark || peer.closed || peer.reset) {
    side.in_flight.clear();
    side.in_flight_bytes = 0;
    if (peer.dark || peer.closed) SendReset(1 - from);
    ForgetIfOver();
    return;
  }
  if (!loopback_ && fabric_->random().Chance(fabric_->options().reset_chance)) {
    ReceiveReset(from, ECONNRESET);
    ReceiveReset(1 - from, ECONNRESET);
    return;
  }
  Segment segment = std::move(side.in_flight.front());
  side.in_flight.pop_front();
  side.in_flight_bytes -= segment.data.size();
  Simulation& simulation = fabric_->simulation();
  simulation.Note(kTraceSegment + id_ * 4 + static_cast<uint64_t>(from), segment.data.size());
  if (simulation.tracing()) {
    simulation.Tell(StrCat("wire #", id_, " ", side.local.ToString(), " > ", peer.local.ToString(),
                           " ", segment.end ? std::string("FIN") : Escape(segment.data, 80)));
  }
  if (segment.end) {
    peer.end_received = true;
  } else {
    if (peer.taken == peer.received.size()) {
      peer.received = std::move(segment.data);
      peer.taken = 0;
    } else {
      peer.received.append(segment.data);
    }
  }
  if (peer.stream != nullptr) peer.stream->WakeReader();
  ForgetIfOver();
}

void Connection::Taken(int by) {
  Side& side = sides_[by];
  if (side.taken == side.received.size()) {
    side.received.clear();
    side.taken = 0;
  } else if (side.taken >= 32 * 1024) {
    side.received.erase(0, side.taken);
    side.taken = 0;
  }
  Side& writer = sides_[1 - by];
  if (!writer.writer_waits) return;
  writer.writer_waits = false;
  // The window update travels back.
  fabric_->simulation().After(Latency(), nullptr, [self = shared_from_this(), at = 1 - by] {
    if (SimStream* stream = self->sides_[at].stream) stream->WakeWriter();
  });
}

void Connection::Close(int by) {
  Side& side = sides_[by];
  if (side.closed) return;
  side.closed = true;
  side.stream = nullptr;
  // RFC 2525 §2.17: closing with data unread resets, and the peer may lose what it has not read
  // yet.
  const bool unread = side.taken < side.received.size();
  side.received.clear();
  side.taken = 0;
  if (unread && !side.reset) {
    side.in_flight.clear();
    side.in_flight_bytes = 0;
    SendReset(by);
  } else if (!side.reset) {
    SendEnd(by);
  }
  ForgetIfOver();
}

void Connection::Abort(int by, int error_number) { ReceiveReset(by, error_number); }

void Connection::LosePower(int by) {
  Side& side = sides_[by];
  side.dark = true;
  side.closed = true;
  side.stream = nullptr;
  side.received.clear();
  side.taken = 0;
  // What has left is on the wire; of the rest, nobody knows.
  const size_t left = fabric_->random().Below(side.in_flight.size() + 1);
  while (side.in_flight.size() > left) {
    side.in_flight_bytes -= side.in_flight.back().data.size();
    side.in_flight.pop_back();
  }
  if (loopback_) side.in_flight.clear();
  ForgetIfOver();
}

void Connection::SendReset(int from) {
  Simulation& simulation = fabric_->simulation();
  simulation.After(Latency(), nullptr, [self = shared_from_this(), at = 1 - from] {
    // A reset that is lost on the way is not sent again: the peer learns it when it next sends.
    const bool heard =
        self->loopback_ || self->fabric_->Reachable(self->host(1 - at), self->host(at));
    if (heard && !self->sides_[at].dark) self->ReceiveReset(at, ECONNRESET);
  });
}

void Connection::ReceiveReset(int at, int error_number) {
  Side& side = sides_[at];
  if (side.reset) return;
  fabric_->simulation().Note(kTraceReset, id_ * 2 + static_cast<uint64_t>(at));
  if (fabric_->simulation().tracing())
    fabric_->simulation().Tell(StrCat("wire #", id_, " RST at ", side.local.ToString()));
  side.reset = true;
  side.reset_errno = error_number;
  side.in_flight.clear();
  side.in_flight_bytes = 0;
  side.stalled = false;
  ++side.round;
  if (side.stream != nullptr) {
    side.stream->WakeReader();
    side.stream->WakeWriter();
  }
  ForgetIfOver();
}

void Connection::ForgetIfOver() {
  if (forgotten_) return;
  for (const Side& side : sides_) {
    if (!side.reset && !(side.closed && (side.dark || side.in_flight.empty()))) return;
  }
  forgotten_ = true;
  // Not at once: a caller may be walking the list.
  fabric_->simulation().At(fabric_->simulation().now(), nullptr,
                           [fabric = fabric_, id = id_] { fabric->connections_.erase(id); });
}

// --- SimStream ---

SimStream::SimStream(Executor* executor, std::shared_ptr<Connection> connection, int side,
                     bool on_reserve)
    : executor_(executor),
      connection_(std::move(connection)),
      side_(side),
      on_reserve_(on_reserve),
      life_(connection_->side(side).life),
      local_(connection_->side(side).local),
      remote_(connection_->side(side).remote),
      enrolment_(life_->Enroll(this)),
      readable_(executor),
      writable_(executor) {
  connection_->side(side).stream = this;
}

SimStream::~SimStream() {
  if (!closed_) Close();
  life_->Dismiss(enrolment_);
}

Status SimStream::Gone() const {
  if (!life_->alive()) return HostIsDown();
  if (closed_) return Cancelled("the stream is closed");
  return OkStatus();
}

Task<Status> SimStream::WaitReadable(Instant deadline) {
  for (;;) {
    POSTERN_CO_RETURN_IF_ERROR(Gone());
    const Connection::Side& side = connection_->side(side_);
    if (side.taken < side.received.size() || side.end_received || side.reset) co_return OkStatus();
    if (deadline <= executor_->Now()) co_return DeadlineExceeded("nothing came in time");
    co_await readable_.Wait(deadline);
  }
}

StatusOr<size_t> SimStream::TryRead(std::span<char> into) {
  POSTERN_RETURN_IF_ERROR(Gone());
  Connection::Side& side = connection_->side(side_);
  if (side.taken < side.received.size()) {
    const size_t count = side.received.copy(into.data(), into.size(), side.taken);
    side.taken += count;
    connection_->Taken(side_);
    return count;
  }
  if (side.end_received) return size_t{0};
  if (side.reset)
    return Unavailable(side.reset_errno == ETIMEDOUT ? "connection timed out"
                                                     : "connection reset by peer");
  return WouldBlock();
}

Task<Status> SimStream::Write(std::string_view data, Instant deadline) {
  for (;;) {
    POSTERN_CO_RETURN_IF_ERROR(Gone());
    Connection::Side& side = connection_->side(side_);
    if (side.reset) {
      co_return Unavailable(side.reset_errno == ETIMEDOUT ? "connection timed out"
                                                          : "connection reset by peer");
    }
    if (side.end_sent) co_return Unavailable("write after the end");
    data.remove_prefix(connection_->Send(side_, data));
    if (data.empty()) co_return OkStatus();
    if (deadline <= executor_->Now())
      co_return DeadlineExceeded("the peer did not take it in time");
    side.writer_waits = true;
    co_await writable_.Wait(deadline);
  }
}

Task<Status> SimStream::ShutdownWrite(Instant) {
  POSTERN_CO_RETURN_IF_ERROR(Gone());
  if (connection_->side(side_).reset) co_return Unavailable("connection reset by peer");
  connection_->SendEnd(side_);
  co_return OkStatus();
}

void SimStream::Close() {
  if (closed_) return;
  closed_ = true;
  if (on_reserve_) {
    life_->ReleaseReserve();
  } else {
    life_->ReleaseDescriptor();
  }
  connection_->side(side_).stream = nullptr;
  // A crash has told the peer in its own way.
  if (life_->alive()) connection_->Close(side_);
  WakeReader();
  WakeWriter();
}

void SimStream::OnHostDown() {
  WakeReader();
  WakeWriter();
}

// --- SimListener ---

SimListener::SimListener(Fabric* fabric, Life* life, Executor* loop, Endpoint local,
                         ListenOptions options)
    : fabric_(fabric),
      life_(life),
      local_(std::move(local)),
      options_(options),
      enrolment_(life->Enroll(this)),
      arrival_(loop) {
  fabric_->listeners_.push_back(this);
}

SimListener::~SimListener() {
  Close();
  life_->Dismiss(enrolment_);
}

Task<StatusOr<std::unique_ptr<Stream>>> SimListener::Accept(Executor& worker) {
  Executor* const target = &worker;
  for (;;) {
    if (!life_->alive()) co_return HostIsDown();
    if (closed_) co_return Cancelled("the listener is closed");
    if (!queue_.empty()) {
      const bool on_reserve = !life_->TakeDescriptor();
      if (on_reserve && !life_->TakeReserve()) co_return ErrnoError(EMFILE, "accept");
      std::shared_ptr<Connection> connection = std::move(queue_.front());
      queue_.pop_front();
      std::unique_ptr<Stream> stream =
          std::make_unique<SimStream>(target, std::move(connection), 1, on_reserve);
      co_return stream;
    }
    co_await arrival_.Wait();
  }
}

void SimListener::Close() {
  if (closed_) return;
  closed_ = true;
  life_->ReleaseDescriptor();
  std::erase(fabric_->listeners_, this);
  for (const std::shared_ptr<Connection>& connection : queue_) {
    if (life_->alive()) connection->Close(1);
  }
  queue_.clear();
  arrival_.Pulse();
}

void SimListener::OnHostDown() { arrival_.Pulse(); }

bool SimListener::Covers(const Endpoint& endpoint) const {
  if (local_.is_unix() || endpoint.is_unix()) return local_.unix_path == endpoint.unix_path;
  if (local_.port != endpoint.port) return false;
  if (local_.address == endpoint.address) return true;
  if (!local_.address.IsAny()) return false;
  if (local_.address.is_v4()) return endpoint.address.is_v4();
  return endpoint.address.is_v6() || !options_.v6_only;
}

bool SimListener::Conflicts(const Endpoint& endpoint, bool v6_only) const {
  if (local_.is_unix() || endpoint.is_unix()) return local_.unix_path == endpoint.unix_path;
  if (local_.port != endpoint.port) return false;
  if (local_.address == endpoint.address) return true;
  const bool same_family = local_.address.is_v6() == endpoint.address.is_v6();
  if (local_.address.IsAny()) return same_family || (local_.address.is_v6() && !options_.v6_only);
  if (endpoint.address.IsAny()) return same_family || (endpoint.address.is_v6() && !v6_only);
  return false;
}

bool SimListener::Offer(const std::shared_ptr<Connection>& connection) {
  if (queue_.size() >= static_cast<size_t>(std::max(options_.backlog, 1))) return false;
  queue_.push_back(connection);
  arrival_.Pulse();
  return true;
}

}  // namespace postern::rt::sim
