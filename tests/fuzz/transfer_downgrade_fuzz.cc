// Any octets made fit for lines: what comes out is lines, has the length it was said to have, reads
// the same in pieces, and decodes to the leaves that went in.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/core/message/scan.h"
#include "lib/core/message/transfer_downgrade.h"

namespace {

using namespace postern::message;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  const auto read = [raw](uint64_t offset, std::span<char> into) -> postern::StatusOr<size_t> {
    Require(offset <= raw.size() && into.size() <= raw.size() - offset);
    std::memcpy(into.data(), raw.data() + offset, into.size());
    return into.size();
  };
  DowngradeOptions small;
  small.parse.max_depth = 3;
  small.parse.max_parts = 5;
  small.parse.max_headers = 8;
  small.max_literal_bytes = 100;
  small.max_line_bytes = 80;
  for (const DowngradeOptions& options : {DowngradeOptions{}, small}) {
    for (const Carriage carriage : {Carriage::k8BitLines, Carriage::k7BitLines}) {
      const postern::StatusOr<DowngradePlan> plan = PlanDowngrade(raw, carriage, options);
      if (!plan.ok()) continue;
      const std::string out = Downgraded(*plan, raw);
      Require(out.size() == plan->size_bytes);
      Require(plan->changed || out == raw);
      const OctetFacts facts = Examine(out);
      Require(!facts.nul && !facts.bare_cr && !facts.bare_lf);
      Require(plan->eight_bit || !facts.eight_bit);
      Require(carriage != Carriage::k7BitLines || !facts.eight_bit);
      std::string pieces;
      char piece[50];
      while (true) {
        const postern::StatusOr<size_t> got = ReadDowngraded(*plan, pieces.size(), piece, read);
        Require(got.ok());
        if (*got == 0) break;
        pieces.append(piece, *got);
      }
      Require(pieces == out);
    }
  }
  return 0;
}
