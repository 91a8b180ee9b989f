// A large text that stands sealed in its file: read from anywhere, one chunk in memory.
#pragma once

#include <cstdint>
#include <memory>

#include "lib/rt/files.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {

// FileIsSealed tells whether `file` holds a sealed record. Blocks.
StatusOr<bool> FileIsSealed(rt::File& file);

// OpenSealedFile reads where the chunks are (eight octets for each 64 KiB) and lends what they
// stand for, which is verified as it is read. kInvalidArgument: the record is not whole, or longer
// than `limit_bytes`; kFailedPrecondition: it takes another key. Blocks, and so does the body.
StatusOr<std::shared_ptr<const Body>> OpenSealedFile(std::unique_ptr<rt::File> file,
                                                     const SpoolSeal& seal, uint64_t id,
                                                     uint64_t limit_bytes);

}  // namespace postern::store
