// The files that makemap(8) writes on Debian: Berkeley DB 5.3, hash or btree. In comes the file,
// out come its entries.
//
// A reader of our own, for libdb's licence (Sleepycat) would bind every program that links Postern
// to publish its source, and a look-up needs none of its locks and logs: the whole file is read and
// served from memory, like a text file.
#pragma once

#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/policy/table_text.h"

namespace postern::policy {

// ReadBerkeleyDb gives the entries of a file of either byte order, in the order of its pages. The
// NUL that makemap writes behind each key and value is dropped, and so is the word "<set>" that
// stands for the value in what `makemap -t set` makes. The form is unknown: a db: table passes
// every check of form. kInvalidArgument says what the file is instead; kDataLoss that it is
// damaged, or was being written when it was read. Linear in the size of the file.
StatusOr<TableText> ReadBerkeleyDb(std::string_view file, const TableTextOptions& options);

}  // namespace postern::policy
