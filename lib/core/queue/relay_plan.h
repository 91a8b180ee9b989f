// Where a relayed message goes next: which servers take mail for a domain and in what order (RFC
// 5321 §5.1), what is done when one does not answer or TLS fails, and what a server's reply means
// for a recipient. Decisions only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/dns/answer.h"
#include "lib/core/mail/reply.h"

namespace postern::queue {

enum class RelayTls : uint8_t {
  kNever,          // smtp+notls://, lmtp://
  kOpportunistic,  // smtp://: when offered, and in the clear when that fails (RFC 7435)
  kRequired,       // smtp+tls://, `tls`: STARTTLS or nothing
  kImplicit,       // smtps://: from the first octet
};

// RelayRoute is where the configuration sends mail.
struct RelayRoute {
  std::string host;  // the domain whose MXs are asked for, or the server itself
  bool by_mx = true;
  std::optional<IpAddress> address;  // when host is a literal: neither MX nor address is looked up
  std::string socket_path;           // a server on this machine; when set, nothing is looked up
  uint16_t port = 25;
  RelayTls tls = RelayTls::kOpportunistic;
  bool verify = false;  // the certificate must verify and name the server
  bool lmtp = false;
};

struct MxHost {
  std::string name;
  uint16_t preference = 0;
};

// MxPlan is the servers to try, best first, or the reason why there are none.
struct MxPlan {
  std::vector<MxHost> hosts;
  bool implicit = false;  // the domain itself, for want of MX records
  mail::Reply failure;    // code 0: there are hosts. 4xx: ask again later. 5xx: never
};

inline constexpr size_t kMaxMxHosts = 20;  // tried for one message, in one attempt
inline constexpr size_t kMaxAddressesPerHost = 5;
inline constexpr size_t kMaxRelayTargets = 20;  // connections begun for one message, in one attempt

// PlanMx reads the answer for the MX records of `domain`. Servers of equal preference are shuffled
// by `below(n)`, a random number in [0, n) (RFC 5321 §5.1). Where one of `own_names` is among them,
// it and all that are no better are left out (§5.1: against loops); when nothing is left the mail
// loops back to us. `backup_mx`, where it is not empty, is the exchanger that a backup holds mail
// for: what is no better than it is left out, too, and where it is the best itself the mail waits,
// as it does with OpenSMTPD. A null MX refuses mail (RFC 7505: 556 5.1.10).
MxPlan PlanMx(const dns::Answer& answer, std::string_view domain,
              const std::vector<std::string>& own_names, std::string_view backup_mx,
              const std::function<uint64_t(uint64_t)>& below);

// RelayTarget is one connection to try.
struct RelayTarget {
  std::string host;  // for TLS and logs
  IpAddress address;
  std::string socket_path = {};  // in place of the address

  // Name is its address, or its path.
  std::string Name() const { return socket_path.empty() ? address.ToString() : socket_path; }
};

// RelayPlan goes through the targets of one attempt. Each is tried once; an opportunistic one once
// more, in the clear, when TLS failed on it.
class RelayPlan {
 public:
  RelayPlan(RelayTls tls, std::vector<RelayTarget> targets);

  // current is what to try now; null when nothing is left: failure() says why.
  const RelayTarget* current() const;
  // tls is how to try it: kNever after a fallback.
  RelayTls tls() const { return plain_ ? RelayTls::kNever : tls_; }

  // OnUnreachable: no connection, no greeting, a refusal before any message was begun. Goes to the
  // next target.
  void OnUnreachable(mail::Reply reason);
  // OnTlsFailure: the handshake failed, or TLS was refused where it is required.
  void OnTlsFailure(mail::Reply reason);

  // failure is the last reason: always 4xx, because what one server says before a message is begun
  // is not the last word about a recipient, except that a 5xx greeting of all of them is (RFC 5321
  // §3.1: 554; RFC 7504: 521).
  mail::Reply failure() const;

 private:
  RelayTls tls_;
  std::vector<RelayTarget> targets_;
  size_t at_ = 0;
  bool plain_ = false;
  bool all_permanent_ = true;
  mail::Reply last_;
};

enum class RelayOutcome : uint8_t { kDelivered, kTemporary, kPermanent };
// OutcomeOf tells what a reply to a recipient (or to the whole message) means. `from_server` is
// false for one that was made up because no answer came: after the final dot that is ambiguous, and
// the message is sent again (RFC 1047); a 2xx is final.
RelayOutcome OutcomeOf(const mail::Reply& reply, bool from_server);

}  // namespace postern::queue
