// The names on the simulated disk: they change at once for whoever looks, and are durable only
// after a sync of their folder. A loss of power keeps those that were synced, and of the others
// what a file system may keep.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/rt/sim/disk.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {

void Disk::Apply(const NameChange& change, const InodePtr& value) {
  auto entry = change.directory->entries.find(change.name);
  if (entry != change.directory->entries.end()) {
    --entry->second->links;
    if (value == nullptr) {
      change.directory->entries.erase(entry);
      return;
    }
    ++value->links;
    entry->second = value;
  } else if (value != nullptr) {
    ++value->links;
    change.directory->entries.emplace(change.name, value);
  }
}

void Disk::Record(NameOperation operation) {
  operation.number = ++last_name_operation_;
  const WallTime now = simulation_->wall_now();
  for (int i = 0; i < operation.count; ++i) {
    const NameChange& change = operation.changes[i];
    change.directory->modified = now;
    Apply(change, change.after);
  }
  for (int i = 0; i < operation.count; ++i) {
    const InodePtr& before = operation.changes[i].before;
    if (before != nullptr && before->links == 0 && before->opens == 0) Gone(*before);
  }
  names_.push_back(std::move(operation));
  if (names_.size() > options_.unsynced_limit) {
    names_.erase(names_.begin(), names_.begin() + static_cast<ptrdiff_t>(names_.size() / 2));
  }
}

void Disk::SetEntry(const InodePtr& directory, const std::string& name, const InodePtr& inode) {
  NameOperation operation;
  operation.owner = directory;
  auto present = directory->entries.find(name);
  operation.changes[0] = {directory, name,
                          present == directory->entries.end() ? nullptr : present->second, inode};
  Record(std::move(operation));
}

void Disk::MoveEntry(const InodePtr& from, const std::string& from_name, const InodePtr& to,
                     const std::string& to_name) {
  NameOperation operation;
  operation.owner = to;
  operation.count = 2;
  const InodePtr moved = from->entries.find(from_name)->second;
  auto present = to->entries.find(to_name);
  operation.changes[0] = {to, to_name, present == to->entries.end() ? nullptr : present->second,
                          moved};
  operation.changes[1] = {from, from_name, moved, nullptr};
  Record(std::move(operation));
}

void Disk::SyncNames(Inode& directory) {
  ++syncs_;
  directory.names_synced = last_name_operation_;
  TrimNames();
}

void Disk::TrimNames() {
  while (!names_.empty() && names_.front().number <= names_.front().owner->names_synced)
    names_.pop_front();
}

void Disk::LoseNames() {
  const size_t count = names_.size();
  std::vector<bool> survives(count);
  // A journal keeps a prefix of all operations; other file systems order them by directory only.
  // Half the crashes are of either kind.
  const bool one_journal = random_.Chance(0.5);
  const uint64_t journal_cut = random_.Below(count + 1);
  const double subset_chance = random_.Unit();
  std::map<uint64_t, bool> stopped;  // by directory: the prefix has ended
  for (size_t i = 0; i < count; ++i) {
    const NameOperation& operation = names_[i];
    if (operation.number <= operation.owner->names_synced) {
      survives[i] = true;
    } else if (options_.name_loss == NameLoss::kAnySubset) {
      survives[i] = random_.Chance(subset_chance);
    } else if (one_journal) {
      survives[i] = i < journal_cut;
    } else {
      bool& stop = stopped[operation.owner->number];
      if (!stop) stop = random_.Chance(0.3);
      survives[i] = !stop;
    }
  }
  // A rename that survives moved a name that was there: the operation that made it has survived
  // too. The keys are looked up, never iterated.
  std::set<std::pair<const Inode*, std::string>> needed;
  for (size_t i = count; i-- > 0;) {
    const NameOperation& operation = names_[i];
    if (!survives[i]) {
      for (int c = 0; c < operation.count; ++c) {
        const NameChange& change = operation.changes[c];
        if (change.after != nullptr && needed.contains({change.directory.get(), change.name}))
          survives[i] = true;
      }
    }
    if (!survives[i]) continue;
    for (int c = 0; c < operation.count; ++c) {
      needed.erase({operation.changes[c].directory.get(), operation.changes[c].name});
    }
    if (operation.count == 2)
      needed.insert({operation.changes[1].directory.get(), operation.changes[1].name});
  }
  for (size_t i = count; i-- > 0;) {
    const NameOperation& operation = names_[i];
    for (int c = operation.count; c-- > 0;)
      Apply(operation.changes[c], operation.changes[c].before);
  }
  for (size_t i = 0; i < count; ++i) {
    const NameOperation& operation = names_[i];
    for (int c = 0; survives[i] && c < operation.count; ++c)
      Apply(operation.changes[c], operation.changes[c].after);
  }
  names_.clear();
}

}  // namespace postern::rt::sim
