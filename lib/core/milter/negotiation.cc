#include "lib/core/milter/negotiation.h"

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

constexpr size_t kChunkBytes256K = 256 * 1024 - 1;  // MILTER_MDS_256K
constexpr size_t kChunkBytes1M = 1024 * 1024 - 1;   // MILTER_MDS_1M

// The names of a list stand between blanks; Postfix takes commas too.
StatusOr<std::vector<std::string>> ReadSymbols(std::string_view text,
                                               const NegotiationLimits& limits) {
  std::vector<std::string> names;
  size_t at = 0;
  while (at < text.size()) {
    const size_t start = text.find_first_not_of(" \t\r\n,", at);
    if (start == std::string_view::npos) break;
    size_t end = text.find_first_of(" \t\r\n,", start);
    if (end == std::string_view::npos) end = text.size();
    if (end - start > limits.max_symbol_bytes)
      return InvalidArgument("a macro's name in the negotiation is too long");
    if (names.size() == limits.max_symbols)
      return InvalidArgument("the negotiation asks for too many macros");
    names.emplace_back(text.substr(start, end - start));
    at = end;
  }
  return names;
}

}  // namespace

void WriteOffer(const Offer& offer, std::string* out) {
  PacketWriter packet(out, static_cast<char>(Command::kNegotiate));
  packet.Uint32(offer.version).Uint32(offer.actions).Uint32(offer.steps);
  for (size_t stage = 0; stage < kStageCount; ++stage) {
    if (!offer.symbols[stage].has_value()) continue;
    packet.Uint32(static_cast<uint32_t>(stage)).Text(StrJoin(*offer.symbols[stage], " "));
  }
}

StatusOr<Offer> ReadOffer(std::string_view data, const NegotiationLimits& limits) {
  Offer offer;
  FieldReader fields(data);
  if (!fields.Uint32(&offer.version) || !fields.Uint32(&offer.actions) ||
      !fields.Uint32(&offer.steps)) {
    return InvalidArgument("a negotiation that is cut off");
  }
  while (!fields.done()) {
    uint32_t stage = 0;
    std::string_view text;
    if (!fields.Uint32(&stage) || !fields.Text(&text))
      return InvalidArgument("a list of macros that is cut off");
    if (stage >= kStageCount)
      return InvalidArgument(StrCat("a list of macros for the unknown stage ", stage));
    StatusOr<std::vector<std::string>> names = ReadSymbols(text, limits);
    if (!names.ok()) return names.status();
    offer.symbols[stage] = *std::move(names);
  }
  return offer;
}

StatusOr<Agreement> Agree(const Offer& ours, const Offer& theirs) {
  if (theirs.version < kMinVersion || theirs.version > ours.version) {
    return InvalidArgument(
        StrCat("protocol version ", theirs.version, ", where ", ours.version, " was offered"));
  }
  if ((theirs.actions & ~ours.actions) != 0) {
    return InvalidArgument(StrCat("actions 0x", Hex(theirs.actions, 3), ", where 0x",
                                  Hex(ours.actions, 3), " were offered"));
  }
  Agreement agreement;
  agreement.version = theirs.version;
  agreement.actions = theirs.actions;
  // A bit of steps that was not offered is a wish that we know nothing of: Postfix and Sendmail
  // pass over it too.
  agreement.steps = theirs.steps & ours.steps;
  if (agreement.has(kChunks1M)) {
    agreement.max_chunk_bytes = kChunkBytes1M;
  } else if (agreement.has(kChunks256K)) {
    agreement.max_chunk_bytes = kChunkBytes256K;
  }
  agreement.symbols = DefaultSymbols();
  for (size_t stage = 0; stage < kStageCount; ++stage) {
    if (theirs.symbols[stage].has_value()) agreement.symbols[stage] = *theirs.symbols[stage];
  }
  return agreement;
}

uint32_t StepsOf(uint32_t version) {
  if (version >= kVersionWithReuse) return kAllSteps | kChunks256K | kChunks1M;
  if (version >= kVersionWithData) return kStepsOfVersion4;
  return version >= kVersionWithUnknown ? kStepsOfVersion3 : kStepsOfVersion2;
}

uint32_t ActionsOf(uint32_t version) {
  return version >= kVersionWithReuse ? kAllActions : kActionsOfVersion2;
}

}  // namespace postern::milter
