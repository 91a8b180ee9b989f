// Where a table keeps its entries: little room for each, a million of them found at once.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace postern::policy {

// FlatIndex finds numbers by a hash of what they stand for: open addressing over an array of
// numbers, half empty at least. It knows nothing of the things themselves.
class FlatIndex {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  // Reserve makes room for `count` numbers in all, once, before the first Slot.
  void Reserve(size_t count) {
    size_t slots = 8;
    while (slots < count * 2) slots *= 2;
    slots_.assign(slots, kNone);
  }

  // Slot is the place of the number for which `is_it` holds, or the free one where it belongs.
  // Constant time.
  template <typename IsIt>
  uint32_t& Slot(uint64_t hash, IsIt is_it) {
    return slots_[PlaceOf(hash, is_it)];
  }
  // Find is the number, or kNone.
  template <typename IsIt>
  uint32_t Find(uint64_t hash, IsIt is_it) const {
    return slots_.empty() ? kNone : slots_[PlaceOf(hash, is_it)];
  }

 private:
  template <typename IsIt>
  size_t PlaceOf(uint64_t hash, IsIt is_it) const {
    size_t at = static_cast<size_t>(hash) & (slots_.size() - 1);
    while (slots_[at] != kNone && !is_it(slots_[at])) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<uint32_t> slots_;
};

// HashOf mixes octets for a FlatIndex. Entries are an operator's: nobody else chooses what is put
// in, so that no secret is needed.
inline uint64_t HashOf(std::string_view text) { return std::hash<std::string_view>{}(text); }

// EntryStore is a map from keys to values that only grows. Entries are numbered in the order in
// which their keys came first. Its octets lie one behind the other: about 25 octets an entry beside
// the text itself.
class EntryStore {
 public:
  // Reserve makes room for `entries` keys and `octets` of keys and values together.
  void Reserve(size_t entries, size_t octets) {
    index_.Reserve(entries);
    entries_.reserve(entries);
    octets_.reserve(octets);
  }

  // Put adds an entry and returns its number; of a key that is there already the value is replaced.
  // No more keys than were reserved.
  uint32_t Put(std::string_view key, std::string_view value) {
    uint32_t& slot = index_.Slot(HashOf(key), [&](uint32_t i) { return this->key(i) == key; });
    if (slot == FlatIndex::kNone) {
      slot = static_cast<uint32_t>(entries_.size());
      entries_.push_back(Entry{octets_.size(), 0, static_cast<uint32_t>(key.size()), 0});
      octets_.append(key);
    }
    Entry& entry = entries_[slot];
    entry.value_at = octets_.size();
    entry.value_bytes = static_cast<uint32_t>(value.size());
    octets_.append(value);
    return slot;
  }

  // Find is the number of `key`, or FlatIndex::kNone.
  uint32_t Find(std::string_view key) const {
    return index_.Find(HashOf(key), [&](uint32_t i) { return this->key(i) == key; });
  }
  std::string_view key(uint32_t number) const {
    const Entry& entry = entries_[number];
    return std::string_view(octets_).substr(entry.key_at, entry.key_bytes);
  }
  std::string_view value(uint32_t number) const {
    const Entry& entry = entries_[number];
    return std::string_view(octets_).substr(entry.value_at, entry.value_bytes);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t key_at;
    uint64_t value_at;
    uint32_t key_bytes;
    uint32_t value_bytes;
  };
  std::string octets_;
  std::vector<Entry> entries_;
  FlatIndex index_;
};

}  // namespace postern::policy
