// The queue's envelope: one message on its way to one final destination, with all that its
// delivery, its retries, its bounces and its log lines need. A message with three destinations has
// three, which share the upper half of their id.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"

namespace postern::queue {

// MessageId names a message in the queue: 32 random bits, not 0. Its text is 8 hexadecimal digits.
using MessageId = uint32_t;
// EnvelopeId is the MessageId and 32 more random bits. Its text is 16 hexadecimal digits. 0 is
// none.
using EnvelopeId = uint64_t;

constexpr MessageId MessageIdOf(EnvelopeId id) { return static_cast<MessageId>(id >> 32); }
constexpr EnvelopeId MakeEnvelopeId(MessageId message, uint32_t low) {
  return static_cast<EnvelopeId>(message) << 32 | low;
}
std::string MessageIdText(MessageId id);
std::string EnvelopeIdText(EnvelopeId id);
// Parse functions read exactly 8 (16) hexadecimal digits of either case; nullopt for anything else,
// and for a message id of 0.
std::optional<MessageId> ParseMessageId(std::string_view text);
std::optional<EnvelopeId> ParseEnvelopeId(std::string_view text);

struct Envelope {
  enum class Kind : uint8_t {
    kLocal = 0,  // to an account of this machine
    kRelay = 1,  // to another server
    // kLocal as well, by a way that may keep us waiting for somebody: the scheduler puts these in
    // place of kLocal when it takes an envelope up, as the configuration in force says. They are
    // stored as kLocal.
    kLmtp = 2,     // to an LMTP server
    kProgram = 3,  // to a program that is run for it
  };
  // LocalKind says what happens for a local destination.
  enum class LocalKind : uint8_t {
    kAction = 0,   // what the action says: maildir, mbox, lmtp, mda
    kFile = 1,     // append to the mbox `path_or_command` (from an alias or a .forward)
    kCommand = 2,  // run `path_or_command`
  };

  // --- who and where ---
  EnvelopeId id = 0;  // given by the queue at Commit when it is 0
  mail::ReversePath sender;
  mail::Address recipient;    // as the client named it
  mail::Address destination;  // where it goes in the end, after aliases
  uint8_t dsn_notify = mail::kNotifyUnset;
  std::string dsn_original_recipient;  // ORCPT, decoded; may be empty
  Kind kind = Kind::kLocal;
  std::string action;  // name of the action in the configuration
  LocalKind local_kind = LocalKind::kAction;
  std::string user;             // kLocal: the account
  std::string sub_address;      // kLocal: what followed the delimiter, or ""
  std::string path_or_command;  // kFile, kCommand
  bool run_as_daemon = false;   // kFile, kCommand of the alias table

  // --- where it came from, for logs, rules and notices ---
  std::string session;  // id of the SMTP session
  std::string helo;
  std::string client_name;  // verified name of the client, or "<unknown>", or "localhost"
  Endpoint client;
  std::string username;     // who logged in
  std::string tag;          // of the listener
  std::string server_name;  // as which we greeted
  bool authenticated = false;
  bool internal = false;  // made by ourselves
  bool bounce = false;    // a notice: never answered by another one
  // expanded: `recipient` became several destinations, and this one's success is told as that of
  // all ("expanded"); see ReportExpansionsOnce.
  bool expanded = false;

  // --- its life ---
  // stamped by the queue at Commit when it is InfinitePast
  WallTime created = absl::InfinitePast();
  Duration ttl = absl::Hours(96);                // after created + ttl one last attempt decides
  uint32_t attempts = 0;                         // that ended in a temporary failure
  WallTime last_attempt = absl::InfinitePast();  // what was held back is no attempt
  WallTime next_attempt = absl::InfinitePast();
  mail::EnhancedStatus last_status;
  std::string last_error;  // text of the last failure: what a notice will say
  // the server whose reply last_error is or ends with; empty when it was us
  std::string last_host;
  uint32_t delay_notices = 0;  // warn intervals for which a notice was sent
  bool held = false;           // `pause envelope`: not scheduled until released
  // fresh is set by the queue's commit observer only: no attempt was ever made, so no trace of one
  // need be looked for. It is not stored, and false for whatever was read from a queue.
  bool fresh = false;

  MessageId message_id() const { return MessageIdOf(id); }
  // deferred tells whether it waits for another attempt, or was held back from its first.
  bool deferred() const { return attempts > 0 || !last_error.empty(); }
  WallTime expires() const { return created + ttl; }
};

// Limits of what the queue stores, so that one envelope cannot grow past what its parts allow.
// of each text of an envelope; the rest is cut off
inline constexpr size_t kMaxStoredTextBytes = 4096;

// EncodeEnvelope writes everything but id, next_attempt and held, which the store keeps beside it.
// The form has a version and a length before each text, so that no octet of a stranger can become
// structure (CVE-2020-8794).
std::string EncodeEnvelope(const Envelope& envelope);
// DecodeEnvelope reads it back; kDataLoss when it is not whole or not of a version we know.
StatusOr<Envelope> DecodeEnvelope(std::string_view encoded);

// DestinationKey names what shares one fate and one limit: the action with its domain for a relay,
// the action with its account for a local delivery. A hash: two destinations may in the rarest case
// share their limits, never their mail.
uint64_t DestinationKey(const Envelope& envelope);

// ForwarderOf is the domain in whose name the envelope is sent on: that of the recipient where
// expansion made another address of it, "" elsewhere. Where SRS is asked for, it decides the
// sender.
std::string_view ForwarderOf(const Envelope& envelope);

// Describe gives the envelope as the text of `show envelope`: one "name: value" a line, OpenSMTPD's
// (its version 3) in its order, empty ones left out.
std::string Describe(const Envelope& envelope);

}  // namespace postern::queue
