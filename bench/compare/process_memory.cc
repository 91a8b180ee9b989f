#include "bench/compare/process_memory.h"

#include <cstdio>
#include <string>

#include "lib/core/base/strings.h"

namespace postern::bench {

Memory MemoryOf(int pid) {
  Memory memory;
  std::FILE* file = std::fopen(StrCat("/proc/", pid, "/smaps_rollup").c_str(), "re");
  if (file == nullptr) return memory;
  char line[256];
  unsigned long long value = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "Rss: %llu kB", &value) == 1) memory.resident_kib = value;
    if (std::sscanf(line, "Pss: %llu kB", &value) == 1) memory.proportional_kib = value;
  }
  std::fclose(file);
  return memory;
}

}  // namespace postern::bench
