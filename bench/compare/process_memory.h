// What a process and its children take of the machine's memory, as /proc says.
#pragma once

#include <cstdint>

namespace postern::bench {

struct Memory {
  uint64_t resident_kib = 0;      // RSS: pages of the process that are in memory
  uint64_t proportional_kib = 0;  // PSS: shared pages divided by those who share them
};

// MemoryOf reads the memory of process `pid`; zeros when there is none or it may not be read.
Memory MemoryOf(int pid);

}  // namespace postern::bench
