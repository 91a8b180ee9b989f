// The queue's tables as salvage sees them (store/sqlite/salvage.h), and which of the rows it finds
// can be ours.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "lib/rt/files.h"
#include "lib/store/sqlite/salvage.h"

namespace postern::store {

// SpoolObject is a place in SpoolObjects.
enum SpoolObject : size_t { kMessages, kEnvelopes, kDue, kDeferred, kAside };
std::vector<sqlite::Salvage::Object> SpoolObjects();

bool IsInteger(const sqlite::SalvagedValue& value);
// A row of a page that no tree claims any more may be of either table: its columns tell.
bool LooksLikeMessage(const sqlite::SalvagedRow& row);
bool LooksLikeEnvelope(const sqlite::SalvagedRow& row);

// OpenIfThere opens `path`; null when there is no such file. One that may not be read, or that is
// no file, is an error and no damage.
StatusOr<std::unique_ptr<rt::File>> OpenIfThere(rt::Files& files, const std::string& path);
uint64_t SizeOf(rt::Files& files, const std::string& path);  // 0: it is not there
bool Exists(rt::Files& files, const std::string& path);

template <typename T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

template <typename T>
bool Has(const std::vector<T>& sorted, T value) {
  return std::binary_search(sorted.begin(), sorted.end(), value);
}

}  // namespace postern::store
