// The octets of a message as they stand in the queue: in its row, or in a file of their own; as
// they are, or sealed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/rt/files.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {

struct StoredBody {
  uint64_t size_bytes = 0;
  uint32_t checksum = 0;  // CRC-32 of the text
  bool in_file = false;
  std::string body;  // what the row has, else
};

// BodyPath is the file of a message's octets, where they have one.
std::string BodyFileOf(const std::string& spool, queue::MessageId id);

// OpenStoredBody opens what is stored of message `id` and verifies it. kInvalidArgument: it is not
// what was received (its file is gone, the checksum is wrong, a record is broken);
// kFailedPrecondition: it takes another key; else what the disk says. Blocks.
StatusOr<std::shared_ptr<const Body>> OpenStoredBody(rt::Files& files, const std::string& spool,
                                                     const SpoolSeal& seal, queue::MessageId id,
                                                     StoredBody row);

}  // namespace postern::store
