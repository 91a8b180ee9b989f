// Memory that is denied to the program under test: linked into a test, it replaces operator new and
// SQLite's allocator. Every thread is denied but those that are exempt.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::test {

// ExemptThisThread lets the caller (the client, the test itself) have all the memory there is.
void ExemptThisThread();

// DenyMemory lets the n-th allocation from now (1: the next) fail, and the `in_a_row` - 1 behind
// it.
void DenyMemory(int64_t n, int64_t in_a_row);
// IsToCome tells whether it did not come to the n-th yet.
bool IsToCome();
// GrantMemory ends it; true when there was one to fail.
bool GrantMemory();

// OpenDescriptors is how many this process has.
size_t OpenDescriptors();

// EachAllocationIsAskedFor: POSTERN_EVERY_ALLOCATION=1 in the environment asks for every n, where a
// test would sample.
bool EachAllocationIsAskedFor();

}  // namespace postern::test
