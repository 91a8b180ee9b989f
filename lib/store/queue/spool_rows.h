// How messages and envelopes stand in the queue's tables: the schema, and what its columns mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <zlib.h>

#include "lib/core/queue/envelope.h"

namespace postern::store {

// Ids are unsigned and SQLite's integers signed: the bits are kept, so the ids of one message stay
// one range. `next` is in microseconds since 1970. `dest` is the DestinationKey. `crc` guards
// `data`, an encoded envelope.
inline const char* const kSpoolSchema[] = {
    "CREATE TABLE message("
    "  msgid INTEGER PRIMARY KEY, created INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT "
    "NULL, body BLOB);"
    "CREATE TABLE envelope("
    "  evpid INTEGER PRIMARY KEY, next INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER "
    "NOT NULL,"
    "  dest INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX envelope_due ON envelope(next, dest) WHERE state = 0;"
    "CREATE INDEX envelope_deferred ON envelope(dest) WHERE attempts > 0;",
    // With it the indexes name every envelope, so that a lost one is known by its id.
    "CREATE INDEX envelope_aside ON envelope(state) WHERE state <> 0;",
};

inline constexpr std::string_view kInsertMessage =
    "INSERT INTO message(msgid, created, size, crc, body) VALUES(?,?,?,?,?)";
inline constexpr std::string_view kInsertEnvelope =
    "INSERT INTO envelope(evpid, next, state, attempts, dest, crc, data) VALUES(?,?,?,?,?,?,?)";

// What Collect reads of an envelope; a WHERE follows.
inline constexpr std::string_view kEnvelopeColumns =
    "SELECT evpid, next, state, crc, data FROM envelope ";

// States of an envelope: the column `state`.
enum SpoolState : int64_t { kScheduled = 0, kHeld = 1, kParked = 2 };

inline int64_t Signed(uint64_t id) { return static_cast<int64_t>(id); }

// RowOf is the row number of a message: its id.
inline int64_t RowOf(queue::MessageId id) { return static_cast<int64_t>(id); }

// Tries is the column `attempts`, by which LoadDeferred finds what waits for another attempt: it
// counts being held back from the first one as one.
inline int64_t Tries(const queue::Envelope& envelope) {
  return std::max<int64_t>(envelope.attempts, envelope.deferred() ? 1 : 0);
}

// EnvelopesLeft is a message with the number of envelopes that it has, counted up to kMostCounted.
struct EnvelopesLeft {
  queue::MessageId id = 0;
  uint16_t envelopes = 0;
};
inline constexpr uint16_t kMostCounted = 1000;

inline int64_t Micros(WallTime time) { return absl::ToUnixMicros(time); }

inline uint32_t Checksum(std::string_view octets) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(octets.data()),
                                       static_cast<z_size_t>(octets.size())));
}

}  // namespace postern::store
