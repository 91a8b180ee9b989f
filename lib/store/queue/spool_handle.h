// SpoolDatabase's connection and its statements, for the files that SpoolDatabase is written in.
#pragma once

#include <memory>

#include "lib/store/queue/spool_database.h"
#include "lib/store/sqlite/database.h"

namespace postern::store {

struct SpoolDatabase::Handle {
  std::unique_ptr<sqlite::Database> database;
  // Statements go before their database.
  sqlite::Statement insert_message, insert_envelope, update, remove, hold, release, rest, count,
      remove_message, park;
  sqlite::Statement due, next_due, deferred, get, list, list_message, body, has_message;
  sqlite::Statement audit_envelopes, audit_due, audit_messages;

  Status Prepare();
};

}  // namespace postern::store
