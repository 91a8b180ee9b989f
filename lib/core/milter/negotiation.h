// The negotiation that a connection begins with: the mail server offers a version, actions and
// steps, and the filter answers with what it wants of them, and with the macros that it wants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/milter/macros.h"
#include "lib/core/milter/protocol.h"

namespace postern::milter {

// Offer is the content of a negotiation packet, of either side.
struct Offer {
  uint32_t version = kMaxVersion;
  uint32_t actions = kAllActions;
  uint32_t steps = kAllSteps;
  // symbols are those of the stages that the filter chose for: of the filter's packet only.
  std::array<std::optional<std::vector<std::string>>, kStageCount> symbols;
};

struct NegotiationLimits {
  size_t max_symbols = 128;      // of one stage
  size_t max_symbol_bytes = 64;  // of one name
};

// WriteOffer writes the packet.
void WriteOffer(const Offer& offer, std::string* out);

// ReadOffer reads the data of one; an error says what is wrong with it.
StatusOr<Offer> ReadOffer(std::string_view data, const NegotiationLimits& limits);

// Agreement is what both sides hold to.
struct Agreement {
  uint32_t version = kMaxVersion;
  uint32_t actions = 0;
  uint32_t steps = 0;
  size_t max_chunk_bytes = kMaxPlainChunkBytes;
  SymbolLists symbols;

  bool has(uint32_t step) const { return (steps & step) != 0; }
  bool may(uint32_t action) const { return (actions & action) != 0; }
};

// Agree gives what comes of our offer and the filter's answer. It fails for a version that we do
// not speak, and for actions that we did not offer: a filter that relies on them would not do its
// work.
StatusOr<Agreement> Agree(const Offer& ours, const Offer& theirs);

// StepsOf gives the bits of steps that `version` knows, ActionsOf those of actions: nobody is
// offered what came later.
uint32_t StepsOf(uint32_t version);
uint32_t ActionsOf(uint32_t version);

}  // namespace postern::milter
