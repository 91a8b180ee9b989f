#include "tests/unit/denied_memory.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <new>

#include <sqlite3.h>

namespace {

thread_local bool t_is_exempt = false;
constexpr int64_t kOver = -1'000'000'000;
// How many allocations from now the first that fails is; 0 and below: it came to it.
std::atomic<int64_t> g_countdown{kOver};
// How many fail.
std::atomic<int64_t> g_in_a_row{1};

bool FailsNow() {
  if (t_is_exempt) return false;
  if (g_countdown.load(std::memory_order_relaxed) <= -g_in_a_row.load(std::memory_order_relaxed))
    return false;
  const int64_t left = g_countdown.fetch_sub(1, std::memory_order_relaxed) - 1;
  return left <= 0 && left > -g_in_a_row.load(std::memory_order_relaxed);
}

// SQLite's allocator, with the same failures.
sqlite3_mem_methods g_sqlite_memory;
void* SqliteMalloc(int n) { return FailsNow() ? nullptr : g_sqlite_memory.xMalloc(n); }
void* SqliteRealloc(void* p, int n) {
  return FailsNow() ? nullptr : g_sqlite_memory.xRealloc(p, n);
}

[[maybe_unused]] const bool g_sqlite_is_denied = [] {
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &g_sqlite_memory);
  sqlite3_mem_methods denied = g_sqlite_memory;
  denied.xMalloc = SqliteMalloc;
  denied.xRealloc = SqliteRealloc;
  return sqlite3_config(SQLITE_CONFIG_MALLOC, &denied) == SQLITE_OK;
}();

void* Allocate(size_t bytes, size_t alignment = 0) {
  if (FailsNow()) return nullptr;
  if (bytes == 0) bytes = 1;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}
void* AllocateOrThrow(size_t bytes, size_t alignment = 0) {
  if (void* memory = Allocate(bytes, alignment)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t n) { return AllocateOrThrow(n); }
void* operator new[](size_t n) { return AllocateOrThrow(n); }
void* operator new(size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, static_cast<size_t>(a));
}
void* operator new[](size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, static_cast<size_t>(a));
}
void* operator new(size_t n, const std::nothrow_t&) noexcept { return Allocate(n); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return Allocate(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }

namespace postern::test {

void ExemptThisThread() { t_is_exempt = true; }

void DenyMemory(int64_t n, int64_t in_a_row) {
  g_in_a_row = in_a_row;
  g_countdown = n;
}
bool IsToCome() { return g_countdown > 0; }
bool GrantMemory() {
  const int64_t left = g_countdown.exchange(kOver);
  return left != kOver && left <= 0;
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

bool EachAllocationIsAskedFor() {
  const char* every = std::getenv("POSTERN_EVERY_ALLOCATION");
  return every != nullptr && *every == '1';
}

}  // namespace postern::test
