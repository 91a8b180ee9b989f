// Salvage: the rows of a database that SQLite will not read any more, page by page.
//
// It looks at the file and its write-ahead log as octets (sqlite.org/fileformat2.html), writes
// nothing, and trusts nothing: every number is checked against the file before it is followed, each
// page of a tree is visited once, and the chains of long rows together are followed no further than
// a few times the pages there are: the work grows with the file. What it hands out are rows as they
// stand there; whether one of them is sound only its own checksum can tell, which the caller looks
// at.
//
// Which pages are read: of a table whose tree is whole, those that the tree reaches. Of one whose
// tree is broken, also the pages that no tree reaches and that are not on the list of free pages,
// so that a lost inner page costs no rows, and what was deleted does not come back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

namespace postern::sqlite {

struct SalvagedValue {
  enum class Kind : uint8_t { kNull, kInteger, kOctets };
  Kind kind = Kind::kNull;
  int64_t number = 0;
  std::string octets;
};

struct SalvagedRow {
  int64_t rowid = 0;  // of a table; 0 in an index
  std::vector<SalvagedValue> values;
  bool whole = true;  // false: its end was not found, the last values are cut short
};

struct SalvageLimits {
  size_t max_row_bytes = 64 << 20;  // a longer row is passed over
  size_t max_columns = 64;          // of our tables none has more than seven
};

class Salvage {
 public:
  using RowFunction = std::function<void(const SalvagedRow& row)>;

  // Object is a table or an index of the schema. root is the page where its tree begins when the
  // schema on page 1 cannot say: our schemas make their objects in one order, so it is known.
  struct Object {
    std::string name;
    uint32_t root = 0;
    bool index = false;
  };

  // LogState says what the log holds beside what SQLite will read of it.
  struct LogState {
    // damaged: a page of a transaction that was synced is not what was written. SQLite would end
    // the log before it without a word.
    bool damaged = false;
    // torn: the last transaction is not whole. A power cut leaves that of one that nobody was told
    // of; damage looks the same.
    bool torn = false;
    uint64_t first_bad_frame = 0;  // counted from 1; 0: none
    uint64_t frames = 0;           // of the present generation
  };

  // Either file may be null: it is missing. Nothing is read before Begin.
  Salvage(std::unique_ptr<rt::File> database, std::unique_ptr<rt::File> log,
          SalvageLimits limits = {});

  // Begin reads the log and page 1. Only a file that cannot be read at all is an error.
  Status Begin();
  const LogState& log() const { return log_state_; }
  // CheckHeader compares the first hundred octets of the database file with what our releases
  // write: kDataLoss names the field that cannot be.
  Status CheckHeader() const;

  // Survey walks the trees of `objects` and the list of free pages. Before ForEachRow.
  void Survey(std::vector<Object> objects);
  bool TreeIsWhole(size_t object) const { return trees_[object].whole; }
  // ForEachRow calls `row` with each row of objects[object].
  void ForEachRow(size_t object, const RowFunction& row);
  // ForEachTornRow calls `row` with the rows of tables on the pages behind the last whole
  // transaction of the log.
  void ForEachTornRow(const RowFunction& row);

  uint32_t pages() const { return pages_; }

 private:
  struct Tree {
    Object object;
    bool whole = true;
    std::vector<uint32_t> leaves;  // for an index all its pages: each holds entries
  };

  bool ReadPage(uint32_t number, std::string* page) const;
  void ReadLog();
  void ReadRoots(std::vector<Object>* objects);
  void WalkTree(Tree* tree);
  void WalkFreePages();
  void RowsOfPage(const std::string& page, uint32_t number, bool index, const RowFunction& row);
  bool ReadRecord(const std::string& page, size_t cell, bool index, bool child, SalvagedRow* row);
  bool ParseRecord(std::string_view payload, SalvagedRow* row) const;

  std::unique_ptr<rt::File> database_;
  std::unique_ptr<rt::File> log_;
  const SalvageLimits limits_;
  std::string header_;  // of the database file, not of the log
  uint64_t database_bytes_ = 0;
  uint32_t pages_ = 0;
  LogState log_state_;
  std::unordered_map<uint32_t, uint64_t> logged_;     // page: where its newest copy in the log is
  std::unordered_map<uint64_t, std::string> mended_;  // by place: pages with a bit turned back
  std::vector<uint64_t> torn_frames_;                 // where the pages behind the last commit are
  std::vector<uint8_t> seen_;                         // per page: reached by a tree, or free
  std::vector<Tree> trees_;
  // Of a sound file each page is in one chain. In a damaged one a row and what an older copy of its
  // page says of it may share theirs; cells without number that name one chain are no rows.
  static constexpr uint64_t kChainsPerPage = 4;
  uint64_t chain_pages_left_ = 0;
};

}  // namespace postern::sqlite
